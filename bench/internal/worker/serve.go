package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
)

// Op is what a worker can be called for.
type Op func(ctx context.Context, args json.RawMessage) (any, error)

// Ops are a worker's, by name.
type Ops map[string]Op

// Role starts a worker by its configuration. What it starts ends with ctx.
type Role func(ctx context.Context, config json.RawMessage) (Ops, error)

// Do makes an Op of a function with arguments and a result of its own types.
func Do[A, R any](f func(context.Context, A) (R, error)) Op {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var args A
		if err := decode(raw, &args); err != nil {
			return nil, err
		}
		return f(ctx, args)
	}
}

// As makes a Role of a function with a configuration of its own type.
func As[C any](f func(context.Context, C) (Ops, error)) Role {
	return func(ctx context.Context, raw json.RawMessage) (Ops, error) {
		var config C
		if err := decode(raw, &config); err != nil {
			return nil, err
		}
		return f(ctx, config)
	}
}

func decode(raw json.RawMessage, into any) error {
	if len(raw) == 0 {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// Work is the main function of a worker with one of these roles, by the arguments of its
// process. An interrupt at the terminal is for the parent alone.
func Work(roles map[string]Role, args []string) error {
	const words = 3
	if len(args) != words || args[0] != Word || roles[args[1]] == nil {
		return fmt.Errorf("%s is for the program bench alone", Word)
	}
	signal.Ignore(os.Interrupt)
	return Serve(context.Background(), roles[args[1]], json.RawMessage(args[2]), os.Stdin, os.Stdout)
}

// Serve runs a role until in ends. The calls under way then are cut off.
func Serve(ctx context.Context, role Role, config json.RawMessage, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{out: json.NewEncoder(out)}
	ops, err := role(ctx, config)
	s.answer(0, nil, err)
	if err != nil {
		return err
	}
	defer s.calls.Wait()
	defer cancel()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("call %q: %w", lines.Bytes(), err)
		}
		s.calls.Go(func() { s.call(ctx, ops, c) })
	}
	return lines.Err()
}

// server is a worker's side of the pipe.
type server struct {
	calls sync.WaitGroup

	mu  sync.Mutex
	out *json.Encoder
}

func (s *server) call(ctx context.Context, ops Ops, c call) {
	op, ok := ops[c.Do]
	if !ok {
		s.answer(c.ID, nil, fmt.Errorf("there is no call %q", c.Do))
		return
	}
	result, err := op(ctx, c.Args)
	s.answer(c.ID, result, err)
}

func (s *server) answer(id int, result any, err error) {
	a := answer{ID: id}
	if err == nil && result != nil {
		a.Result, err = json.Marshal(result)
	}
	if err != nil {
		a.Error = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(a) // who has gone needs no answer
}
