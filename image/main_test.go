package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// built is what `make image` wrote for the platform of this machine, once for all tests.
var built struct {
	archive                  string
	version, commit, seconds string // as git has them
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "peerbus-image-")
	if err != nil {
		fatal(err)
	}
	built.version = git("describe", "--tags", "--always", "--dirty")
	built.commit = git("rev-parse", "HEAD")
	built.seconds = git("show", "-s", "--format=%ct", "HEAD")
	built.archive = filepath.Join(dir, "peerbus-image.tar")
	if err := makeImage("..", dir); err != nil {
		fatal(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// git gives what git says of the tree.
func git(args ...string) string {
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		fatal(fmt.Errorf("git %s: %w", args[0], err))
	}
	return strings.TrimSpace(string(out))
}

// makeImage runs make in a tree, for the platform of this machine.
func makeImage(tree, stage string, more ...string) error {
	args := append([]string{"-C", tree, "image", "STAGE=" + stage, "PLATFORMS=linux/" + runtime.GOARCH}, more...)
	if out, err := exec.Command("make", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("make image: %w\n%s", err, out)
	}
	return nil
}
