package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit codes: 1 for what went wrong, 2 for what was called wrongly.
const (
	exitFailed = 1
	exitUsage  = 2
)

func execute(args []string, out, errs io.Writer) int {
	p, err := parse(args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(errs, "capacity: %v\n", err)
		return exitUsage
	}
	if err := report(p, out); err != nil {
		_, _ = fmt.Fprintf(errs, "capacity: %v\n", err)
		return exitFailed
	}
	return 0
}

// report prints the tables.
func report(p *params, out io.Writer) error {
	all, err := tables(p)
	if err != nil {
		return err
	}
	for _, t := range all {
		if err := t.print(out); err != nil {
			return err
		}
	}
	return nil
}
