package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Word is the first argument of a program when it is a worker. The second one is
// the role, the third one the configuration.
const Word = "worker"

// stopTime is how long a worker may take to end after its standard input has.
const stopTime = 5 * time.Second

// Process is a worker that runs.
type Process struct {
	*Client
	cmd *exec.Cmd
}

// Start runs this program in a role, and waits until it is ready. inside is put before
// the command line, such as `ip netns exec NAME`; it may be nil.
func Start(ctx context.Context, role string, config any, inside ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return StartProgram(ctx, self, role, config, inside...)
}

// StartProgram is Start with another program, which calls Work.
func StartProgram(ctx context.Context, program, role string, config any, inside ...string) (*Process, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	line := append(append([]string{}, inside...), program, Word, role, string(raw))
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", role, err)
	}
	p := &Process{newClient(role, in, out), cmd}
	if err := p.ready(ctx); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("starting %s: %w", role, err)
	}
	return p, nil
}

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Close ends the process, and waits for it.
func (p *Process) Close() error {
	_ = p.in.Close()
	late := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.over
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}
