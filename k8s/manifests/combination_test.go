package manifests

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Every overlay and every component that there is is tried.
func TestAllIsCombined(t *testing.T) {
	for folder, of := range map[string]func(Combination) []string{
		"overlays":   func(c Combination) []string { return []string{c.Overlay} },
		"components": func(c Combination) []string { return c.Components },
	} {
		entries, err := os.ReadDir(filepath.Join("..", folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			used := slices.ContainsFunc(Combinations(), func(c Combination) bool { return slices.Contains(of(c), e.Name()) })
			if !used && e.Name() != "scaled" { // of which the overlays are made
				t.Errorf("%s/%s is in no combination", folder, e.Name())
			}
		}
	}
}

func TestWrite(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	c := Combination{Overlay: "single", Namespace: "n", Components: []string{"tls", "open-node"}}
	if err := c.Write(root, dir, "images: []\n"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: n\nresources:\n" +
		"  - ../" + filepath.Base(root) + "/overlays/single\ncomponents:\n  - ../" + filepath.Base(root) + "/components/tls\n" +
		"  - ../" + filepath.Base(root) + "/components/open-node\nimages: []\n"
	if string(text) != want {
		t.Errorf("it is\n%s\nwant\n%s", text, want)
	}
}
