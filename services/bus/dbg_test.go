package bus

import (
	"log/slog"
	"os"
)

func dbg(name string) *slog.Logger {
	if os.Getenv("DBG") == "" {
		return quiet()
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("side", name)
}
