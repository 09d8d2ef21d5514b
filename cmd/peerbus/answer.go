package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"text/template"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// templateAnswer answers with a template over the message.
func templateAnswer(text string) (answerer, error) {
	t, err := template.New("template").Funcs(template.FuncMap{"json": jsonText}).Parse(text)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "%w", err).In("template")
	}
	return func(_ context.Context, m *pb.Message) ([]byte, error) {
		whole, err := message.ApplicationJSON(m)
		if err != nil {
			return nil, err
		}
		var fields map[string]any
		if err := json.Unmarshal(whole, &fields); err != nil {
			return nil, err
		}
		out := bounded{most: message.MaxSize}
		if err := t.Execute(&out, fields); err != nil {
			return nil, fault.New(fault.Internal, "%w", err)
		}
		return out.data, nil
	}, nil
}

func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// commandEnd is how long a command that was stopped may keep its pipes open.
const commandEnd = time.Second

// commandAnswer answers with what a command prints.
func commandAnswer(argv []string, limit time.Duration) (answerer, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, fault.New(fault.BadRequest, "%w", err).In("command")
	}
	if limit <= 0 {
		return nil, fault.New(fault.BadRequest, "limit must be more than 0").In("limit")
	}
	return func(ctx context.Context, m *pb.Message) ([]byte, error) {
		whole, err := message.ApplicationJSON(m)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		out, errs := bounded{most: message.MaxSize}, tail{most: 4 << 10}
		cmd := exec.CommandContext(ctx, path, argv[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(whole), &out, &errs
		cmd.Env = append(os.Environ(), messageVariables(m)...)
		cmd.WaitDelay = commandEnd
		ownGroup(cmd)
		err = cmd.Run()
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, fault.New(fault.Timeout, "the command took longer than %s", limit)
		case ctx.Err() != nil:
			return nil, fault.New(fault.Unavailable, "the command was stopped")
		case out.full:
			return nil, fault.New(fault.TooLarge, "the command printed more than %d bytes", out.most)
		case errors.Is(err, exec.ErrWaitDelay):
			_ = endGroup(cmd) // fails for what has left the group
			return nil, fault.New(fault.Internal, "the command has ended, but what it started keeps its output open")
		case err != nil:
			return nil, fault.New(fault.Internal, "%s", or(errs.lastLine(), err.Error()))
		}
		return out.data, nil
	}, nil
}

// messageVariables are not named as settings are, so that the command may be this
// program again.
func messageVariables(m *pb.Message) []string {
	return []string{"MESSAGE_ID=" + message.PlainID(m.Id), "MESSAGE_TYPE=" + m.Type, "MESSAGE_FROM=" + m.From, "MESSAGE_TO=" + m.To}
}

// errTooMuch ends a command that prints more than a message can have.
var errTooMuch = errors.New("too much output")

// bounded keeps what is written, up to most bytes, and refuses more. It is no
// bytes.Buffer itself, whose ReadFrom would know no bound.
type bounded struct {
	data []byte
	most int
	full bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.data)+len(p) > b.most {
		b.full = true
		return 0, errTooMuch
	}
	b.data = append(b.data, p...)
	return len(p), nil
}

// tail keeps the last most bytes of what is written.
type tail struct {
	data []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	t.data = t.data[max(0, len(t.data)-t.most):]
	return len(p), nil
}

func (t *tail) lastLine() string {
	text := strings.TrimSpace(string(t.data))
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
