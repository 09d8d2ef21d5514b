package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Flags of which one would be passed over are refused, and both are named.
func TestFlagsThatDoNotGoTogether(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bench.json")
	if err := os.WriteFile(file, []byte(`{"results":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range [][3]string{
		{"-from FILE -run x", "-from", "-run"}, {"-from FILE -short", "-from", "-short"}, {"-from FILE -profile DIR", "-from", "-profile"},
		{"-from FILE -top DIR", "-from", "-top"}, {"-from DIR", "-from", "-top"}, {"-from FILE -rounds 3", "-from", "-rounds"},
		{"-from FILE -list", "-from", "-list"}, {"-from DIR -top DIR -short", "-from", "-short"}, {"-from DIR -top DIR -growth", "-growth", "-top"},
		{"-from DIR -top DIR -json x", "-json", "-top"}, {"-growth -profile DIR", "-growth", "-profile"}, {"-growth -o planning", "-growth", "-o"},
		{"-note x", "-note", "-top"},
	} {
		args := strings.NewReplacer("FILE", file, "DIR", dir).Replace(tc[0])
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), tc[1]) || !strings.Contains(err.Error(), tc[2]) {
			t.Errorf("%s: %v", tc[0], err)
		}
	}
	for _, args := range []string{"-from FILE -o planning", "-from FILE -growth -plot DIR", "-from DIR -top DIR -run x -note y", "-growth -run x -short -o json"} {
		if _, err := parse(strings.Fields(strings.NewReplacer("FILE", file, "DIR", dir).Replace(args))); err != nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// A file of curves is not taken for one of cases, nor the other way round.
func TestFilesAreToldApart(t *testing.T) {
	for content, args := range map[string][]string{`{"curves":null}`: nil, `{"results":[]}`: {"-growth"}, `{}`: nil, `{"what":1}`: {"-growth"}} {
		file := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := execute(t.Context(), append(args, "-from", file))
		if err == nil || !strings.Contains(err.Error(), file) || strings.Contains(content, "s\"") && !strings.Contains(err.Error(), "-growth") {
			t.Errorf("%s %v: %v", content, args, err)
		}
	}
}

func TestTheListOfCurves(t *testing.T) {
	s, err := parse([]string{"-growth", "-list", "-run", "^size-"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.writeList(&b); err != nil || strings.Count(b.String(), "\n") != 3 || !strings.HasPrefix(b.String(), "size-bus ") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
