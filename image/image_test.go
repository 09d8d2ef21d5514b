package main

import (
	"bytes"
	"debug/elf"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/image/oci"
)

func commitTime(t *testing.T) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(built.seconds, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(n, 0).UTC()
}

func TestArchiveSaysWhatItIs(t *testing.T) {
	i := readImage(t, built.archive)
	for name := range i.archive {
		if strings.HasPrefix(name, "blobs/sha256/") && !i.used[name] {
			t.Errorf("nothing refers to %s", name)
		}
	}
	// Kubernetes looks for the short name of the manifests under the host that it stands for.
	name := i.top.Annotations["io.containerd.image.name"]
	if !strings.HasSuffix(name, "/library/peerbus:development") || i.top.Annotations["org.opencontainers.image.ref.name"] != name {
		t.Errorf("names %v", i.top.Annotations)
	}
	if p := i.index.Manifests[0].Platform; p.OS != "linux" || p.Architecture != runtime.GOARCH {
		t.Errorf("platform %+v", p)
	}
	want := map[string]string{
		"org.opencontainers.image.title":    "peerbus",
		"org.opencontainers.image.version":  built.version,
		"org.opencontainers.image.revision": built.commit,
		"org.opencontainers.image.created":  commitTime(t).Format(time.RFC3339),
		"org.opencontainers.image.source":   "https://github.com/peerbus/peerbus",
	}
	for where, have := range map[string]map[string]string{
		"index": i.index.Annotations, "manifest": i.manifest.Annotations, "config": i.config.Config.Labels,
	} {
		if !maps.Equal(have, want) {
			t.Errorf("%s: %v, not %v", where, have, want)
		}
	}
}

func TestConfig(t *testing.T) {
	c := readImage(t, built.archive).config
	if c.OS != "linux" || c.Architecture != runtime.GOARCH || !c.Created.Equal(commitTime(t)) {
		t.Errorf("%s/%s of %s", c.OS, c.Architecture, c.Created)
	}
	r := c.Config
	if r.User != "65532:65532" || !reflect.DeepEqual(r.Entrypoint, []string{"/peerbus"}) || len(r.Cmd) > 0 || len(r.Volumes) > 0 || r.WorkingDir != "/" {
		t.Errorf("%+v", r)
	}
	if !slices.Equal(r.Env, []string{"XDG_STATE_HOME=/var/lib"}) {
		t.Errorf("environment %v", r.Env)
	}
}

// There is the program, its bill of materials and a place for state, and nothing else.
func TestFiles(t *testing.T) {
	i := readImage(t, built.archive)
	type file struct {
		mode     int64
		uid, gid int
	}
	have := map[string]file{}
	for name, e := range i.files {
		have[name] = file{e.header.Mode, e.header.Uid, e.header.Gid}
	}
	want := map[string]file{
		"peerbus": {0o755, 0, 0}, "sbom.json": {0o644, 0, 0},
		"var": {0o755, 0, 0}, "var/lib": {0o755, 0, 0}, "var/lib/peerbus": {0o700, 65532, 65532},
	}
	if !maps.Equal(have, want) {
		t.Errorf("%v, not %v", have, want)
	}
	for where, entries := range map[string]map[string]entry{"archive": i.archive, "layer": i.files} {
		for name, e := range entries {
			if !e.header.ModTime.Equal(commitTime(t)) || e.header.Uname != "" {
				t.Errorf("%s: %s is of %s, %q", where, name, e.header.ModTime, e.header.Uname)
			}
		}
	}
	if oci.StateDir != "/var/lib/peerbus" {
		t.Errorf("state is in %s", oci.StateDir)
	}
}

func TestProgramIsStatic(t *testing.T) {
	program, err := elf.NewFile(bytes.NewReader(readImage(t, built.archive).files["peerbus"].content))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a segment %s", p.Type)
		}
	}
	if libs, err := program.ImportedLibraries(); len(libs) > 0 {
		t.Errorf("libraries %v, %v", libs, err)
	}
	if m := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]; program.Machine != m {
		t.Errorf("for %s", program.Machine)
	}
}
