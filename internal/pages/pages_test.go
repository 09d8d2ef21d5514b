//go:build unix

package pages

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var runPages = flag.Bool("pages", false, "run the pages: it takes the default ports, and what .ci/run installs")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const repository = "../.."

// prose are the pages that have nothing to run.
var prose = []string{"ARCHITECTURE.md", "docs/concepts.md", "docs/extensions.md", "docs/adr/", "docs/reference/", "docs/performance/", "k8s/"}

// clustered are the pages that need a cluster: k8s/e2e runs them, in the same way.
var clustered = []string{"docs/kubernetes.md"}

// languages are those that a block may have.
var languages = []string{"", "sh", "console", "text", "js", "go", "python", "json", "yaml", "mermaid"}

func pageNames(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md", "ARCHITECTURE.md"}
	for _, dir := range []string{"docs", "k8s"} {
		err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" {
				name, _ := filepath.Rel(repository, path)
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func readPage(t *testing.T, name string) Page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// each calls f with every page.
func each(t *testing.T, f func(name string, p Page)) {
	t.Helper()
	names := pageNames(t)
	if len(names) < 10 {
		t.Fatalf("there are %d pages", len(names))
	}
	for _, name := range names {
		f(name, readPage(t, name))
	}
}

func isProse(name string) bool {
	return slices.ContainsFunc(prose, func(p string) bool { return name == p || strings.HasSuffix(p, "/") && strings.HasPrefix(name, p) })
}

// runs tells whether a block does something when its page is run.
func (b Block) runs() bool {
	return slices.Contains([]string{"sh", "console", "js"}, b.Language)
}

func TestEveryPageRunsOrIsProse(t *testing.T) {
	each(t, func(name string, p Page) {
		if does := slices.ContainsFunc(p.Blocks, Block.runs); does == isProse(name) {
			t.Errorf("%s: has commands: %v; is listed as prose: %v", name, does, isProse(name))
		}
	})
}

func TestBlocksAreUnderstood(t *testing.T) {
	each(t, func(name string, p Page) {
		for _, b := range p.Blocks {
			if !slices.Contains(languages, b.Language) {
				t.Errorf("%s:%d: nobody knows what to do with a block of %q", name, b.Line, b.Language)
			}
			for attribute := range b.Attributes {
				if attribute != "terminal" && attribute != "from" && attribute != "page" {
					t.Errorf("%s:%d: a block has no attribute %s", name, b.Line, attribute)
				}
			}
			if b.Language == "console" {
				if _, err := b.Commands(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// Code that is shown is an excerpt of code that is compiled or run.
func TestCodeIsExcerpted(t *testing.T) {
	found := 0
	each(t, func(name string, p Page) {
		for _, b := range p.Blocks {
			from := b.Attributes["from"]
			if from == "" {
				if b.Language == "go" || b.Language == "python" {
					t.Errorf("%s:%d: the block does not say which file it is from", name, b.Line)
				}
				continue
			}
			code, err := os.ReadFile(filepath.Join(repository, from))
			if err != nil {
				t.Errorf("%s:%d: %v", name, b.Line, err)
				continue
			}
			if line := notIn(b.Text, string(code)); line != "" {
				t.Errorf("%s:%d: %s has no line %q, or not in this order", name, b.Line, from, line)
			}
			found++
		}
	})
	if found < 2 {
		t.Errorf("%d excerpts were found", found)
	}
}

// notIn gives the first line of an excerpt that is not in the code behind the one
// before. Blank lines and … stand for what is left out.
func notIn(excerpt, code string) string {
	lines := strings.Split(code, "\n")
	for line := range strings.Lines(excerpt) {
		line = strings.TrimSpace(line)
		if line == "" || line == wild {
			continue
		}
		at := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == line })
		if at < 0 {
			return line
		}
		lines = lines[at+1:]
	}
	return ""
}

func TestLinksLeadSomewhere(t *testing.T) {
	each(t, func(name string, p Page) {
		for _, l := range p.Links {
			if err := follow(t, name, p, l.Text); err != nil {
				t.Errorf("%s:%d: %s: %v", name, l.Line, l.Text, err)
			}
		}
	})
}

// follow looks for what a link within the repository leads to.
func follow(t *testing.T, name string, p Page, target string) error {
	t.Helper()
	if strings.Contains(target, "://") {
		return nil
	}
	path, anchor, _ := strings.Cut(target, "#")
	if path != "" {
		path = filepath.Join(filepath.Dir(name), path)
		if _, err := os.Stat(filepath.Join(repository, path)); err != nil {
			return err
		}
		if anchor == "" {
			return nil
		}
		if filepath.Ext(path) != ".md" {
			return errors.New("only pages have anchors")
		}
		p = readPage(t, path)
	}
	if !p.Anchors[anchor] {
		return fmt.Errorf("there is no anchor %s", anchor)
	}
	return nil
}

// targets are those of the Makefile.
func targets(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// Commands of make, in blocks and in prose, are targets of the Makefile, those that
// are not run with their page among them.
func TestTargetsAreThere(t *testing.T) {
	there := targets(t)
	each(t, func(name string, p Page) {
		texts := p.Spans
		for _, b := range p.Blocks {
			if b.runs() {
				texts = append(texts, Text{b.Line, b.Text})
			}
		}
		for _, text := range texts {
			for _, m := range regexp.MustCompile(`(?m)^(?:\$ )?make ([a-z0-9-]+)`).FindAllStringSubmatch(text.Text, -1) {
				if !slices.Contains(there, m[1]) {
					t.Errorf("%s:%d: make has no target %s", name, text.Line, m[1])
				}
			}
		}
	})
}

func buildBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "peerbus")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/peerbus")
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// Commands that are named in prose are there, with their flags. So are the flags of
// chaos, whose commands are not run with their page.
func TestCommandsInProseAreThere(t *testing.T) {
	binary := buildBinary(t)
	helps := map[string]string{}
	help := func(words ...string) string {
		key := strings.Join(words, " ")
		if helps[key] == "" {
			cmd := exec.Command(words[0], words[1:]...)
			cmd.Dir = repository
			out, _ := cmd.CombinedOutput() // flag's help has exit status 2
			helps[key] = string(out)
		}
		return helps[key]
	}
	checked := 0
	each(t, func(name string, p Page) {
		for _, s := range p.Spans {
			words := strings.Fields(s.Text)
			if len(words) < 2 || words[0] != "peerbus" && words[0] != "bin/peerbus" {
				continue
			}
			path := subcommand(words[1:])
			if len(path) == 0 {
				continue // peerbus <mode> --help
			}
			text := help(slices.Concat([]string{binary}, path, []string{"--help"})...)
			if strings.Contains(text, "unknown command") || !strings.Contains(text, "peerbus "+strings.Join(path, " ")) {
				t.Errorf("%s:%d: there is no command %s", name, s.Line, s.Text)
			}
			for _, flag := range flags(words) {
				if !strings.Contains(text, flag) {
					t.Errorf("%s:%d: %s has no flag %s", name, s.Line, s.Text, flag)
				}
			}
			checked++
		}
		for _, b := range p.Blocks {
			for line := range strings.Lines(b.Text) {
				if !strings.HasPrefix(line, "go run ./chaos") {
					continue
				}
				text := help("go", "run", "./chaos", "-h")
				for _, flag := range flags(strings.Fields(line)) {
					if !strings.Contains(text, "\n  "+flag) {
						t.Errorf("%s:%d: chaos has no flag %s", name, b.Line, flag)
					}
				}
				checked++
			}
		}
	})
	if checked < 5 {
		t.Errorf("%d commands were found", checked)
	}
}

// subcommand is the command that words begin with, without its arguments.
func subcommand(words []string) []string {
	if !regexp.MustCompile(`^[a-z0-9]+$`).MatchString(words[0]) {
		return nil
	}
	if slices.Contains([]string{"hyperties", "context"}, words[0]) && len(words) > 1 && regexp.MustCompile(`^[a-z]+$`).MatchString(words[1]) {
		return words[:2]
	}
	return words[:1]
}

func flags(words []string) []string {
	var found []string
	for _, w := range words {
		if w == "#" {
			break
		}
		if strings.HasPrefix(w, "-") && strings.Trim(w, "-") != "" {
			name, _, _ := strings.Cut(w, "=")
			found = append(found, name)
		}
	}
	return found
}

var diagramLine = regexp.MustCompile(`^(sequenceDiagram|autonumber|participant \w+( as .+)?|actor \w+( as .+)?|box .*|end|` +
	`\w+ ?(-|--)(>|>>|x|\))[+-]? ?\w+: .+|[Nn]ote (over|left of|right of) \w+(, ?\w+)?: .+|` +
	`(loop|alt|else|opt|par|and|critical|break|rect) ?.*|(activate|deactivate) \w+|` +
	`(flowchart|graph) (LR|TD|TB|RL)|subgraph .+|direction (LR|TD|TB|RL)|` +
	`\w+(\[.+\]|\(.+\)|\{.+\})?( ?(<?--+>?|<?==+>|-\.->|---)(\|[^|]+\|)? ?\w+(\[.+\]|\(.+\)|\{.+\})?)*|` +
	`stateDiagram-v2|(\[\*\]|\w+) --> (\[\*\]|\w+)( ?: .+)?|%%.*|)$`)

// Diagrams have lines that Mermaid knows. A `;` would end one early.
func TestDiagrams(t *testing.T) {
	found := 0
	each(t, func(name string, p Page) {
		for _, b := range p.Blocks {
			if b.Language != "mermaid" {
				continue
			}
			found++
			depth := 0
			for i, line := range strings.Split(b.Text, "\n") {
				line = strings.TrimSpace(line)
				if !diagramLine.MatchString(line) || strings.Contains(line, ";") {
					t.Errorf("%s:%d: %q is no line of a diagram", name, b.Line+i, line)
				}
				first, _, _ := strings.Cut(line, " ")
				if slices.Contains([]string{"box", "loop", "alt", "opt", "par", "critical", "break", "rect", "subgraph"}, first) {
					depth++
				}
				if line == "end" {
					depth--
				}
			}
			if depth != 0 {
				t.Errorf("%s:%d: %d more begin than end", name, b.Line, depth)
			}
		}
	})
	if found == 0 {
		t.Error("there is no diagram")
	}
}

// TestPages does what the pages say.
func TestPages(t *testing.T) {
	if !*runPages {
		t.Log("pages are run with -pages (make docs)")
		return
	}
	binary := buildBinary(t)
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(name string, p Page) {
		if !isProse(name) && !slices.Contains(clustered, name) {
			t.Run(name, func(t *testing.T) { runPage(t, root, binary, name, p) })
		}
	})
}

func runPage(t *testing.T, root, binary, name string, p Page) {
	r, err := NewRunner(root, binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.End(); err != nil {
			t.Errorf("%s: at its end: %v", name, err)
		}
	})
	for _, b := range p.Blocks {
		if err := r.Run(b); err != nil {
			t.Fatalf("%s:%d: %v\nall that it has printed:\n%s", name, b.Line, err, lastOf(r.Printed()))
		}
	}
}

// lastOf bounds what a failure shows.
func lastOf(text string) string {
	const most = 20 << 10
	if len(text) > most {
		return wild + text[len(text)-most:]
	}
	return text
}

func TestParse(t *testing.T) {
	p, err := Parse("# A `b` C!\n\n[x](y.md#z) `[no](link)`\n\n  ```sh terminal=two\n  a\n    b\n  ```\n## A b C\n~~~\n```\n~~~\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := []Text{{3, "y.md#z"}}; !slices.Equal(p.Links, want) {
		t.Errorf("links %v, want %v", p.Links, want)
	}
	if !p.Anchors["a-b-c"] || !p.Anchors["a-b-c-1"] {
		t.Errorf("anchors %v", p.Anchors)
	}
	if len(p.Blocks) != 2 || p.Blocks[0].Text != "a\n  b\n" || p.Blocks[0].Line != 6 || p.Blocks[0].Attributes["terminal"] != "two" || p.Blocks[1].Text != "```\n" {
		t.Errorf("blocks %+v", p.Blocks)
	}
	for _, bad := range []string{"```sh\na", "```sh word\n```"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q has no error", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# a\n```console x=y\n$ a \\\nb\n> c\nd\n```\n[a](b)")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		for _, b := range p.Blocks {
			if n := strings.Count(text, "\n"); b.Line < 2 || b.Line > n+1 {
				t.Errorf("line %d of %d", b.Line, n)
			}
			_, _ = b.Commands()
		}
	})
}

func TestCommands(t *testing.T) {
	b := Block{Line: 10, Text: "$ a \\\n    b\nout\n$ c 'd\n> e'\n> out\n"}
	got, err := b.Commands()
	want := []Command{{10, "a \\\n    b", "out\n"}, {13, "c 'd\ne'\nout", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := (Block{Text: "out\n$ a\n"}).Commands(); err == nil {
		t.Error("output before the first command is taken")
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		want, got string
		match     bool
	}{
		{"a  b\n\n", "a b\n", true},
		{"a", "a\nb", false},
		{"a", "", false},
		{"", "a", false},
		{"id …, end", "id 17, end", true},
		{"id …, end", "id 17\n, end", false},
		{"…\nb", "a\na\nb\n", true},
		{"…", "", true},
		{"a\n…", "b", false},
		{`{"a":1,"b":[{"c":2},{}]}`, `{"a": 1, "b": [{"c": 2}, {}]}`, true},
		{"a.c", "abc", false},
	} {
		if got := Match(c.want, c.got); got != c.match {
			t.Errorf("%q and %q match: %v", c.want, c.got, got)
		}
	}
}

func TestMatchNext(t *testing.T) {
	const got = "one\ntwo\nthr"
	if n, ok := MatchNext("…\ntwo", got); !ok || got[n:] != "thr" {
		t.Errorf("matches %d bytes, %v", n, ok)
	}
	if _, ok := MatchNext("two", got); ok {
		t.Error("matches behind something else")
	}
	if _, ok := MatchNext("one\ntwo\nthr", got); ok {
		t.Error("matches a line that has not ended")
	}
}

// A page that is wrong is found out, each kind of block for itself.
func TestRunnerFindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ page, want string }{
		"right":            {"```sh\na=1\nsleep 1000 &\n```\n```console\n$ echo $a\n1\n$ (exit 3)\n$ echo $?\n3\n```\n```sh terminal=t\necho x; sleep 1000\n```\n```text terminal=t\nx\n```\n", ""},
		"command":          {"```sh\ntrue\n\nfalse\ntrue\n```\n", "line 4: false"},
		"pipe":             {"```sh\nfalse | true\n```\n", "line 2"},
		"output":           {"```console\n$ echo a\nb\n```\n", "line 2: the page says"},
		"status":           {"```console\n$ (exit 3)\n```\n", "exit status 3"},
		"other terminal":   {"```sh terminal=t\necho $$ >pid; echo a; exit 4\n```\n```text terminal=t\na\n```\n```sh\nwhile kill -0 $(cat pid) 2>/dev/null; do :; done\n```\n```sh terminal=t\ntrue\n```\n", "exit status 4"},
		"console's syntax": {"```console\na\n```\n", "before the first command"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Parse(c.page)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			h := home{clone: dir, env: os.Environ()}
			s, err := startShell(h, dir)
			if err != nil {
				t.Fatal(err)
			}
			r := &Runner{home: h, dir: dir, shell: s, terminals: map[string]*terminal{}}
			for _, b := range p.Blocks {
				if err = r.Run(b); err != nil {
					break
				}
			}
			if end := r.End(); err == nil {
				err = end
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestElsewhere(t *testing.T) {
	text := Executed("make demo\nmake check   # all\nmake checks\n")
	if want := "make demo\n\nmake checks\n"; !bytes.Equal([]byte(text), []byte(want)) {
		t.Errorf("%q, want %q", text, want)
	}
}
