// Package config fills settings from the command line, the environment, a YAML
// file and what the program knows besides, in that order of precedence.
//
// A setting is a flag; its name gives the other two: --udp-port is
// PEERBUS_UDP_PORT and `udp-port:`. A file or an environment may be shared by
// several modes of the program, so a key that another mode has is passed over.
// One that no mode has is refused by its name, and so is a malformed value.
//
// A setting may stand for others (Rules.StandsFor): where it is given, those have
// its value, unless they are given at the same place or above it.
package config

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/peerbus/peerbus/internal/fault"
)

// Prefix of the environment's names.
const Prefix = "PEERBUS_"

// FileFlag names the YAML file.
const FileFlag = "config"

// maxFile bounds the settings file in bytes; a longer one is no settings file.
const maxFile = 1 << 20

// Rules are what Load must know of the program.
type Rules struct {
	// Known tells the names that other modes have.
	Known func(name string) bool
	// StandsFor gives the settings that a setting stands for.
	StandsFor map[string][]string
	// Below gives settings below the file, under the name of where they are from. It
	// is called when the flags have all that is above. Optional.
	Below func() (origin string, settings map[string]string, err error)
}

// Load sets every flag that the command line has not set: from the environment,
// else from the file that FileFlag names, else from Below.
func Load(flags *pflag.FlagSet, environ []string, rules Rules) error {
	if err := rules.stand(flags); err != nil {
		return err
	}
	env, err := environment(flags, environ, rules.Known)
	if err != nil {
		return err
	}
	path, err := filePath(flags, env)
	if err != nil {
		return err
	}
	file, err := readFile(path, flags, rules.Known)
	if err != nil {
		return err
	}
	for _, layer := range [][]setting{env, file} {
		if err := rules.fill(flags, layer); err != nil {
			return err
		}
	}
	below, err := rules.below(flags)
	if err != nil {
		return err
	}
	return rules.fill(flags, below)
}

// fill sets what is not set yet, from one place.
func (r Rules) fill(flags *pflag.FlagSet, layer []setting) error {
	for _, s := range layer {
		if flags.Changed(s.name) {
			continue
		}
		if err := s.apply(flags); err != nil {
			return err
		}
	}
	return r.stand(flags)
}

// stand sets what a setting that is given stands for.
func (r Rules) stand(flags *pflag.FlagSet) error {
	for name, others := range r.StandsFor {
		if !flags.Changed(name) {
			continue
		}
		for _, other := range others {
			if flags.Lookup(other) == nil || flags.Changed(other) {
				continue
			}
			if err := flags.Set(other, flags.Lookup(name).Value.String()); err != nil {
				return fault.New(fault.BadRequest, "%s: %w", name, err)
			}
		}
	}
	return nil
}

// below asks for the settings of Below that the mode has.
func (r Rules) below(flags *pflag.FlagSet) ([]setting, error) {
	if r.Below == nil {
		return nil, nil
	}
	origin, values, err := r.Below()
	if err != nil {
		return nil, err
	}
	var found []setting
	for name, value := range values {
		if flags.Lookup(name) != nil {
			found = append(found, setting{name: name, origin: origin + ": " + name, values: []string{value}})
		}
	}
	return found, nil
}

// setting is a value that was found for a flag.
type setting struct {
	name   string
	origin string // how to name it in an error
	values []string
}

func (s setting) apply(flags *pflag.FlagSet) error {
	f := flags.Lookup(s.name)
	list, isList := f.Value.(pflag.SliceValue)
	var err error
	switch {
	case isList:
		if err = list.Replace(s.values); err == nil {
			f.Changed = true
		}
	case len(s.values) != 1:
		err = errors.New("takes one value")
	default:
		err = flags.Set(s.name, s.values[0])
	}
	if err != nil {
		return fault.New(fault.BadRequest, "%s: %w%s", s.origin, err, Hint(strings.Join(s.values, " ")))
	}
	return nil
}

func environment(flags *pflag.FlagSet, environ []string, known func(string) bool) ([]setting, error) {
	var found []setting
	for _, e := range environ {
		key, value, _ := strings.Cut(e, "=")
		rest, ok := strings.CutPrefix(key, Prefix)
		if !ok {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(rest), "_", "-")
		f := flags.Lookup(name)
		if f == nil {
			if !known(name) {
				return nil, fault.New(fault.BadRequest, "environment: %s is no setting%s", key, ofService(key))
			}
			continue
		}
		s := setting{name: name, origin: "environment: " + key, values: []string{value}}
		if _, isList := f.Value.(pflag.SliceValue); isList {
			s.values = strings.Fields(value)
		}
		found = append(found, s)
	}
	return found, nil
}

func filePath(flags *pflag.FlagSet, env []setting) (string, error) {
	path, err := flags.GetString(FileFlag)
	if err != nil || flags.Changed(FileFlag) {
		return path, err
	}
	for _, s := range env {
		if s.name == FileFlag {
			return s.values[0], nil
		}
	}
	return path, nil
}

func readFile(path string, flags *pflag.FlagSet, known func(string) bool) ([]setting, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "settings file: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fault.New(fault.BadRequest, "settings file: %w", err)
	}
	if len(data) > maxFile {
		return nil, fault.New(fault.TooLarge, "settings file %s has more than %d bytes", path, maxFile)
	}
	found, err := parse(data, flags, known)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "settings file %s: %w", path, err)
	}
	return found, nil
}

// parse reads a flat YAML mapping of names to scalars or lists of scalars.
func parse(data []byte, flags *pflag.FlagSet, known func(string) bool) ([]setting, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fault.New(fault.BadRequest, "line %d: want a mapping of settings", root.Line)
	}
	var found []setting
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if slices.ContainsFunc(found, func(s setting) bool { return s.name == key.Value }) {
			return nil, fault.New(fault.BadRequest, "line %d: %s stands there twice", key.Line, key.Value)
		}
		if flags.Lookup(key.Value) == nil {
			if !known(key.Value) {
				return nil, fault.New(fault.BadRequest, "line %d: %q is no setting", key.Line, key.Value)
			}
			continue
		}
		values, err := scalars(value)
		if err != nil {
			return nil, fault.New(fault.BadRequest, "line %d: %s %w", value.Line, key.Value, err)
		}
		found = append(found, setting{name: key.Value, origin: "settings file: " + key.Value, values: values})
	}
	return found, nil
}

func scalars(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, nil
	case yaml.SequenceNode:
		values := make([]string, 0, len(n.Content))
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return nil, errors.New("has a list with something else than plain values in it")
			}
			values = append(values, c.Value)
		}
		return values, nil
	default:
		return nil, errors.New("is neither a value nor a list of values")
	}
}
