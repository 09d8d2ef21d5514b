package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/internal/fault"
)

// output is how a client command prints: a table for people, JSON for
// programs.
type output string

func (o *output) flag(f *pflag.FlagSet) {
	*o = "table"
	f.VarP(o, flagOutput, "o", "table or json")
}

// String, Set and Type make it a flag.
func (o *output) String() string { return string(*o) }

// Set takes table or json.
func (o *output) Set(s string) error {
	if s != "table" && s != "json" {
		return fault.New(fault.BadRequest, "want table or json")
	}
	*o = output(s)
	return nil
}

// Type is the name in the help.
func (o *output) Type() string { return "FORMAT" }

func (o *output) json() bool { return *o == "json" }

// printJSON writes a protobuf as one line of JSON, with the names of the
// protos.
func printJSON(w io.Writer, m proto.Message) error {
	b, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, printable(string(b)))
	return err
}

// table prints rows below a heading, in columns.
func table(w io.Writer, heading []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		if _, err := fmt.Fprintln(t, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// enumName gives the last part of a protobuf enum's name, as words.
func enumName(name, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", "-"))
}
