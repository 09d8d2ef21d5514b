package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

func lines(text string) int { return strings.Count(text, "\n") }

// runtime is one whose commands can be run.
type runtime interface {
	// peerbusCommand makes a command of peerbus that talks to the runtime.
	peerbusCommand(ctx context.Context, args ...string) *exec.Cmd
	url() string
}

// inCluster is the runtime of a namespace.
type inCluster struct {
	*cluster
	namespace, id string
}

func (r inCluster) url() string { return "hyperty-runtime://example.org/" + r.id }

func (r inCluster) peerbusCommand(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"-n", r.namespace, "exec", "deploy/gateway", "--", "/peerbus"}, args...)
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+r.kubeconfig)
	return cmd
}

// ask runs a command of a runtime.
func ask(ctx context.Context, r runtime, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	out, err := r.peerbusCommand(ctx, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: peerbus %s: %w: %s", r.url(), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Paths, as `peerbus listen` and `peerbus connections` name them.
const (
	direct  = "over the data channel"
	relayed = "over the Message Node"
)

// mainJob has one runtime send to another: the first message at once, and then, once
// there is a connection or none can be, over the path that is expected.
func mainJob(ctx context.Context, from, to runtime, path string) error {
	address := fmt.Sprintf("hyperty://example.org/%s-of-%s", last(to.url()), last(from.url()))
	if _, err := ask(ctx, to, "hyperties", "add", address); err != nil {
		return err
	}
	listening, err := listenAt(ctx, to, address)
	if err != nil {
		return err
	}
	defer listening.stop()
	if _, err := ask(ctx, from, "post", "--wait", "delivered", address, `{"value":"first"}`); err != nil {
		return err
	}
	if _, err := listening.next(`"first"`); err != nil {
		return err
	}
	if err := settled(ctx, from, to, path); err != nil {
		return err
	}
	if _, err := ask(ctx, from, "post", "--wait", "delivered", address, `{"value":"then"}`); err != nil {
		return err
	}
	line, err := listening.next(`"then"`)
	if err == nil && !strings.Contains(line, path) {
		err = fmt.Errorf("%s to %s: want it %s: %s", from.url(), to.url(), path, line)
	}
	return err
}

func last(url string) string { return url[strings.LastIndex(url, "/")+1:] }

// settleTime is how long a connection may take: two attempts.
const settleTime = 45 * time.Second

// settled waits until the connection is live, or has failed where none can be.
func settled(ctx context.Context, from, to runtime, path string) error {
	if path == direct {
		_, err := ask(ctx, from, "connections", "open", "--wait", "--timeout", settleTime.String(), to.url())
		if err != nil {
			return err
		}
	}
	return await(ctx, settleTime, func(ctx context.Context) error {
		text, err := ask(ctx, from, "connections", "-o", "json")
		if err != nil {
			return err
		}
		var list struct {
			Connections []struct {
				Remote   string `json:"remote_runtime_url"`
				State    string
				Path     string
				Attempts int
			}
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return err
		}
		for _, c := range list.Connections {
			if c.Remote != to.url() {
				continue
			}
			isDirect := c.State == "CONNECTION_STATE_LIVE" && c.Path == "PATH_DIRECT"
			if path == direct && isDirect || path == relayed && !isDirect && c.Attempts > 0 {
				return nil
			}
		}
		return fmt.Errorf("%s to %s: want it %s: %s", from.url(), to.url(), path, text)
	})
}

// listening is `peerbus listen` while it runs.
type listening struct {
	cancel context.CancelFunc
	cmd    *exec.Cmd
	lines  chan string
}

// listenAt listens at a runtime, and returns when it does.
func listenAt(ctx context.Context, r runtime, address string) (*listening, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &listening{cancel: cancel, cmd: r.peerbusCommand(ctx, "listen", address), lines: make(chan string, 100)}
	l.cmd.WaitDelay = time.Second
	out, err := l.cmd.StdoutPipe()
	if err == nil {
		l.cmd.Stderr = l.cmd.Stdout
		err = l.cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(l.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case l.lines <- s.Text():
			default: // more than anybody waits for
			}
		}
	}()
	if _, err := l.next("listening to"); err != nil {
		l.stop()
		return nil, err
	}
	return l, nil
}

// next waits for a line that has something.
func (l *listening) next(want string) (string, error) {
	late := time.After(callTime)
	for {
		select {
		case line, ok := <-l.lines:
			if !ok {
				return "", fmt.Errorf("the listener ended before %s came", want)
			}
			if strings.Contains(line, want) {
				return line, nil
			}
		case <-late:
			return "", fmt.Errorf("%s did not come to the listener", want)
		}
	}
}

func (l *listening) stop() {
	l.cancel()
	_ = l.cmd.Wait() // it was killed
}
