//go:build unix

package pages

import "strings"

// elsewhere are the commands that are not run with their page, by how they begin,
// and why. Those of make, and the flags of chaos, are known to be there.
var elsewhere = map[string]string{
	"make bench":        "it takes a quarter of an hour, and its figures are in the repository; they are to be measured on a quiet machine",
	"make bench-growth": "as make bench",
	"make bench-return": "as make bench",
	"make profile":      "as make bench",
	"make bench-short":  "make check runs it",
	"make check":        "runs this",
	"make chaos":        "make check runs it",
	"make churn":        "make check runs it",
	"make measure":      "it takes a quarter of an hour, and its figures are in the repository; they are to be measured on a quiet machine",
	"go run ./chaos":    "takes minutes",
}

// Executed is the part of a block's commands that is run with the page; the others
// leave an empty line each.
func Executed(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if _, found := Elsewhere(line); found {
			line = "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// Elsewhere tells why a command is not run with its page, if so.
func Elsewhere(command string) (why string, found bool) {
	for prefix, why := range elsewhere {
		if rest, ok := strings.CutPrefix(command, prefix); ok && (strings.TrimSpace(rest) == "" || rest[0] == ' ') {
			return why, true
		}
	}
	return "", false
}
