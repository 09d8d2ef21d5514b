package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/internal/netlab"
)

const (
	// stopTime is how long a process may take to end after SIGTERM.
	stopTime = 15 * time.Second
	// endTime is the same at the end of a run.
	endTime = 5 * time.Second
	// crashPause is the time after which a process that ended by itself is
	// started again, as a supervisor does.
	crashPause = 500 * time.Millisecond
)

// process is one peerbus process, through all its restarts.
//
//	          start                SIGKILL, SIGTERM
//	stopped ─────────► running ──────────────────────► stopped
//	   ▲                  │ ends by itself: a complaint
//	   └──────────────────┘ started again after crashPause
type process struct {
	name     string // such as "bus of alice"
	args     []string
	log      string // its file
	complain func(string)

	mu      sync.Mutex
	cmd     *exec.Cmd     // nil while stopped
	ended   chan struct{} // closed when cmd has ended
	wanted  bool          // it shall run
	asked   bool          // it was told to end
	revival *time.Timer
}

// newProcess describes a process in a namespace; it does not start it.
func newProcess(in *netlab.Namespace, mode, dir string, complain func(string), args ...string) *process {
	name := mode + " of " + in.Short
	if mode == "msgnode" {
		name = mode
	}
	return &process{
		name: name, args: in.Inside(args...), complain: complain,
		log: filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".log"),
	}
}

// start runs the process. It does not wait until it serves.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if p.cmd != nil {
		return nil
	}
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // the process has it
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = cleanEnvironment()
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.cmd, p.asked, p.ended = cmd, false, make(chan struct{})
	go p.supervise(cmd, p.ended)
	return nil
}

// cleanEnvironment keeps settings of the surroundings away from the processes.
func cleanEnvironment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PEERBUS_") {
			env = append(env, e)
		}
	}
	return env
}

// supervise waits for the end of the process, and starts it again when nobody
// wanted it to end.
func (p *process) supervise(cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	close(ended)
	if p.asked {
		if failed(err) {
			p.complain(fmt.Sprintf("%s did not end well: %v", p.name, err))
		}
		return
	}
	p.complain(fmt.Sprintf("%s ended by itself: %v", p.name, err))
	p.revival = time.AfterFunc(crashPause, p.revive)
}

// failed tells an exit code from an end by a signal, which is what was asked.
func failed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() > 0
}

func (p *process) revive() {
	p.mu.Lock()
	wanted := p.wanted
	p.mu.Unlock()
	if !wanted {
		return
	}
	if err := p.start(); err != nil {
		p.complain(err.Error())
	}
}

// kill ends the process at once, and waits until it is over.
func (p *process) kill() {
	if ended := p.signal(syscall.SIGKILL); ended != nil {
		<-ended
	}
}

// terminate asks the process to end, and waits until it has. One that takes
// longer than stopTime is killed, and complained of.
func (p *process) terminate(ctx context.Context) {
	ended := p.signal(syscall.SIGTERM)
	if ended == nil {
		return
	}
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	case <-late.C:
		p.complain(fmt.Sprintf("%s had not ended %s after SIGTERM", p.name, stopTime))
	}
	p.kill()
}

// end is terminate for the end of the run: nobody waits long.
func (p *process) end() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	p.terminate(ctx)
}

// signal gives what is closed at the end of the process; nil when it is not
// running.
func (p *process) signal(s syscall.Signal) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = false
	if p.revival != nil {
		p.revival.Stop()
	}
	if p.cmd == nil {
		return nil
	}
	p.asked = true
	_ = p.cmd.Process.Signal(s)
	return p.ended
}

// pass passes on a signal that ends nothing.
func (p *process) pass(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// memory gives the resident size of the process in bytes; 0 when it is not
// running.
func (p *process) memory() int64 {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	if cmd == nil {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return residentSize(status)
}

// residentSize reads VmRSS from /proc/PID/status.
func residentSize(status []byte) int64 {
	for line := range bytes.Lines(status) {
		rest, ok := bytes.CutPrefix(line, []byte("VmRSS:"))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return 0
}
