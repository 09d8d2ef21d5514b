package contexts

import (
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// Settings are the names that a context may have.
var Settings = []string{"addr", "bus-addr", "registry-addr", "tls-cert", "tls-key", "tls-ca"}

// Context is what a name stands for: settings under the names of the flags.
type Context map[string]string

// File is all contexts of a user, and which of them is used when none is named.
type File struct {
	Current  string             `yaml:"current,omitempty"`
	Contexts map[string]Context `yaml:"contexts,omitempty"`
}

// isName tells what may be the name of a context.
func isName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return s != "" && len(s) <= 64 && strings.Trim(s, letters+"._-") == "" && strings.Trim(s[:1], letters) == ""
}

// Add puts a new context in. The first one becomes the current one.
func (f *File) Add(name string, c Context) error {
	if _, taken := f.Contexts[name]; taken {
		return fault.New(fault.Conflict, "there is a context %s already: remove it first", name).In("context")
	}
	if err := check(name, c); err != nil {
		return err
	}
	if f.Contexts == nil {
		f.Contexts = map[string]Context{}
	}
	f.Contexts[name] = c
	if len(f.Contexts) == 1 {
		f.Current = name
	}
	return nil
}

// Remove takes a context out. Without the current one there is none.
func (f *File) Remove(name string) error {
	if _, err := f.Get(name); err != nil {
		return err
	}
	delete(f.Contexts, name)
	if f.Current == name {
		f.Current = ""
	}
	return nil
}

// Use makes a context the current one.
func (f *File) Use(name string) error {
	if _, err := f.Get(name); err != nil {
		return err
	}
	f.Current = name
	return nil
}

// Get gives a context by its name.
func (f *File) Get(name string) (Context, error) {
	c, ok := f.Contexts[name]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no context %q; `peerbus context list` shows them", name).In("context")
	}
	return c, nil
}

// Names gives the names in order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.Contexts)) }

// check tells what is wrong with a context.
func check(name string, c Context) error {
	if !isName(name) {
		return fault.New(fault.BadRequest, "context %q: want letters, digits, '.', '_' and '-', at most 64", name).In("context")
	}
	if len(c) == 0 {
		return fault.New(fault.BadRequest, "context %s has no settings: give at least --addr", name).In("addr")
	}
	for setting, value := range c {
		if err := checkSetting(setting, value); err != nil {
			return fault.New(fault.BadRequest, "context %s: %w", name, err).In(setting)
		}
	}
	return nil
}

func checkSetting(setting, value string) error {
	switch {
	case !slices.Contains(Settings, setting):
		return fault.New(fault.BadRequest, "%q is no setting of a context", setting)
	case strings.HasPrefix(setting, "tls-"):
		if !filepath.IsAbs(value) {
			return fault.New(fault.BadRequest, "%s %q is no absolute path", setting, value)
		}
	default:
		for addr := range strings.SplitSeq(value, ",") { // several, where there are replicas
			if path, err := rpc.UnixPath(addr); err != nil {
				return fault.New(fault.BadRequest, "%s %q: %w", setting, value, err)
			} else if path != "" {
				continue
			}
			if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
				return fault.New(fault.BadRequest, "%s %q: want HOST:PORT, or several with commas between them", setting, value)
			}
		}
	}
	return nil
}
