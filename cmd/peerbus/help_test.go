package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command says what it does and shows how it is called, and belongs to a group.
func TestEachCommandExplainsItself(t *testing.T) {
	walk(newRoot(nil), func(c *cobra.Command) {
		name := c.CommandPath()
		if libraryOwn(c) {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", name, c.Short)
		}
		if c.Example == "" && !c.HasSubCommands() {
			t.Errorf("%s has no example", name)
		}
		if c.HasParent() && c.Name() != "demo" && c.Name() != "version" && group(c) == "" {
			t.Errorf("%s is in no group", name)
		}
	})
}

// libraryOwn commands are the library's own.
func libraryOwn(c *cobra.Command) bool {
	for ; c != nil; c = c.Parent() {
		if c.Name() == "completion" || c.Name() == "help" {
			return true
		}
	}
	return false
}

// Examples are commands that there are, with flags that they have.
func TestExamplesCanBeCalled(t *testing.T) {
	walk(newRoot(nil), func(c *cobra.Command) {
		if c.Example == "" || libraryOwn(c) {
			return
		}
		shown := false
		for line := range strings.Lines(c.Example) {
			_, call, found := strings.Cut(line, "peerbus ")
			if !found {
				t.Errorf("%s: %q calls no command", c.CommandPath(), line)
				continue
			}
			shown = strings.HasPrefix(checkExample(t, c, call), c.CommandPath()) || shown
		}
		if !shown {
			t.Errorf("%s is in none of its examples", c.CommandPath())
		}
	})
}

// checkExample gives the path of the command that is called.
func checkExample(t *testing.T, c *cobra.Command, call string) string {
	t.Helper()
	called, rest, err := newRoot(nil).Find(strings.Fields(call))
	if err != nil || !called.HasParent() {
		t.Errorf("%s: %q calls no command: %v", c.CommandPath(), call, err)
	}
	for _, word := range rest {
		name, isFlag := strings.CutPrefix(word, "--")
		if word == "--" {
			break
		}
		if name, _, _ = strings.Cut(name, "="); isFlag && called.Flags().Lookup(name) == nil && called.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s has no flag --%s, which an example has", called.CommandPath(), name)
		}
	}
	return called.CommandPath()
}

// units are those of numbers.
var units = regexp.MustCompile(`\b((?i:bytes)|messages|probes|requests|records|port|MiB|at once|commands|servers)\b`)

// Every flag says what it is; a number says of what, a text what stands for it or which
// words there are. Times have their unit in their value.
func TestEachFlagNamesItsUnit(t *testing.T) {
	walk(newRoot(nil), func(c *cobra.Command) {
		if libraryOwn(c) {
			return
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			name := c.CommandPath() + " --" + f.Name
			kind := f.Value.Type()
			switch {
			case f.Usage == "":
				t.Errorf("%s says nothing", name)
			case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
				if !units.MatchString(f.Usage) {
					t.Errorf("%s: of what is it a number? %q", name, f.Usage)
				}
			case strings.HasPrefix(kind, "string"):
				if strings.Count(f.Usage, "`") != 2 && !strings.Contains(f.Usage, " or ") {
					t.Errorf("%s: what stands there? %q", name, f.Usage)
				}
			}
		})
	})
}
