package main

import (
	"os"
	"path/filepath"

	"github.com/peerbus/peerbus/internal/fault"
)

// makePlaces sees to it, before anything is measured, that what is measured can be
// written: directories are made, files need theirs.
func (s *settings) makePlaces() error {
	dirs, files := map[string]string{"profile": s.profiles, "top": s.tops}, map[string]string{"json": s.json}
	if s.growth {
		dirs["plot"] = s.plot
	} else {
		files["plot"] = s.plot
	}
	for name, file := range files {
		if err := canHold(name, file); err != nil {
			return err
		}
	}
	for name, dir := range dirs {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fault.New(fault.BadRequest, "%s: %w", name, err).In(name)
		}
	}
	return nil
}

// canHold tells why a file cannot be at its place.
func canHold(name, file string) error {
	if file == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil {
		return fault.New(fault.BadRequest, "%s: no directory for the file: %w", name, err).In(name)
	} else if !info.IsDir() {
		return fault.New(fault.BadRequest, "%s: %s is no directory", name, filepath.Dir(file)).In(name)
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return fault.New(fault.BadRequest, "%s: %s is a directory, and must be a file", name, file).In(name)
	}
	return nil
}
