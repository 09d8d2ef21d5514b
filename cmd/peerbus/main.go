// Command peerbus is all of peerbus: each service is a mode of it, and so are
// the commands of a client.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/status"

	"github.com/peerbus/peerbus/internal/config"
	"github.com/peerbus/peerbus/internal/fault"
)

// version is set by the build.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes: 1 for what went wrong, 2 for what was called wrongly, 130 (as a
// shell has it) for what was interrupted before its end.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// execute is main with everything it touches given to it.
func execute(ctx context.Context, args, environ []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot(environ)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		if ran.GroupID == groupServices {
			return 0 // it was told to stop while it started
		}
		_, _ = fmt.Fprintln(errs, "peerbus: interrupted")
		return exitInterrupted
	}
	_, _ = fmt.Fprintf(errs, "peerbus: %s\n", explain(err))
	var usage usageError
	if errors.As(err, &usage) || fault.CodeOf(err) == fault.BadRequest {
		return exitUsage
	}
	return exitFailed
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// usage makes wrong arguments a wrong call.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%s: %w; want %s", cmd.Name(), err, cmd.UseLine())}
		}
		return nil
	}
}

// newRoot makes the tree of commands. Every command's flags are filled from
// the environment and the settings file before it runs.
func newRoot(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:           "peerbus",
		Short:         "Delivers messages between runtimes, directly whenever it can",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; `peerbus help` lists them", args[0])}
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().String(config.FileFlag, "", "YAML file with settings, under the names of the flags")
	root.AddGroup(
		&cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupClient, Title: "Commands for a running runtime:"},
	)
	for _, c := range []*cobra.Command{
		runtimeCommand(), msgnodeCommand(), registryCommand(), busCommand(), p2pstubCommand(), nodestubCommand(),
		listenCommand(), postCommand(), pingCommand(), registerCommand(), connectionsCommand(), resolveCommand(), statusCommand(),
		demoCommand(),
	} {
		c.Args = usage(c.Args)
		root.AddCommand(c)
	}
	known := settingNames(root)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return config.Load(cmd.Flags(), environ, func(name string) bool { return known[name] })
	}
	return root
}

const (
	groupServices = "services"
	groupClient   = "client"
)

// settingNames are the flags of all commands.
func settingNames(root *cobra.Command) map[string]bool {
	names := map[string]bool{}
	add := func(f *pflag.Flag) { names[f.Name] = true }
	root.PersistentFlags().VisitAll(add)
	for _, c := range root.Commands() {
		c.Flags().VisitAll(add)
	}
	return names
}

// explain turns an error into words for a person.
func explain(err error) string {
	if _, ok := status.FromError(err); ok {
		return fault.From(err).Description
	}
	return err.Error()
}
