package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// replySettings are those of `peerbus reply`.
type replySettings struct {
	clientSettings
	template string
	parallel int
	limit    time.Duration
}

// maxParallel bounds the requests that one `peerbus reply` answers at once: each
// may be a process.
const maxParallel = 64

func replyCommand() *cobra.Command {
	var s replySettings
	c := &cobra.Command{
		Use:     "reply ADDRESS {--template TEXT | -- COMMAND [ARG...]}",
		GroupID: groupClient,
		Short:   "Answer what comes for an address, with a template or a command, until interrupted",
		Long: `Answer each request that comes for an address, until interrupted. The address must be
registered here for requests from other runtimes (peerbus hyperties add).

--template is a Go text/template over the message, whose fields are .id, .type, .from,
.to and .body; {{json X}} writes X as JSON. What it gives is the body of the response.

COMMAND gets the message as JSON on its standard input, and MESSAGE_ID, MESSAGE_TYPE,
MESSAGE_FROM and MESSAGE_TO in its environment. The JSON object that it prints is the
body of the response. When its exit status is not 0, the response has code 500 and the
last line of its standard error; when it takes longer than --limit, 408.

A body without a code gets 200. Requests are answered one at a time in their order, or
--parallel at once. One at a time, a request that is under way when this command is
killed comes again.`,
		Example: `  peerbus reply hyperty://b.example/1 --template '{"value":{"hello":{{json .from}}}}'
  peerbus reply hyperty://b.example/1 -- jq -c '{value: .body.value}'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	s.busFlags(c)
	c.ValidArgsFunction = s.asked(1, ownAddresses)
	c.Flags().StringVar(&s.template, "template", "", "Go text/template, `TEXT` of the response's body")
	c.Flags().IntVar(&s.parallel, "parallel", 1, "requests that are answered at once")
	c.Flags().DurationVar(&s.limit, "limit", 10*time.Second, "how long a command may take for one request")
	return c
}

func (s *replySettings) run(cmd *cobra.Command, args []string) error {
	answer, err := s.answerer(cmd, args)
	if err != nil {
		return err
	}
	if s.parallel < 1 || s.parallel > maxParallel {
		return fault.New(fault.BadRequest, "parallel must be from 1 to %d", maxParallel).In("parallel")
	}
	out := &replyPrinter{w: cmd.OutOrStdout(), json: s.output.json()}
	slots := make(chan struct{}, s.parallel)
	var running sync.WaitGroup
	err = s.attached(cmd.Context(), "reply", args[:1], func(bus *client.Bus) client.Handler {
		r := &replier{bus: bus, answer: answer, out: out}
		if s.parallel == 1 {
			return r.reply
		}
		return func(ctx context.Context, m *pb.Message) {
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				r.reply(ctx, m)
			})
		}
	}, cmd.ErrOrStderr())
	running.Wait()
	return err
}

// answerer gives what makes the bodies, from the command line.
func (s *replySettings) answerer(cmd *cobra.Command, args []string) (answerer, error) {
	dash := cmd.ArgsLenAtDash()
	hasCommand := dash == 1 && len(args) > 1
	switch {
	case dash != 1 && len(args) != 1, dash == 1 && len(args) == 1, hasCommand == (s.template != ""):
		return nil, usageError{fmt.Errorf("reply: want one address, and either --template or -- COMMAND; %s", cmd.UseLine())}
	case hasCommand:
		return commandAnswer(args[1:], s.limit)
	default:
		return templateAnswer(s.template)
	}
}

// answerer makes the body of a response, a JSON object.
type answerer func(ctx context.Context, m *pb.Message) (body []byte, err error)

// replier answers the requests of one address.
type replier struct {
	bus    *client.Bus
	answer answerer
	out    *replyPrinter
}

func (r *replier) reply(ctx context.Context, m *pb.Message) {
	if message.IsResponse(m) {
		return // one that nobody waited for; an answer to it would never end
	}
	resp := responseTo(m, func() ([]byte, error) { return r.answer(ctx, m) })
	err := r.hand(ctx, resp)
	if code := fault.CodeOf(err); code == fault.TooLarge || code == fault.BadRequest { // the response is at fault
		resp = message.Refuse(m, err)
		err = r.hand(ctx, resp)
	}
	r.out.print(m, resp, err)
}

// hand gives a response to the bus, and waits until it is accepted: what is refused,
// since the address is not registered for one, shall be told here, as the requester
// is not. An interrupt ends the answering; that is told too.
func (r *replier) hand(ctx context.Context, resp *pb.Message) error {
	over := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	if over {
		return r.bus.Send(ctx, resp)
	}
	return r.bus.Post(ctx, resp)
}

// lastWord bounds the wait for a bus that does not take a response.
const lastWord = 2 * time.Second

// responseTo makes the response from a body, or from why there is none.
func responseTo(m *pb.Message, answer func() ([]byte, error)) *pb.Message {
	body, err := answer()
	if err != nil {
		return message.Refuse(m, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return message.Refuse(m, fault.New(fault.Internal, "the answer is not a JSON object"))
	}
	code := fault.OK
	if own, has := fields["code"]; has {
		if err := json.Unmarshal(own, &code); err != nil || code < 100 || code > 599 {
			return message.Refuse(m, fault.New(fault.Internal, "the answer has code %s, which is no status code", own))
		}
	}
	return message.Answer(m, code, fields)
}

// replyPrinter prints a line for each request that was answered.
type replyPrinter struct {
	mu   sync.Mutex
	w    io.Writer
	json bool
}

// print tells of a request and its response; with err nobody has got that one.
func (p *replyPrinter) print(req, resp *pb.Message, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		_, _ = fmt.Fprintln(p.w, printable(string(replyJSON(req, resp, err))))
		return
	}
	_, _ = fmt.Fprintf(p.w, "%s  %-8s  from %s  %s\n",
		time.Now().Format("15:04:05.000"), printable(req.Type), printable(req.From), printable(replyText(resp, err)))
}

func replyText(resp *pb.Message, err error) string {
	if err != nil {
		return "not answered: " + explain(err)
	}
	code, refused := message.Result(resp)
	if refused != nil {
		return fmt.Sprintf("answered %d  %s", code, refused)
	}
	return fmt.Sprintf("answered %d", code)
}

func replyJSON(req, resp *pb.Message, err error) []byte {
	fields := map[string]any{}
	q, _ := message.ApplicationJSON(req)
	a, _ := message.ApplicationJSON(resp)
	fields["request"], fields["response"] = json.RawMessage(q), json.RawMessage(a)
	if err != nil {
		fields["error"] = explain(err)
	}
	line, _ := json.Marshal(fields) // of texts that are JSON
	return line
}
