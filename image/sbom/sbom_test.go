package sbom

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func TestBillNamesWhatIsLinkedIn(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.0",
		Main:      debug.Module{Path: "example.org/program"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0", Sum: "h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
			{Path: "example.org/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v2.0.0+incompatible"}},
		},
		Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "-trimpath", Value: "true"}, {Key: "vcs.time", Value: "now"}},
	}
	found := map[string][]string{"example.org/a": {"MIT"}, "example.org/b": {"BSD-3-Clause", "MIT"}}
	bom := billOf(info, found, "v9", "00ff", time.Unix(0, 0).UTC())

	var lines []string
	for _, c := range *bom.Components {
		line := c.PackageURL
		if c.Hashes != nil {
			line += " " + (*c.Hashes)[0].Value
		}
		for _, l := range licensesOf(c) {
			line += " " + l
		}
		lines = append(lines, line)
	}
	want := []string{
		"pkg:golang/example.org/a@v1.0.0 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f MIT",
		"pkg:golang/example.org/fork@v2.0.0%2Bincompatible BSD-3-Clause MIT",
		"pkg:golang/stdlib@1.26.0",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
	if uses := *(*bom.Dependencies)[0].Dependencies; len(uses) != 3 || bom.Metadata.Timestamp != "1970-01-01T00:00:00Z" {
		t.Errorf("%v at %s", uses, bom.Metadata.Timestamp)
	}
	program := bom.Metadata.Component
	settings := []cdx.Property{{Name: "go:version", Value: "go1.26.0"}, {Name: "go:GOOS", Value: "linux"}}
	if program.Version != "v9" || (*program.Hashes)[0].Value != "00ff" || !reflect.DeepEqual(*program.Properties, settings) {
		t.Errorf("%+v", program)
	}
}

func licensesOf(c cdx.Component) (ids []string) {
	if c.Licenses != nil {
		for _, l := range *c.Licenses {
			ids = append(ids, l.License.ID)
		}
	}
	return ids
}

func TestLicencesAreReadFromTheirTexts(t *testing.T) {
	self, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/licensecheck").Output()
	if err != nil {
		t.Fatal(err)
	}
	bsd, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(self)), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE":        string(bsd),
		"LICENSE-0BSD":   "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted.\n\nTHE SOFTWARE IS PROVIDED \"AS IS\" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.\n",
		"COPYING.md":     "Ask us before you copy it.\n",
		"licence_test.c": "int licence;\n",
		"README":         string(bsd),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := licencesIn(dir); err != nil || !slices.Equal(ids, []string{"0BSD", "BSD-3-Clause"}) {
		t.Errorf("%v, %v", ids, err)
	}
	if ids := licencesOf([]byte("All rights reserved.")); ids != nil {
		t.Errorf("%v", ids)
	}
}

func TestWhatIsNoProgramIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Write(&bytes.Buffer{}, file, "v1", time.Now())
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}
