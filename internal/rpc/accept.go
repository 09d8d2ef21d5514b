package rpc

import (
	"errors"
	"log/slog"
	"net"
	"time"
)

// sayAgain is how often it is said that connections cannot be accepted, while that lasts.
const sayAgain = time.Minute

// Telling gives listeners that say in the log when a connection cannot be accepted, as when
// the process has run out of files: the servers try again, and say nothing.
func Telling(listeners []net.Listener, log *slog.Logger) []net.Listener {
	all := make([]net.Listener, len(listeners))
	for i, lis := range listeners {
		all[i] = &telling{Listener: lis, log: log}
	}
	return all
}

type telling struct {
	net.Listener
	log  *slog.Logger
	said time.Time // by Accept, which one goroutine calls
}

func (l *telling) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) && time.Since(l.said) >= sayAgain {
		l.said = time.Now()
		l.log.Warn("connections cannot be accepted, trying again", "addr", l.Addr().String(), "error", err)
	}
	return c, err
}
