package contexts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/peerbus/peerbus/internal/contexts"
	"github.com/peerbus/peerbus/internal/fault"
)

func TestPath(t *testing.T) {
	for _, tc := range []struct {
		environ []string
		want    string
	}{
		{[]string{"XDG_CONFIG_HOME=/x", "HOME=/home/a"}, "/x/peerbus/contexts.yaml"},
		{[]string{"HOME=/home/a"}, "/home/a/.config/peerbus/contexts.yaml"},
		{[]string{"XDG_CONFIG_HOME=x", "HOME=/home/a"}, "/home/a/.config/peerbus/contexts.yaml"},
		{[]string{"XDG_CONFIG_HOME=x"}, ""},
		{nil, ""},
	} {
		if got := contexts.Path(tc.environ); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.environ, got, tc.want)
		}
	}
}

// What is written is read back, and is nobody else's to read.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "contexts.yaml")
	f, err := contexts.Read(path)
	if err != nil || len(f.Contexts) != 0 {
		t.Fatalf("%v, %v", f, err)
	}
	for _, name := range []string{"bob", "alice"} {
		if err := f.Add(name, contexts.Context{"addr": "127.0.0.1:1"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	got, err := contexts.Read(path)
	if err != nil || got.Current != "bob" || strings.Join(got.Names(), " ") != "alice bob" {
		t.Fatalf("%v, %v", got, err)
	}
	if err := got.Use("alice"); err != nil || got.Current != "alice" {
		t.Errorf("%v, %v", got, err)
	}
	if err := got.Remove("alice"); err != nil || got.Current != "" || len(got.Contexts) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".contexts-*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRefusals(t *testing.T) {
	f := &contexts.File{}
	if err := f.Add("a", contexts.Context{"addr": "h:1,i:1"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		err  error
		code fault.Code
	}{
		{f.Add("a", contexts.Context{"addr": "h:1"}), fault.Conflict},
		{f.Add("-b", contexts.Context{"addr": "h:1"}), fault.BadRequest},
		{f.Add("b", nil), fault.BadRequest},
		{f.Add("b", contexts.Context{"addr": "h"}), fault.BadRequest},
		{f.Add("b", contexts.Context{"addr": "h:1,i"}), fault.BadRequest},
		{f.Add("b", contexts.Context{"adr": "h:1"}), fault.BadRequest},
		{f.Add("b", contexts.Context{"tls-ca": "ca.pem"}), fault.BadRequest},
		{f.Use("b"), fault.NotFound},
		{f.Remove("b"), fault.NotFound},
		{f.Write(""), fault.BadRequest},
	} {
		if fault.CodeOf(tc.err) != tc.code {
			t.Errorf("%v, want %d", tc.err, tc.code)
		}
	}
	if len(f.Contexts) != 1 {
		t.Errorf("a refused one is there: %v", f)
	}
}

func TestBadFilesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"[":                                  "contexts.yaml",
		"curent: a":                          "curent",
		"current: a":                         `"a"`,
		"contexts: {a: {adr: 'h:1'}}":        "adr",
		"contexts: {a: {addr: h}}":           "HOST:PORT",
		strings.Repeat("# long\n", 200_000):  "more than",
		"contexts: {' ': {addr: '[::1]:1'}}": `" "`,
	} {
		path := filepath.Join(t.TempDir(), "contexts.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := contexts.Read(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// Of what many change at the same moment all stays; a link to the file stays one.
func TestChangesAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "contexts.yaml")
	if err := os.Symlink("elsewhere.yaml", path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "elsewhere.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const many = 20
	var all sync.WaitGroup
	for n := range many {
		all.Go(func() {
			if err := contexts.Change(path, func(f *contexts.File) error {
				return f.Add(fmt.Sprintf("c%d", n), contexts.Context{"addr": "h:1"})
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f, err := contexts.Read(path)
	if err != nil || len(f.Contexts) != many {
		t.Errorf("%d are there, %v", len(f.Contexts), err)
	}
	if to, err := os.Readlink(path); err != nil || to != "elsewhere.yaml" {
		t.Errorf("the link: %q, %v", to, err)
	}
	if err := contexts.Change("", func(*contexts.File) error { return nil }); fault.CodeOf(err) != fault.BadRequest {
		t.Error(err)
	}
}
