package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Client calls a worker. Its methods may be called by several goroutines.
type Client struct {
	name string
	in   io.WriteCloser
	over chan struct{} // closed when nothing more is read

	mu    sync.Mutex
	last  int
	calls map[int]chan answer
}

// newClient reads answers until out ends.
func newClient(name string, in io.WriteCloser, out io.Reader) *Client {
	c := &Client{name: name, in: in, over: make(chan struct{}), calls: map[int]chan answer{0: make(chan answer, 1)}}
	go c.read(out)
	return c
}

func (c *Client) read(out io.Reader) {
	defer close(c.over)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue // a library that prints
		}
		if waits := c.forget(a.ID); waits != nil {
			waits <- a
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line over the bound must not stop the worker
}

func (c *Client) forget(id int) chan answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	waits := c.calls[id]
	delete(c.calls, id)
	return waits
}

// ready waits for the worker's first line.
func (c *Client) ready(ctx context.Context) error {
	c.mu.Lock()
	waits := c.calls[0]
	c.mu.Unlock()
	_, err := c.await(ctx, 0, waits)
	return err
}

// Call calls a worker, and decodes the result into result, which may be nil.
func (c *Client) Call(ctx context.Context, do string, args, result any) error {
	raw, err := c.call(ctx, do, args)
	if err == nil && result != nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", c.name, do, err)
	}
	return nil
}

func (c *Client) call(ctx context.Context, do string, args any) (json.RawMessage, error) {
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	waits := make(chan answer, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.calls[id] = waits
	err = json.NewEncoder(c.in).Encode(call{ID: id, Do: do, Args: raw})
	c.mu.Unlock()
	if err != nil {
		c.forget(id)
		return nil, err
	}
	return c.await(ctx, id, waits)
}

func (c *Client) await(ctx context.Context, id int, waits chan answer) (json.RawMessage, error) {
	select {
	case a := <-waits:
		return result(a)
	case <-ctx.Done():
		c.forget(id)
		return nil, ctx.Err()
	case <-c.over:
	}
	select {
	case a := <-waits: // its last words
		return result(a)
	default:
		return nil, errors.New("the process has ended")
	}
}

func result(a answer) (json.RawMessage, error) {
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return a.Result, nil
}
