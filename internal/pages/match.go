//go:build unix

package pages

import (
	"regexp"
	"strings"
)

// wild stands for anything in a line, and alone for any lines.
const wild = "…"

// Match tells whether what was printed is as a page has it.
func Match(want, got string) bool {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for line := range strings.Lines(normal(want)) {
		line = strings.TrimSuffix(line, "\n")
		if line == wild {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), wild, ".*") + `\n`)
	}
	pattern.WriteString(`\z`)
	return regexp.MustCompile(pattern.String()).MatchString(normal(got)) // quoted: it compiles
}

// MatchNext tells how many bytes at the start of what was printed are as a page has
// it, whole lines.
func MatchNext(want, got string) (int, bool) {
	end := strings.LastIndexByte(got, '\n') + 1
	for at := 0; at < end; {
		at += strings.IndexByte(got[at:], '\n') + 1
		if Match(want, got[:at]) {
			return at, true
		}
	}
	return 0, false
}

// normal makes white space one space, and takes out blank lines, and what protobuf
// puts between the parts of JSON at random.
func normal(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			out.WriteString(jsonSpace.Replace(line) + "\n")
		}
	}
	return out.String()
}

var jsonSpace = strings.NewReplacer(`": `, `":`, `, "`, `,"`, `, {`, `,{`)
