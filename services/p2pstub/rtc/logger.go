package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggers hands on what pion warns of. Its warnings and errors are about packets
// and retries that are part of a set-up, so they are Debug; what is below them
// comes for each packet or timer, too much even for that.
type loggers struct{ log *slog.Logger }

func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	return logger{l.log, scope}
}

type logger struct {
	log   *slog.Logger
	scope string
}

func (l logger) put(text string) { l.log.Debug("pion: "+text, "scope", l.scope) }

func (l logger) putf(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.put(fmt.Sprintf(format, args...))
	}
}

func (logger) Trace(string)                     {}
func (logger) Tracef(string, ...any)            {}
func (logger) Debug(string)                     {}
func (logger) Debugf(string, ...any)            {}
func (logger) Info(string)                      {}
func (logger) Infof(string, ...any)             {}
func (l logger) Warn(text string)               { l.put(text) }
func (l logger) Warnf(format string, a ...any)  { l.putf(format, a) }
func (l logger) Error(text string)              { l.put(text) }
func (l logger) Errorf(format string, a ...any) { l.putf(format, a) }
