package main

import (
	"encoding/json"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestBuildIsWhatWasStamped(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.0",
		Main:      debug.Module{Version: "v1.2.3"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0", Sum: "h1:a"},
			{Path: "example.org/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/c", Version: "v2.0.0", Sum: "h1:c"}},
		},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "cafe"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}},
	}
	for _, tc := range []struct {
		name                  string
		stamped               build
		info                  *debug.BuildInfo
		version, commit, time string
	}{
		{"stamped", build{Version: "v9", Commit: "beef", Time: stampedTime("1767323045")}, info, "v9", "beef", "2026-01-02T03:04:05Z"},
		{"installed", build{}, info, "v1.2.3", "cafe", "2026-01-02T03:04:05Z"},
		{"nothing known", build{Time: stampedTime("0")}, &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "development", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := buildOf(tc.stamped, tc.info)
			if b.Version != tc.version || b.Commit != tc.commit || b.Time != tc.time {
				t.Errorf("%+v", b)
			}
			if b.Go == "" || b.Platform != runtime.GOOS+"/"+runtime.GOARCH {
				t.Errorf("go %q, platform %q", b.Go, b.Platform)
			}
		})
	}
	if m := buildOf(build{}, info).Modules; len(m) != 2 || m[1] != (usedModule{"example.org/c", "v2.0.0", "h1:c"}) {
		t.Errorf("modules %+v", m)
	}
}

// The program as it ships says its version in one word to each who asks, and names
// the modules that it has.
func TestVersion(t *testing.T) {
	out, err := exec.Command(binary, "version", "--modules", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var b build
	if err := json.Unmarshal(out, &b); err != nil {
		t.Fatal(err)
	}
	if b.Version == "" || b.Go != runtime.Version() || len(b.Modules) < 20 {
		t.Errorf("%s", out)
	}
	short, err := exec.Command(binary, "--version").Output()
	if err != nil || string(short) != "peerbus version "+b.Version+"\n" {
		t.Errorf("--version says %q, %v", short, err)
	}
	text, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.HasPrefix(string(text), "version   "+b.Version+"\n") || strings.Contains(string(text), "MODULE") {
		t.Errorf("version says %q, %v", text, err)
	}
	text, err = exec.Command(binary, "version", "--modules").Output()
	if err != nil || !strings.Contains(string(text), b.Modules[0].Sum) {
		t.Errorf("version --modules says %q, %v", text, err)
	}
}
