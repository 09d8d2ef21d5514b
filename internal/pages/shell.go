//go:build unix

package pages

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of what a page may take.
const (
	// stepTime is how long a block, or a command of a console block, may take: a
	// build from nothing on a slow machine.
	stepTime = 3 * time.Minute
	// outcomeTime is how long a page waits for what another terminal is to print,
	// which may have something to build first.
	outcomeTime = 2 * time.Minute
	// endTime is how long what a page has started may take to end.
	endTime = 20 * time.Second
)

// shell is the bash that a page is typed into. Each step is a file that it reads,
// whose lines have the numbers that they have in the page, and has a file of output:
// what goes on in the background writes there too.
//
//	stdin  ── `. step-12 >out-12; echo $? >&3` ──► bash
//	fd 3   ◄── exit status ─────────────────────── bash
type shell struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	status *bufio.Scanner
	closer io.Closer // of status
	dir    string    // of the files
	last   int       // exit status of the last console command
	outs   []string
}

func startShell(home home, dir string) (*shell, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Close() }()
	cmd := home.command("bash", "--noprofile", "--norc")
	cmd.ExtraFiles = []*os.File{w}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	s := &shell{cmd: cmd, in: in, status: bufio.NewScanner(r), closer: r, dir: dir}
	_, err = fmt.Fprintf(in, "set -E -o pipefail; trap 'echo \"line $LINENO: $BASH_COMMAND\" >%s/failed' ERR\n", dir)
	return s, err
}

// run types commands in. The first that fails ends them, and the shell.
func (s *shell) run(line int, text string) error {
	step, out, err := s.step(line, text)
	if err != nil {
		return err
	}
	if _, err := s.enter("set -e; . %s >%s 2>&1 </dev/null 3>&-; set +e; echo 0 >&3\n", step, out); err != nil {
		failed, _ := os.ReadFile(filepath.Join(s.dir, "failed"))
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(failed)))
	}
	return nil
}

// ask types one command in, and gives its exit status and what it printed. The exit
// status of the one before is there for `echo $?`.
func (s *shell) ask(line int, text string) (status int, printed string, err error) {
	step, out, err := s.step(line, text)
	if err != nil {
		return 0, "", err
	}
	if status, err = s.enter("(exit %d); . %s >%s 2>&1 </dev/null 3>&-; echo $? >&3\n", s.last, step, out); err != nil {
		return 0, "", err
	}
	s.last = status
	text2, err := os.ReadFile(out)
	return status, string(text2), err
}

// step writes a step's file, and names that of its output.
func (s *shell) step(line int, text string) (step, out string, err error) {
	step = filepath.Join(s.dir, fmt.Sprintf("step-%d", line))
	out = filepath.Join(s.dir, fmt.Sprintf("out-%d", line))
	s.outs = append(s.outs, out)
	return step, out, os.WriteFile(step, []byte(strings.Repeat("\n", line-1)+text+"\n"), 0o600)
}

// enter types a line in and waits for the exit status.
func (s *shell) enter(format string, args ...any) (int, error) {
	if _, err := fmt.Fprintf(s.in, format, args...); err != nil {
		return 0, err
	}
	slow := time.AfterFunc(stepTime, s.kill)
	more := s.status.Scan()
	if !slow.Stop() {
		return 0, fmt.Errorf("took longer than %s", stepTime)
	}
	if !more {
		return 0, errors.New("failed")
	}
	return strconv.Atoi(s.status.Text())
}

// printed is all that the steps have printed, for whoever looks for what was wrong.
func (s *shell) printed() string {
	var all strings.Builder
	for _, out := range s.outs {
		if text, err := os.ReadFile(out); err == nil && len(text) > 0 {
			_, _ = fmt.Fprintf(&all, "--- line %s\n%s", strings.TrimPrefix(filepath.Base(out), "out-"), text)
		}
	}
	return all.String()
}

// end stops what runs in the background, and the shell. What does not stop is
// killed, and told.
func (s *shell) end() error {
	late := time.AfterFunc(endTime, s.kill)
	_, _ = fmt.Fprint(s.in, "trap - ERR; set +e; kill $(jobs -p) 2>/dev/null; wait; exit 0\n")
	_ = s.in.Close()
	if s.status.Scan(); s.cmd.Wait() != nil { // it has failed, and left its jobs
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	}
	inTime := late.Stop()
	err := gone(s.cmd.Process.Pid, endTime)
	_ = s.closer.Close()
	if !inTime {
		return fmt.Errorf("what runs in the background has not ended within %s", endTime)
	}
	return err
}

func (s *shell) kill() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

// gone waits until a process group has nothing that runs, and kills what is left.
func gone(group int, limit time.Duration) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if !runs(group) {
			return nil
		}
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
	return fmt.Errorf("process group %d has not ended within %s", group, limit)
}

// runs tells whether a group has a process that is not over. One that nobody has
// waited for is over.
func runs(group int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		// pid (name) state ppid pgrp
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) && fields[0] != "Z" {
			return true
		}
	}
	return false
}
