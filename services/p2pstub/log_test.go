package p2pstub

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestLinesAboutAPeer(t *testing.T) {
	var with, late bytes.Buffer
	options := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	a := slog.New(slog.NewJSONHandler(&with, options)).With("service", "p2pstub").With("stub", "s", "remote", "r")
	b := about(slog.New(slog.NewJSONHandler(&late, options)).With("service", "p2pstub"), slog.String("stub", "s"), slog.String("remote", "r"))
	for _, log := range []*slog.Logger{a, b} {
		log.Info("one", "more", 1)
		log.With("and", 2).Info("two", "more", 1)
		log.WithGroup("group").Info("three", "more", 1)
		log.Debug("none")
	}
	if with.String() != late.String() || with.Len() == 0 {
		t.Errorf("%s\n%s", with.String(), late.String())
	}
}
