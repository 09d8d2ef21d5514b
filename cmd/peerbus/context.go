package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/contexts"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// contextOf gives the settings of the context that a command is to use.
func contextOf(flags *pflag.FlagSet, environ []string) (origin string, _ map[string]string, err error) {
	named := flags.Lookup(flagContext)
	if named == nil {
		return "", nil, nil // a service, or a command without a runtime
	}
	f, err := contexts.Read(contexts.Path(environ))
	if err != nil {
		return "", nil, err
	}
	name := named.Value.String()
	if name == "" {
		name = f.Current
	}
	if name == "" {
		return "", nil, nil
	}
	c, err := f.Get(name)
	return "context " + name, c, err
}

// contextsFile is the user's file of contexts, for the commands that show and
// change it.
type contextsFile struct {
	path   string
	names  completer
	output output
}

func contextCommand(environ []string) *cobra.Command {
	c := &cobra.Command{
		Use:     "context",
		GroupID: groupClient,
		Short:   "Keep the addresses of runtimes under names, so that they need not be repeated",
		Long: `Keep the addresses of runtimes under names. The commands use the current context, or
the one that --context or PEERBUS_CONTEXT names. A flag, the environment and the
settings file have precedence over it. The contexts are in peerbus/contexts.yaml
below $XDG_CONFIG_HOME (~/.config).`,
		Example: `  peerbus context add alice --addr 127.0.0.1:7401
  peerbus context add bob --bus-addr bob.example:7402 --registry-addr bob.example:7401 --tls-ca ca.pem
  peerbus context use bob
  peerbus status --context alice`,
		Args: cobra.NoArgs,
		// A context is made of what its command line says, not of what is current.
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil },
		RunE:              help,
	}
	f := &contextsFile{path: contexts.Path(environ), names: contextNames(environ)}
	c.AddCommand(f.addCommand(), f.listCommand(), f.showCommand(), f.useCommand(), f.removeCommand())
	return c
}

func (f *contextsFile) addCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a context; the first one becomes the current one",
		Example: `  peerbus context add alice --addr 127.0.0.1:7401
  peerbus context add bob --bus-addr bob.example:7402 --registry-addr bob.example:7401 --tls-ca ca.pem`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := givenSettings(cmd.Flags())
			if err != nil {
				return err
			}
			return f.change(func(file *contexts.File) error { return file.Add(args[0], settings) })
		},
	}
	c.Flags().String(flagAddr, "", "`HOST:PORT` or unix:///PATH of bus and registry, where they have the same")
	c.Flags().String(flagBusAddr, "", "`HOST:PORT` or unix:///PATH of the bus")
	c.Flags().String(flagRegistryAddr, "", "`HOST:PORT` or unix:///PATH of the registry")
	securityFlags(c.Flags(), &rpc.Security{})
	return c
}

// givenSettings takes a context from a command line. Files are kept with their
// absolute paths, since the commands run anywhere.
func givenSettings(flags *pflag.FlagSet) (contexts.Context, error) {
	given := contexts.Context{}
	for _, name := range contexts.Settings {
		flag := flags.Lookup(name)
		if !flag.Changed {
			continue
		}
		given[name] = flag.Value.String()
		if strings.HasPrefix(name, "tls-") && given[name] != "" {
			path, err := filepath.Abs(given[name])
			if err != nil {
				return nil, err
			}
			given[name] = path
		}
	}
	return given, nil
}

func (f *contextsFile) useCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "Make a context the current one",
		Example:           "  peerbus context use bob",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.names,
		RunE: func(_ *cobra.Command, args []string) error {
			return f.change(func(file *contexts.File) error { return file.Use(args[0]) })
		},
	}
}

func (f *contextsFile) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Remove a context",
		Example:           "  peerbus context remove bob",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.names,
		RunE: func(_ *cobra.Command, args []string) error {
			return f.change(func(file *contexts.File) error { return file.Remove(args[0]) })
		},
	}
}

func (f *contextsFile) change(change func(*contexts.File) error) error {
	return contexts.Change(f.path, change)
}

func (f *contextsFile) listCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Example: "  peerbus context list",
		Short:   "List the contexts; the current one has a star",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := contexts.Read(f.path)
			if err != nil {
				return err
			}
			return f.print(cmd, file, file.Names())
		},
	}
	f.output.flag(c.Flags())
	return c
}

func (f *contextsFile) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show [NAME]",
		Example:           "  peerbus context show bob",
		Short:             "Show a context, or the current one",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: f.names,
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := contexts.Read(f.path)
			if err != nil {
				return err
			}
			name := file.Current
			if len(args) == 1 {
				name = args[0]
			}
			if name == "" {
				return fault.New(fault.NotFound, "no context is the current one: `peerbus context use NAME` makes one so")
			}
			if _, err := file.Get(name); err != nil {
				return err
			}
			return f.print(cmd, file, []string{name})
		},
	}
	f.output.flag(c.Flags())
	return c
}

// shownContext is a context as JSON has it.
type shownContext struct {
	Name     string           `json:"name"`
	Current  bool             `json:"current"`
	Settings contexts.Context `json:"settings"`
}

func (f *contextsFile) print(cmd *cobra.Command, file *contexts.File, names []string) error {
	if f.output.json() {
		shown := []shownContext{}
		for _, name := range names {
			shown = append(shown, shownContext{name, name == file.Current, file.Contexts[name]})
		}
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"contexts": shown})
	}
	rows := [][]string{}
	for _, name := range names {
		mark := ""
		if name == file.Current {
			mark = "*"
		}
		rows = append(rows, []string{mark, name, settingsText(file.Contexts[name])})
	}
	return table(cmd.OutOrStdout(), []string{"", "NAME", "SETTINGS"}, rows)
}

func settingsText(c contexts.Context) string {
	var parts []string
	for _, name := range contexts.Settings {
		if c[name] != "" {
			parts = append(parts, fmt.Sprintf("%s=%s", name, c[name]))
		}
	}
	return strings.Join(parts, " ")
}
