// Command peerbus is all of peerbus: each service is a mode of it, and so are
// the commands of a client.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/internal/config"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/run"
)

func main() {
	run.FitHeap()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who interrupts a second time does not want to wait
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
	root := newRoot(environ, args...)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	ran, err := root.ExecuteContextC(ctx)
	if ctx.Err() != nil {
		if group(ran) == groupServices {
			return 0 // it was told to stop, perhaps while it started
		}
		if err != nil {
			_, _ = fmt.Fprintln(errs, "peerbus: interrupted")
		}
		return exitInterrupted
	}
	if err == nil {
		return 0
	}
	f := faultOf(err)
	_, _ = fmt.Fprintln(errs, errorText(f, wantsJSON(ran, args)))
	if f.Code == fault.BadRequest {
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
		if check == nil {
			return nil
		}
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%s: %w; want %s", cmd.Name(), err, cmd.UseLine())}
		}
		return nil
	}
}

// newRoot makes the tree of commands: those that are needed for args (commandsFor), all
// without them. Every command's flags are filled from the environment, the settings file
// and the context before it runs.
func newRoot(environ []string, args ...string) *cobra.Command {
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
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{flagError(err)} })
	root.PersistentFlags().String(config.FileFlag, "", "YAML `FILE` with settings, under the names of the flags")
	root.AddGroup(
		&cobra.Group{ID: groupServices, Title: "Services:"},
		&cobra.Group{ID: groupClient, Title: "Commands for a running runtime:"},
	)
	root.AddCommand(commandsFor(args, environ)...)
	addCompletion(root, environ)
	walk(root, func(c *cobra.Command) {
		if c != root {
			c.Args = usage(c.Args)
		}
	})
	whole := sync.OnceValue(func() *cobra.Command { return newRoot(nil) })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := config.Load(cmd.Flags(), environ, config.Rules{
			Known:     func(name string) bool { return knownFlag(whole(), name) },
			StandsFor: map[string][]string{flagAddr: {flagBusAddr, flagRegistryAddr}},
			Below:     func() (string, map[string]string, error) { return contextOf(cmd.Flags(), environ) },
		})
		if err != nil {
			return err
		}
		return checkAddresses(cmd.Flags())
	}
	return root
}

// services are the commands of processes that stay.
var services = map[string]func() *cobra.Command{
	"runtime": runtimeCommand, "msgnode": msgnodeCommand, "registry": registryCommand, "bus": busCommand,
	"p2pstub": p2pstubCommand, "nodestub": nodestubCommand, "gateway": gatewayCommand,
}

// commandsFor are all commands. A service is alone: it would keep the others, with some
// hundred flags, as long as it runs.
func commandsFor(args, environ []string) []*cobra.Command {
	if len(args) > 0 {
		if service := services[args[0]]; service != nil {
			return []*cobra.Command{service()}
		}
	}
	all := []*cobra.Command{
		postCommand(), requestCommand(), listenCommand(), replyCommand(),
		hypertiesCommand(), connectionsCommand(), resolveCommand(), pingCommand(), traceCommand(), benchCommand(), statusCommand(), doctorCommand(),
		contextCommand(environ), demoCommand(), versionCommand(),
	}
	for _, service := range services {
		all = append(all, service())
	}
	return all
}

// knownFlag tells whether any command has a flag.
func knownFlag(root *cobra.Command, name string) (known bool) {
	walk(root, func(c *cobra.Command) { known = known || c.LocalFlags().Lookup(name) != nil })
	return known
}

// walk calls f with a command and all below it.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		walk(sub, f)
	}
}

// group is the group that a command belongs to, itself or as a part of another.
func group(c *cobra.Command) string {
	for c.GroupID == "" && c.HasParent() {
		c = c.Parent()
	}
	return c.GroupID
}

const (
	groupServices = "services"
	groupClient   = "client"
)
