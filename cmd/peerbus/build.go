package main

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// What the Makefile stamps into the program: the version, the commit, and the time of
// the commit in seconds since 1970.
var stampVersion, stampCommit, stampTime string

var (
	built   = buildOf(build{Version: stampVersion, Commit: stampCommit, Time: stampedTime(stampTime)}, buildInfoOf())
	version = built.Version
)

// build says what a program was made from. Commit and time are empty where nobody knows.
type build struct {
	Version  string       `json:"version"`
	Commit   string       `json:"commit,omitempty"`
	Time     string       `json:"time,omitempty"` // of the commit, RFC 3339
	Go       string       `json:"go"`
	Platform string       `json:"platform"`
	Modules  []usedModule `json:"modules,omitempty"`
}

// usedModule is a Go module that is linked in.
type usedModule struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum,omitempty"` // as in go.sum; a replacement from a directory has none
}

// buildInfoOf gives what the Go command wrote into this program.
func buildInfoOf() *debug.BuildInfo {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return &debug.BuildInfo{}
	}
	return info
}

// buildOf completes what was stamped with what the Go command knows, which is the
// commit when it built in a clone, and the version of a program that was installed.
func buildOf(stamped build, info *debug.BuildInfo) build {
	b := stamped
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	b.Version = cmp.Or(b.Version, "development")
	b.Commit = cmp.Or(b.Commit, setting(info, "vcs.revision"))
	b.Time = cmp.Or(b.Time, setting(info, "vcs.time"))
	b.Go = cmp.Or(info.GoVersion, runtime.Version())
	b.Platform = runtime.GOOS + "/" + runtime.GOARCH
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Modules = append(b.Modules, usedModule{m.Path, m.Version, m.Sum})
	}
	return b
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// stampedTime reads seconds since 1970; empty for 0, which stands for a time that nobody
// knows, and for what is no number.
func stampedTime(seconds string) string {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n == 0 {
		return ""
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}
