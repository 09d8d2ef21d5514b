package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	var out output
	var modules bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Show what this program was made from: version, commit, Go, and with --modules all that is linked in",
		Example: `  peerbus version
  peerbus version --modules -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := built
			if !modules {
				b.Modules = nil
			}
			if out.json() {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(b)
			}
			return printBuild(cmd.OutOrStdout(), b)
		},
	}
	out.flag(c.Flags())
	c.Flags().BoolVar(&modules, "modules", false, "show the Go modules that are linked in, with their versions and sums")
	return c
}

func printBuild(w io.Writer, b build) error {
	_, err := fmt.Fprintf(w, "version   %s\ncommit    %s\ntime      %s\ngo        %s\nplatform  %s\n",
		b.Version, cmp.Or(b.Commit, "unknown"), cmp.Or(b.Time, "unknown"), b.Go, b.Platform)
	if err != nil || len(b.Modules) == 0 {
		return err
	}
	rows := [][]string{}
	for _, m := range b.Modules {
		rows = append(rows, []string{m.Path, m.Version, m.Sum})
	}
	_, _ = fmt.Fprintln(w)
	return table(w, []string{"MODULE", "VERSION", "SUM"}, rows)
}
