//go:build unix

package pages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// terminal is one besides the page's shell: what runs in it goes on until the next
// block of it, or the end of the page.
type terminal struct {
	name string
	path string // of the file with what it prints
	read int    // how far the page has looked at that

	cmd  *exec.Cmd // nil: nothing runs in it
	over chan struct{}
	err  error // of cmd; after over
}

// start runs commands. What ran there is interrupted first; what it has printed and
// the page does not show is passed over.
func (t *terminal) start(home home, line int, text string) error {
	if err := t.interrupt(); err != nil {
		return err
	}
	out, err := os.OpenFile(t.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	t.read = int(info.Size())
	script := filepath.Join(filepath.Dir(t.path), fmt.Sprintf("%s-%d", t.name, line))
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := home.command("bash", "-e", script)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	over := make(chan struct{})
	t.cmd, t.over = cmd, over
	go func() {
		defer close(over)
		t.err = cmd.Wait()
	}()
	return nil
}

// interrupt is Ctrl-C. What was over before has to have gone well.
func (t *terminal) interrupt() error {
	if t.cmd == nil {
		return nil
	}
	group := t.cmd.Process.Pid
	t.cmd = nil
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		if <-t.over; t.err != nil {
			return fmt.Errorf("terminal %s: %w", t.name, t.err)
		}
		return nil
	}
	_ = syscall.Kill(-group, syscall.SIGINT)
	err := gone(group, endTime)
	<-t.over
	return err
}

// expect waits until it has printed what a page has.
func (t *terminal) expect(want string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(outcomeTime); ; <-tick.C {
		text, err := os.ReadFile(t.path)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		fresh := string(text[min(t.read, len(text)):])
		if n, ok := MatchNext(want, fresh); ok {
			t.read += n
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("terminal %s does not print\n%s\nwithin %s, but\n%s", t.name, want, outcomeTime, fresh)
		}
	}
}
