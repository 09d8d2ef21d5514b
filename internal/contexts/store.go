package contexts

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/peerbus/peerbus/internal/fault"
)

// maxFile bounds the file in bytes; a longer one has no contexts.
const maxFile = 1 << 20

// Path gives the file's path from an environment: below XDG_CONFIG_HOME, else
// below the home directory; empty without either.
func Path(environ []string) string {
	dir := variable(environ, "XDG_CONFIG_HOME")
	if home := variable(environ, "HOME"); !filepath.IsAbs(dir) && filepath.IsAbs(home) {
		dir = filepath.Join(home, ".config")
	}
	if !filepath.IsAbs(dir) {
		return ""
	}
	return filepath.Join(dir, "peerbus", "contexts.yaml")
}

func variable(environ []string, name string) (value string) {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// Read reads the file. One that is not there has no contexts.
func Read(path string) (*File, error) {
	f := &File{}
	if path == "" {
		return f, nil
	}
	r, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fault.New(fault.BadRequest, "contexts: %w", err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fault.New(fault.TooLarge, "more than %d bytes", maxFile)
	}
	if err == nil {
		f, err = parse(data)
	}
	if err != nil {
		return nil, fault.New(fault.BadRequest, "contexts: %s: %w", path, err)
	}
	return f, nil
}

// parse reads a file's text, and refuses what Add would.
func parse(data []byte) (*File, error) {
	f := &File{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for name, c := range f.Contexts {
		if err := check(name, c); err != nil {
			return nil, err
		}
	}
	if f.Current != "" {
		if _, err := f.Get(f.Current); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Change reads the file, changes it and writes it. Of several programs that do that at
// the same moment each one's change stays.
func Change(path string, change func(*File) error) error {
	if path == "" {
		return errNoPlace
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the link stays, and what it leads to is replaced
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.New(fault.Internal, "contexts: %w", err)
	}
	unlock, err := lock(path)
	if err != nil {
		return fault.New(fault.CodeOf(err), "contexts: %w", err)
	}
	defer unlock()
	f, err := Read(path)
	if err == nil {
		err = change(f)
	}
	if err != nil {
		return err
	}
	return f.Write(path)
}

var errNoPlace = fault.New(fault.BadRequest, "contexts have no place: neither XDG_CONFIG_HOME nor HOME is set")

// Write puts the file in the place of the one before it.
func (f *File) Write(path string) error {
	if path == "" {
		return errNoPlace
	}
	data, err := yaml.Marshal(f)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = replace(path, data)
	}
	if err != nil {
		return fault.New(fault.Internal, "contexts: %w", err)
	}
	return nil
}

// replace writes a new file beside path and moves it there.
func replace(path string, data []byte) error {
	w, err := os.CreateTemp(filepath.Dir(path), ".contexts-*") // 0600
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = w.Sync()
	}
	err = errors.Join(err, w.Close())
	if err == nil {
		err = os.Rename(w.Name(), path)
	}
	if err != nil {
		_ = os.Remove(w.Name())
	}
	return err
}
