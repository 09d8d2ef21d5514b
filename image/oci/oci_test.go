package oci

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

var about = About{Name: "peerbus:test", Version: "v1", Commit: "cafe", Time: time.Unix(1767323045, 0).UTC()}

// filesFor builds a small program for a platform, in a directory as Write wants it.
func filesFor(t *testing.T, env ...string) string {
	t.Helper()
	source, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "go.mod"), "module example.org/small\n\ngo 1.26\n")
	write(t, filepath.Join(source, "main.go"), "package main\n\nfunc main() {}\n")
	write(t, filepath.Join(dir, "sbom.json"), "{}")
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "peerbus"), ".")
	cmd.Dir, cmd.Env = source, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	static = []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}
	arm    = []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64"}
)

// One archive has an image for each platform, from which a container runtime chooses.
func TestEachPlatformHasItsImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := Write(file, about, []string{filesFor(t, static...), filesFor(t, arm...)}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xf", file, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	top, err := root.IndexManifest()
	if err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%+v, %v", top, err)
	}
	index, err := root.ImageIndex(top.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	layers := map[string]bool{}
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		layers[layerDigest(t, index, m)] = true
	}
	if strings.Join(platforms, " ") != "linux/amd64 linux/arm64/v8" || len(layers) != 2 {
		t.Errorf("platforms %v with %d layers", platforms, len(layers))
	}
}

func layerDigest(t *testing.T, index v1.ImageIndex, m v1.Descriptor) string {
	t.Helper()
	img, err := index.Image(m.Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || config.Architecture != m.Platform.Architecture {
		t.Errorf("config %+v, %v", config, err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	d, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// What cannot be an image is refused by name, and leaves nothing behind.
func TestWhatIsNoImageIsRefused(t *testing.T) {
	good := filesFor(t, static...)
	empty := t.TempDir()
	text := t.TempDir()
	write(t, filepath.Join(text, "peerbus"), "#!/bin/sh\n")
	bare := filesFor(t, static...)
	if err := os.Remove(filepath.Join(bare, "sbom.json")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, image string
		dirs        []string
		want        string
	}{
		{"no tag", "peerbus", []string{good}, `"peerbus": a tag is missing`},
		{"no name", "Peer Bus:1", []string{good}, `"Peer Bus:1"`},
		{"twice", "peerbus:1", []string{good, good}, "both for linux/amd64"},
		{"nothing there", "peerbus:1", []string{empty}, "peerbus: no such file"},
		{"no program", "peerbus:1", []string{text}, "peerbus: unrecognized file format"},
		{"no bill", "peerbus:1", []string{bare}, "sbom.json: no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			a := about
			a.Name = tc.image
			err := Write(filepath.Join(dir, "image.tar"), a, tc.dirs)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, not %q", err, tc.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestPlatformIsThatOfTheBuild(t *testing.T) {
	for settings, want := range map[string]string{
		"GOOS=linux GOARCH=amd64 CGO_ENABLED=0":                 "linux/amd64",
		"GOOS=linux GOARCH=arm64 CGO_ENABLED=0":                 "linux/arm64/v8",
		"GOOS=linux GOARCH=arm GOARM=7,hardfloat CGO_ENABLED=0": "linux/arm/v7",
		"GOOS=darwin GOARCH=arm64 CGO_ENABLED=0":                "was built for darwin/arm64, not for Linux",
		"GOOS=linux GOARCH=amd64 CGO_ENABLED=1":                 "was built with CGO_ENABLED=1; only a static program runs FROM scratch",
		"":                                                      "was built for /, not for Linux",
	} {
		var info debug.BuildInfo
		for _, s := range strings.Fields(settings) {
			key, value, _ := strings.Cut(s, "=")
			info.Settings = append(info.Settings, debug.BuildSetting{Key: key, Value: value})
		}
		p, err := platformOf(&info)
		if err != nil && err.Error() != want || err == nil && p.String() != want {
			t.Errorf("%s: %s, %v", settings, p, err)
		}
	}
}

func TestNamesAreAsKubernetesReadsThem(t *testing.T) {
	for short, want := range map[string]string{
		"peerbus:v1":                   "/library/peerbus:v1",
		"team/peerbus:v1":              "/team/peerbus:v1",
		"localhost/peerbus:v1":         "localhost/peerbus:v1",
		"images.example.org/a/bus:1-2": "images.example.org/a/bus:1-2",
	} {
		if have, err := fullName(short); !strings.HasSuffix(have, want) || strings.HasPrefix(have, "/") || err != nil {
			t.Errorf("%s is %q, %v", short, have, err)
		}
	}
}
