package rules_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/peerbus/peerbus/"

type pkg struct {
	ImportPath   string
	Doc          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,TestImports,XTestImports,GoFiles", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}

// allowed says what the packages below a prefix may import of this module.
// The longest prefix counts.
var allowed = map[string][]string{
	"gen/":               {},
	"internal/fault":     {},
	"internal/limits":    {},
	"internal/numbered":  {},
	"internal/retry":     {"internal/run"},
	"internal/run":       {},
	"internal/sequence":  {"internal/fault"},
	"internal/config":    {"internal/fault"},
	"internal/contexts":  {"internal/fault", "internal/rpc"},
	"internal/engine":    {"internal/fault", "internal/rpc", "internal/run", "protocol/"},
	"internal/members":   {"internal/fault", "internal/engine", "internal/limits", "internal/retry", "internal/run"},
	"internal/pages":     {},
	"internal/rules":     {},
	"internal/fulldisk":  {},
	"internal/testcert":  {},
	"internal/story":     {},
	"internal/beside":    {},
	"internal/rpc":       {"internal/fault", "internal/retry", "internal/run", "protocol/"},
	"internal/tracing":   {"internal/fault", "internal/limits", "internal/rpc", "protocol/", "gen/"},
	"internal/local":     {"internal/fault", "internal/rpc", "internal/sequence", "gen/"},
	"internal/netlab":    {"internal/run"},
	"internal/olderpeer": {},
	"protocol/":          {"protocol/", "internal/fault", "gen/"},
	"client":             {"protocol/", "internal/fault", "internal/limits", "internal/retry", "internal/rpc", "internal/run", "gen/"},
	"web":                {},
	"services/":          {"client", "protocol/", "internal/", "gen/"},
	"services/gateway":   {"client", "protocol/", "internal/", "gen/", "web"},
	"chaos":              {"services/", "client", "protocol/", "internal/", "gen/"},
	"sim/":               {"services/msgnode", "services/nodestub", "client", "protocol/", "internal/", "gen/", "sim/"},
	"cmd/":               {"services/", "client", "protocol/", "internal/", "gen/"},
	"docs/examples":      {"client", "protocol/", "gen/"},
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		rule, ok := ruleFor(p.name())
		if !ok {
			t.Errorf("%s: no rule says what it may import", p.name())
			continue
		}
		for _, i := range p.Imports {
			own, ours := strings.CutPrefix(i, module)
			if ours && !mayImport(p.name(), own, rule) {
				t.Errorf("%s must not import %s", p.name(), own)
			}
		}
	}
}

func ruleFor(name string) ([]string, bool) {
	best, found := "", false
	for prefix := range allowed {
		if within(name, prefix) && len(prefix) >= len(best) {
			best, found = prefix, true
		}
	}
	return allowed[best], found
}

func within(name, prefix string) bool {
	return name == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(name, strings.TrimSuffix(prefix, "/")+"/")
}

func mayImport(from, to string, rule []string) bool {
	if service(from) != "" && service(from) == service(to) {
		return true
	}
	return slices.ContainsFunc(rule, func(prefix string) bool { return within(to, prefix) })
}

// service gives the service that a package belongs to.
func service(name string) string {
	rest, ok := strings.CutPrefix(name, "services/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func TestServicesMeetThroughGenAlone(t *testing.T) {
	for _, p := range packages(t) {
		own := service(p.name())
		if own == "" {
			continue
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if other := service(strings.TrimPrefix(i, module)); other != "" && other != own {
				t.Errorf("%s imports the service %s", p.name(), other)
			}
		}
	}
}

// pion is imported in one package, so that another major version of it is a
// change in one place; and in the double of a foreign peer, which must share no
// code with ours.
func TestPionIsInOnePlace(t *testing.T) {
	places := []string{"services/p2pstub/rtc", "internal/olderpeer"}
	for _, p := range packages(t) {
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(i, "github.com/pion/") && !slices.Contains(places, p.name()) {
				t.Errorf("%s imports %s", p.name(), i)
			}
		}
	}
}

func TestTheOlderPeerSharesNoCode(t *testing.T) {
	for _, p := range packages(t) {
		if p.name() != "internal/olderpeer" {
			continue
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if own, ours := strings.CutPrefix(i, module); ours && own != "internal/olderpeer" {
				t.Errorf("the older peer imports %s", own)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name(), "gen/") || len(p.GoFiles) == 0 {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.name())
		}
	}
}

// Each function that ARCHITECTURE.md names stands where it says.
func TestArchitectureNamesWhatThereIs(t *testing.T) {
	page, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("([a-z0-9/]+\\.go) `(\\w+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 20 {
		t.Fatalf("the page names %d functions", len(named))
	}
	for _, n := range named {
		code, err := os.ReadFile("../../" + n[1])
		if err != nil {
			t.Error(err)
			continue
		}
		if !regexp.MustCompile(`(?m)^func (\(\w+ \*?\w+\) )?` + n[2] + `\(`).Match(code) {
			t.Errorf("%s has no function %s", n[1], n[2])
		}
	}
}

// A comment that names a file of its own folder, or by its path, names one that is there.
func TestCommentsNameFilesThatExist(t *testing.T) {
	name := regexp.MustCompile(`(?:^|[ (])([a-z][a-z0-9_/]*\.go)\b(?:[^.a-z]|$)`)
	named := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(code)) {
			_, comment, _ := strings.Cut(line, "// ")
			for _, n := range name.FindAllStringSubmatch(comment, -1) {
				named++
				if !exists(filepath.Join(filepath.Dir(path), n[1])) && !exists(filepath.Join("../..", n[1])) {
					t.Errorf("%s names %s, which is not there", path, n[1])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if named < 100 {
		t.Errorf("comments name %d files", named)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
