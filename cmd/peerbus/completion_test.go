package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each shell gets a script that asks the program for words.
func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string][]string{
		"bash": {"complete -o default -F __start_peerbus peerbus", "__complete"},
		"zsh":  {"#compdef peerbus", "__complete"},
		"fish": {"complete -c peerbus", "__complete"},
	} {
		code, script, errs := command(t, nil, "completion", shell)
		if code != 0 || !contains(script, want...) || errs != "" {
			t.Errorf("%s: exit %d, %d bytes, %s", shell, code, len(script), errs)
		}
	}
}

// bashWords is what the script wants of the package bash-completion, for a line
// without quotes: the words up to the cursor.
const bashWords = `
_get_comp_words_by_ref() {
	words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD
	cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}
}
`

// bash completes with the script, as it does for somebody who presses Tab.
func TestBashCompletes(t *testing.T) {
	_, script, _ := command(t, nil, "completion", "bash")
	for line, want := range map[string][]string{
		"peerbus connections cl":                   {"close"},
		"peerbus hyperties ":                       {"add", "list", "remove"},
		"peerbus doc":                              {"doctor"},
		"peerbus post hyperty://a/1 --wait d":      {"delivered"},
		"peerbus bench --concurr":                  {"--concurrency"},
		"peerbus connections close --registry-ad":  {"--registry-addr"},
		"peerbus completion f":                     {"fish"},
		"peerbus hyperties add --kind ob":          {"object"},
		"peerbus status --output js":               {"json"},
		"peerbus nothing-like-this-is-a-command x": nil,
	} {
		got := completedByBash(t, script, line)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%q gives %q, want %q", line, got, want)
		}
	}
}

// completedByBash gives the words without what describes them.
func completedByBash(t *testing.T, script, line string) []string {
	t.Helper()
	words := strings.Split(line, " ")
	press := `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
__start_peerbus; printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.CommandContext(testContext(t), "bash", append([]string{"--norc", "-c", bashWords + script + press, "bash"}, words...)...)
	cmd.Env = []string{"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var found []string
	for word := range strings.Lines(string(out)) {
		if fields := strings.Fields(word); len(fields) > 0 {
			found = append(found, fields[0])
		}
	}
	return found
}
