package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The same tree somewhere else, without a clone around it and in another time zone,
// gives the same bytes.
func TestSameBytesElsewhere(t *testing.T) {
	tree, stage := t.TempDir(), t.TempDir()
	copyTree(t, tree)
	t.Setenv("GOCACHE", goEnv(t, "GOCACHE")) // for the time that it takes
	t.Setenv("GOMODCACHE", goEnv(t, "GOMODCACHE"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TZ", "Pacific/Auckland")
	err := makeImage(tree, stage, "VERSION="+built.version, "COMMIT="+built.commit, "SOURCE_DATE_EPOCH="+built.seconds)
	if err != nil {
		t.Fatal(err)
	}
	first, second := readImage(t, built.archive), readImage(t, filepath.Join(stage, "peerbus-image.tar"))
	for name, e := range first.files {
		if digest(second.files[name].content) != digest(e.content) {
			t.Errorf("%s has other bytes", name)
		}
	}
	if a, b := fileDigest(t, built.archive), fileDigest(t, filepath.Join(stage, "peerbus-image.tar")); a != b {
		t.Errorf("the archive is %s, then %s", a, b)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func fileDigest(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return digest(b)
}

// copyTree copies the files of the repository, as they stand.
func copyTree(t *testing.T, to string) {
	t.Helper()
	for name := range strings.SplitSeq(tracked(t), "\n") {
		content, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tracked gives the names of what git has, or would take.
func tracked(t *testing.T, patterns ...string) string {
	t.Helper()
	args := append([]string{"-C", "..", "ls-files", "--cached", "--others", "--exclude-standard", "--"}, patterns...)
	out, err := exec.Command("git", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
