package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/image/oci"
)

// instruction is a line of a Dockerfile, with the lines that continue it.
type instruction struct{ word, rest string }

// stages reads the Dockerfile: the instructions of each FROM.
func stages(t *testing.T) (out [][]instruction) {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	for line := range strings.Lines(joined) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || strings.HasPrefix(word, "#") {
			continue
		}
		if word == "FROM" || len(out) == 0 {
			out = append(out, nil)
		}
		last := len(out) - 1
		out[last] = append(out[last], instruction{word, strings.Join(strings.Fields(rest), " ")})
	}
	return out
}

// all gives what follows a word, each time that it comes.
func all(stage []instruction, word string) (out []string) {
	for _, i := range stage {
		if i.word == word {
			out = append(out, i.rest)
		}
	}
	return out
}

// The last stage says what `make image` says.
func TestDockerfileMakesTheSameImage(t *testing.T) {
	all3 := stages(t)
	if len(all3) != 3 { // what is before the first FROM, the build, the image
		t.Fatalf("%d stages", len(all3))
	}
	last := all3[2]
	entrypoint, err := json.Marshal(oci.Entrypoint)
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string][]string{
		"FROM": {"scratch"}, "USER": {oci.User}, "ENV": oci.Env, "ENTRYPOINT": {string(entrypoint)}, "WORKDIR": {"/"}, "CMD": nil, "RUN": nil,
		"COPY": {
			"--from=build /files/peerbus /files/sbom.json /",
			"--from=build --chown=" + oci.User + " /state/ " + oci.StateDir + "/",
		},
	} {
		if have := all(last, word); !slices.Equal(have, want) {
			t.Errorf("%s %q, not %q", word, have, want)
		}
	}
	if len(oci.Programs) != 2 || oci.Programs["peerbus"] == 0 || oci.Programs["sbom.json"] == 0 {
		t.Errorf("the Dockerfile copies other files than %v", oci.Programs)
	}
	labels := readImage(t, built.archive).config.Config.Labels
	for _, label := range strings.Fields(strings.Join(all(last, "LABEL"), " ")) {
		key, value, _ := strings.Cut(label, "=")
		value = strings.NewReplacer("$VERSION", built.version, "$COMMIT", built.commit).Replace(value)
		if labels[key] != value {
			t.Errorf("label %s is %q, not %q", key, value, labels[key])
		}
		delete(labels, key)
	}
	delete(labels, "org.opencontainers.image.created") // is of the time when it is built
	if len(labels) > 0 {
		t.Errorf("the Dockerfile has no labels %v", labels)
	}
}

// What the Dockerfile runs to build makes the files that `make image` packs.
func TestDockerfileBuildsTheSameFiles(t *testing.T) {
	build := stages(t)[1]
	runs := slices.DeleteFunc(all(build, "RUN"), func(run string) bool { return !strings.HasPrefix(run, "make ") })
	if len(runs) != 1 || !strings.Contains(runs[0], "FILES=/files") {
		t.Fatalf("RUN %q", runs)
	}
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", strings.Replace(runs[0], "/files", dir, 1))
	cmd.Dir = ".."
	cmd.Env = os.Environ()
	args := all(build, "ARG")
	for name, value := range map[string]string{
		"VERSION": built.version, "COMMIT": built.commit, "SOURCE_DATE_EPOCH": built.seconds, "TARGETOS": "linux", "TARGETARCH": runtime.GOARCH,
	} {
		cmd.Env = append(cmd.Env, name+"="+value)
		if !slices.ContainsFunc(args, func(arg string) bool { return arg == name || strings.HasPrefix(arg, name+"=") }) {
			t.Errorf("the Dockerfile has no ARG %s", name)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", runs[0], err, out)
	}
	files := readImage(t, built.archive).files
	for name := range oci.Programs {
		if fileDigest(t, filepath.Join(dir, name)) != digest(files[name].content) {
			t.Errorf("%s has other bytes", name)
		}
	}
}

// The Dockerfile builds with the Go that go.mod asks for, from all that git has.
func TestDockerfileBuildsFromTheTree(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	minor := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(mod)
	if have := all(stages(t)[0], "ARG"); minor == nil || !reflect.DeepEqual(have, []string{"GO_VERSION=" + string(minor[1])}) {
		t.Errorf("ARG %q, where go.mod has %q", have, minor)
	}
	ignored, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for pattern := range strings.Lines(string(ignored)) {
		pattern = strings.TrimSpace(pattern)
		if strings.HasPrefix(pattern, "#") || pattern == "" {
			continue
		}
		if lost := tracked(t, pattern); lost != "" {
			t.Errorf(".dockerignore leaves out %s", lost)
		}
	}
}
