package local

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/sequence"
)

// Bounds of a process that is watched.
const (
	stopTimeout = 10 * time.Second // from SIGTERM to SIGKILL
	maxLine     = 1 << 20          // bytes of a log line
	tailLines   = 40               // last lines kept for an error
)

// Process is one running peerbus.
type Process struct {
	Name    string
	program string
	args    []string
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended and its log has been read
	err     error         // how it ended; read after done

	killed atomic.Bool // by Kill: that is no failure

	mu   sync.Mutex
	tail []string
}

// start runs the binary. Its log lines go to onEvent.
func start(binary, name string, args []string, onEvent func(sequence.Event)) (*Process, error) {
	p := &Process{Name: name, program: binary, args: args, done: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = cleanEnvironment()
	p.cmd.SysProcAttr = processAttributes()
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fault.New(fault.Unavailable, "starting %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.read(stderr, onEvent)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// mode is the first argument: what a process of peerbus is.
func (p *Process) mode() string {
	if len(p.args) == 0 {
		return ""
	}
	return p.args[0]
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

func (p *Process) read(r io.Reader, onEvent func(sequence.Event)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		e, err := sequence.ParseEvent(lines.Bytes())
		if err == nil {
			onEvent(e)
		}
		if err != nil || e.Attrs["level"] != "DEBUG" {
			p.keep(lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line over the bound must not stop the process
}

func (p *Process) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail = append(p.tail, line)
	if len(p.tail) > tailLines {
		p.tail = p.tail[1:]
	}
}

// Tail gives the last lines of its log, debug lines left out.
func (p *Process) Tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// Ended tells whether the process is over.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process at once (SIGKILL), and waits for it.
func (p *Process) Kill() {
	p.killed.Store(true)
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the process to end (SIGTERM), and waits. The error says that it
// had to be killed, or how it failed.
func (p *Process) Stop() error {
	if p.Ended() {
		return p.failure()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.done
	return p.failure()
}

func (p *Process) failure() error {
	if p.err == nil || p.killed.Load() {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		if exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM && p.Tail() == "" {
			return nil // it had not come so far as to take signals
		}
		return fmt.Errorf("%s did not end by itself (%w):\n%s", p.Name, p.err, p.Tail())
	}
	return fmt.Errorf("%s failed (%w):\n%s", p.Name, p.err, p.Tail())
}
