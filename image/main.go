package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/peerbus/peerbus/image/oci"
	"github.com/peerbus/peerbus/image/sbom"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

const call = `call: image sbom -version V -time S BINARY > sbom.json
      image archive -version V -commit C -time S -name NAME -out FILE DIRECTORY [DIRECTORY…]`

// run does what the arguments say: sbom or archive.
func run(args []string) error {
	if len(args) == 0 {
		return errors.New(call)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	version := flags.String("version", "", "of the program")
	commit := flags.String("commit", "", "that it was built from")
	seconds := flags.Int64("time", 0, "seconds since 1970: the only time that is written anywhere")
	name := flags.String("name", "", "of the image, with a tag")
	out := flags.String("out", "", "the archive")
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w\n%s", err, call)
	}
	at := time.Unix(*seconds, 0).UTC()
	switch {
	case *version == "":
		return errors.New("-version is missing")
	case args[0] == "sbom" && flags.NArg() == 1:
		return sbom.Write(os.Stdout, flags.Arg(0), *version, at)
	case args[0] == "archive" && flags.NArg() > 0:
		about := oci.About{Name: *name, Version: *version, Commit: *commit, Time: at}
		return oci.Write(*out, about, flags.Args())
	}
	return errors.New(call)
}
