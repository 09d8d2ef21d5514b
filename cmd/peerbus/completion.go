package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/contexts"
)

// completionTime bounds what a shell waits for while somebody types.
const completionTime = time.Second

// completer gives a shell the words that may stand at an argument or a flag.
type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// complete says how a flag's value is completed.
func complete(c *cobra.Command, flag string, f completer) {
	_ = c.RegisterFlagCompletionFunc(flag, f) // fails for a flag that is not there, or twice: never
}

// words completes from a fixed list.
func words(list ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// addCompletion adds the scripts for shells, and completes --context wherever it is.
func addCompletion(root *cobra.Command, environ []string) {
	root.InitDefaultCompletionCmd()
	if scripts, _, err := root.Find([]string{"completion"}); err == nil {
		scripts.RunE = help // so that an unknown shell is refused
		for _, c := range scripts.Commands() {
			scriptTo(c)
		}
	}
	completeContexts(root, environ)
}

// scriptTo makes a script go to the command's own output.
func scriptTo(c *cobra.Command) {
	generate, known := map[string]func(*cobra.Command, io.Writer, bool) error{
		"bash": (*cobra.Command).GenBashCompletionV2,
		"fish": (*cobra.Command).GenFishCompletion,
		"zsh": func(root *cobra.Command, w io.Writer, descriptions bool) error {
			if descriptions {
				return root.GenZshCompletion(w)
			}
			return root.GenZshCompletionNoDesc(w)
		},
	}[c.Name()]
	if !known {
		return
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		plain, _ := cmd.Flags().GetBool("no-descriptions") // false where there is none
		return generate(cmd.Root(), cmd.OutOrStdout(), !plain)
	}
}

// help is what a command does that only has others below it.
func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// contextNames completes from the user's contexts.
func contextNames(environ []string) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		file, err := contexts.Read(contexts.Path(environ))
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return file.Names(), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeContexts(root *cobra.Command, environ []string) {
	walk(root, func(c *cobra.Command) {
		if c.Flags().Lookup(flagContext) == nil {
			return
		}
		names := contextNames(environ)
		complete(c, flagContext, func(cmd *cobra.Command, _ []string, part string) ([]string, cobra.ShellCompDirective) {
			return names(cmd, nil, part)
		})
	})
}

// asked completes the first most arguments with what the registry answers; past
// them the shell completes files.
func (s *clientSettings) asked(most int, ask func(context.Context, pb.RegistryClient) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveDefault
		}
		// A shell asks before the command would have been given its settings.
		if cmd.Root().PersistentPreRunE(cmd, nil) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		s.timeout = completionTime
		err := s.withRegistry(cmd.Context(), func(ctx context.Context, r pb.RegistryClient) (err error) {
			found, err = ask(ctx, r)
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		slices.Sort(found)
		return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
	}
}

// ownAddresses are those that are registered in this runtime.
func ownAddresses(ctx context.Context, r pb.RegistryClient) ([]string, error) {
	resp, err := r.ListRegistrations(ctx, &pb.ListRegistrationsRequest{})
	var found []string
	for _, reg := range resp.GetRegistrations() {
		found = append(found, reg.Url)
	}
	return found, err
}

// knownAddresses are those of this runtime, and of the runtimes it is connected
// with.
func knownAddresses(ctx context.Context, r pb.RegistryClient) ([]string, error) {
	found, err := ownAddresses(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := r.ListConnections(ctx, &pb.ListConnectionsRequest{})
	for _, c := range resp.GetConnections() {
		found = append(found, c.RemoteAddresses...)
	}
	return found, err
}

// connectionIDs are the ids of the p2pConnection table, each with its runtime.
func connectionIDs(ctx context.Context, r pb.RegistryClient) ([]string, error) {
	resp, err := r.ListConnections(ctx, &pb.ListConnectionsRequest{})
	var found []string
	for _, c := range resp.GetConnections() {
		found = append(found, cobra.CompletionWithDesc(c.Id, c.RemoteRuntimeUrl))
	}
	return found, err
}
