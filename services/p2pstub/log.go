package p2pstub

import (
	"context"
	"log/slog"
	"slices"
)

// about gives a logger whose lines have more attributes. Unlike With it writes them down
// only when there is a line: of thousands of peers hardly one has any.
func about(log *slog.Logger, attrs ...slog.Attr) *slog.Logger {
	return slog.New(&lateAttrs{log.Handler(), attrs})
}

type lateAttrs struct {
	slog.Handler
	attrs []slog.Attr
}

func (h *lateAttrs) Handle(ctx context.Context, r slog.Record) error {
	line := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	line.AddAttrs(h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, line)
}

func (h *lateAttrs) WithAttrs(more []slog.Attr) slog.Handler {
	return &lateAttrs{h.Handler, slices.Concat(h.attrs, more)}
}

func (h *lateAttrs) WithGroup(name string) slog.Handler {
	return h.Handler.WithAttrs(h.attrs).WithGroup(name)
}
