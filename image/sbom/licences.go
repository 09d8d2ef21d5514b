package sbom

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// licences gives the SPDX identifiers of each module's licences, under its path, and
// those of the standard library. A module whose licence is not known is an error: what
// has none may not be shipped. (The standard library of some packagings has no file.)
func licences(info *debug.BuildInfo) (map[string][]string, error) {
	dirs, err := directories(info.Deps)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for path, dir := range dirs {
		if out[path], err = licencesIn(dir); err != nil {
			return nil, err
		}
		if len(out[path]) == 0 {
			return nil, fmt.Errorf("%s: no licence that is known in %s", path, dir)
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	out[stdlib], err = licencesIn(strings.TrimSpace(string(root)))
	return out, err
}

// directories gives where the module cache has each module. All are there, since the
// program has just been built; nothing is fetched.
func directories(deps []*debug.Module) (map[string]string, error) {
	args := []string{"list", "-m", "-json"}
	for _, m := range deps {
		args = append(args, m.Path)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
	cmd.Stderr = os.Stderr
	listed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	out := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(listed))); ; {
		var m struct{ Path, Version, Dir string }
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("go list -m: %w", err)
		case m.Dir == "":
			return nil, fmt.Errorf("%s %s is not in the module cache", m.Path, m.Version)
		}
		out[m.Path] = m.Dir
	}
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-._].*)?$`)

// licencesIn gives what the licence files of a directory say.
func licencesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, licencesOf(text)...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// covered is the least share of a file, in percent, that must be licence for it to count:
// the bound of pkg.go.dev.
const covered = 75

// licencesOf gives the SPDX identifiers of the licences whose text a file has.
func licencesOf(text []byte) (ids []string) {
	found := licensecheck.Scan(text)
	if found.Percent < covered {
		return nil
	}
	for _, m := range found.Match {
		if !m.IsURL {
			ids = append(ids, m.ID)
		}
	}
	return ids
}
