package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggers hands pion's own messages on. They are about packets and retries that
// are part of a set-up, so they are all Debug.
type loggers struct{ log *slog.Logger }

func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	return logger{l.log.With("scope", scope)}
}

type logger struct{ log *slog.Logger }

func (l logger) put(level, text string) { l.log.Debug("pion: "+text, "level", level) }

func (l logger) putf(level, format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.put(level, fmt.Sprintf(format, args...))
	}
}

// Trace messages come for each packet: too many even for Debug.
func (logger) Trace(string)                     {}
func (logger) Tracef(string, ...any)            {}
func (l logger) Debug(text string)              { l.put("debug", text) }
func (l logger) Debugf(format string, a ...any) { l.putf("debug", format, a) }
func (l logger) Info(text string)               { l.put("info", text) }
func (l logger) Infof(format string, a ...any)  { l.putf("info", format, a) }
func (l logger) Warn(text string)               { l.put("warn", text) }
func (l logger) Warnf(format string, a ...any)  { l.putf("warn", format, a) }
func (l logger) Error(text string)              { l.put("error", text) }
func (l logger) Errorf(format string, a ...any) { l.putf("error", format, a) }
