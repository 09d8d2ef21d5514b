// Package story tests machines by golden stories: files of testdata that name an
// event, then what came of it, and that are read as prose.
package story

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the stories in testdata")

// Play has each story that a pattern names, such as "testdata/*.txt", told again
// by tell, and compares. With -update it writes down what was told.
func Play(t *testing.T, pattern string, tell func(t *testing.T, story string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := tell(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the story goes\n%s", got)
			}
		})
	}
}

// Tell has each event of a story told, a line that begins with `>`, without what stands
// behind `#`. It writes the line to out first; what tell writes there stands below it.
// Lines that begin with `#`, and empty ones, stay; all others are left out.
func Tell(story string, out *strings.Builder, tell func(event string)) {
	for line := range strings.Lines(story) {
		event, is := strings.CutPrefix(line, ">")
		if is || strings.HasPrefix(line, "#") || line == "\n" {
			out.WriteString(line)
		}
		if is {
			event, _, _ = strings.Cut(event, "#")
			tell(event)
		}
	}
}
