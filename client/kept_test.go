package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/codec"
	"github.com/peerbus/peerbus/protocol/message"
)

// posts reads n posts, in whatever frames they come.
func (a *attachment) posts(t *testing.T, n int) (posts []*pb.Post) {
	t.Helper()
	for len(posts) < n {
		posts = append(posts, a.next(t, hasPost).Posts...)
	}
	return posts
}

// describe gives posts as `number to`, with a mark on those that are repeated.
func describe(posts []*pb.Post) (out []string) {
	for _, p := range posts {
		text := fmt.Sprint(p.Number, " ", p.Message.To)
		if p.Again {
			text += " again"
		}
		out = append(out, text)
	}
	return out
}

func expect(t *testing.T, posts []*pb.Post, want ...string) {
	t.Helper()
	if got := describe(posts); !slices.Equal(got, want) {
		t.Errorf("posted %q, want %q", got, want)
	}
}

func sendAll(t *testing.T, b *client.Bus, to ...string) {
	t.Helper()
	for _, address := range to {
		if err := b.Send(t.Context(), msg(address)); err != nil {
			t.Fatal(err)
		}
	}
}

// settle says that posts are settled. An outcome that comes behind it tells when
// the client has read it.
func (a *attachment) settle(t *testing.T, ranges ...*pb.Range) {
	t.Helper()
	a.send(t, &pb.AttachResponse{Settled: ranges})
}

func only(number uint64) *pb.Range { return &pb.Range{First: number, Last: number} }

func outcome(p *pb.Post, code int32) *pb.AttachResponse {
	return &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: p.Sequence, Code: code, Description: "said so"}}}
}

func posting(b *client.Bus, ctx context.Context, m *pb.Message, opts ...client.PostOption) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.Post(ctx, m, opts...) }()
	return done
}

func TestWhatIsNotSettledIsPostedAgainBeforeAnythingNew(t *testing.T) {
	b, fake := setup(t, client.Config{})
	a := <-fake.attached
	a.welcome(t, 0)
	sendAll(t, b, "a", "b", "c", "d", "e")
	expect(t, a.posts(t, 5), "1 a", "2 b", "3 c", "4 d", "5 e")
	a.settle(t, only(2), &pb.Range{First: 4, Last: 99}) // of what was never posted, nothing can be settled
	a.cut <- errors.New("killed")
	next := <-fake.attached
	sendAll(t, b, "f")
	next.welcome(t, 0)
	expect(t, next.posts(t, 3), "1 a again", "3 c again", "6 f")
}

func TestTheOriginStaysTheSame(t *testing.T) {
	_, fake := setup(t, client.Config{})
	var origins []string
	for range 2 {
		a := <-fake.attached
		hello := a.next(t, func(r *pb.AttachRequest) bool { return r.Hello != nil }).Hello
		origins = append(origins, string(hello.Origin))
		a.cut <- errors.New("killed")
	}
	if len(origins[0]) != 16 || origins[0] != origins[1] {
		t.Errorf("origins are %x", origins)
	}
}

// Those who pass on the messages of others do not number them.
func TestPostsOfAStubHaveNoNumber(t *testing.T) {
	b, fake := setup(t, client.Config{Component: pb.Component_COMPONENT_P2P_STUB})
	a := <-fake.attached
	hello := a.next(t, func(r *pb.AttachRequest) bool { return r.Hello != nil }).Hello
	a.send(t, &pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeURL}})
	m := msg("a")
	m.Origin, m.Number = []byte("another's"), 7
	if err := b.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	p := a.posts(t, 1)[0]
	if len(hello.Origin) != 0 || p.Number != 0 || p.Message.Number != 7 {
		t.Errorf("hello %v, post %v", hello, p)
	}
}

// The call waits on for the outcome of the repeated post.
func TestPostOutlivesItsStream(t *testing.T) {
	b, fake := setup(t, client.Config{})
	done := posting(b, t.Context(), msg("a"))
	a := <-fake.attached
	a.welcome(t, 0)
	first := a.posts(t, 1)[0]
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 0)
	again := next.posts(t, 1)[0]
	if !again.Again || again.Number != first.Number || again.Wait != pb.Wait_WAIT_ACCEPTED || again.Sequence == 0 {
		t.Errorf("posted again as %v", again)
	}
	next.send(t, outcome(again, 200))
	if err := <-done; err != nil {
		t.Errorf("Post: %v", err)
	}
}

// What has been accepted is still kept; but nobody waits for it, so a refusal must
// come as a response.
func TestWhatWasAcceptedIsRepeatedWithoutAnOutcome(t *testing.T) {
	b, fake := setup(t, client.Config{})
	done := posting(b, t.Context(), msg("a"))
	a := <-fake.attached
	a.welcome(t, 0)
	a.send(t, outcome(a.posts(t, 1)[0], 200))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 0)
	if again := next.posts(t, 1)[0]; !again.Again || again.Sequence != 0 || again.Wait != pb.Wait_WAIT_UNSPECIFIED {
		t.Errorf("posted again as %v", again)
	}
}

func TestWhatIsOverIsNotPostedAgain(t *testing.T) {
	b, fake := setup(t, client.Config{})
	a := <-fake.attached
	a.welcome(t, 0)
	refused := posting(b, t.Context(), msg("refused"))
	a.send(t, outcome(a.posts(t, 1)[0], 404))
	if err := <-refused; fault.CodeOf(err) != fault.NotFound {
		t.Errorf("Post: %v", err)
	}
	delivered := posting(b, t.Context(), msg("delivered"), client.Delivered())
	a.send(t, outcome(a.posts(t, 1)[0], 200))
	if err := <-delivered; err != nil {
		t.Errorf("Post: %v", err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := b.Request(t.Context(), msg("answered"))
		answered <- err
	}()
	p := a.posts(t, 1)[0]
	a.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: p.Sequence, Code: 200, Response: message.Answer(p.Message, 200, nil)}}})
	if err := <-answered; err != nil {
		t.Errorf("Request: %v", err)
	}
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 0)
	sendAll(t, b, "new")
	expect(t, next.posts(t, 1), "4 new")
}

// A request that is repeated has the time that is left.
func TestARequestOutlivesItsStream(t *testing.T) {
	b, fake := setup(t, client.Config{Limits: client.Limits{RequestTimeout: time.Minute}})
	answered := make(chan error, 1)
	go func() {
		_, err := b.Request(t.Context(), msg("a"))
		answered <- err
	}()
	a := <-fake.attached
	a.welcome(t, 0)
	before := a.posts(t, 1)[0].Timeout.AsDuration()
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 0)
	again := next.posts(t, 1)[0]
	if left := again.Timeout.AsDuration(); left >= before || left <= 0 || again.Wait != pb.Wait_WAIT_RESPONSE {
		t.Errorf("first %v, then %v", before, again)
	}
	next.send(t, &pb.AttachResponse{Outcomes: []*pb.Outcome{{Sequence: again.Sequence, Code: 200, Response: message.Answer(again.Message, 200, nil)}}})
	if err := <-answered; err != nil {
		t.Errorf("Request: %v", err)
	}
}

// Who gives up after the message has left is told that its fate is not known; it
// is posted again all the same.
func TestGivingUpDoesNotTakeAMessageBack(t *testing.T) {
	b, fake := setup(t, client.Config{})
	ctx, giveUp := context.WithCancel(t.Context())
	done := posting(b, ctx, msg("a"))
	a := <-fake.attached
	a.welcome(t, 0)
	a.posts(t, 1)
	giveUp()
	if err := <-done; fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "may still arrive") {
		t.Errorf("Post: %v", err)
	}
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 0)
	again := next.posts(t, 1)
	expect(t, again, "1 a again")
	if again[0].Sequence != 0 {
		t.Errorf("posted again as %v", again)
	}
}

func TestDeliveredWaitsAsLongAsItsContext(t *testing.T) {
	b, fake := setup(t, client.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := posting(b, ctx, msg("a"), client.Delivered())
	a := <-fake.attached
	a.welcome(t, 0)
	p := a.posts(t, 1)[0]
	if left := p.Timeout.AsDuration(); p.Wait != pb.Wait_WAIT_DELIVERED || left <= 0 || left > time.Minute {
		t.Errorf("posted %v", p)
	}
	a.send(t, outcome(p, 408))
	if err := <-done; fault.CodeOf(err) != fault.Timeout {
		t.Errorf("Post: %v", err)
	}
}

func TestTheCallerMayUseItsMessageForTheNextOne(t *testing.T) {
	b, fake := setup(t, client.Config{})
	m := msg("a")
	m.Body = []byte(`{"value":1}`)
	if err := b.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.To, m.Body[9] = "b", '2'
	if err := b.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	a := <-fake.attached
	a.welcome(t, 0)
	posts := a.posts(t, 2)
	expect(t, posts, "1 a", "2 b")
	if first, second := string(posts[0].Message.Body), string(posts[1].Message.Body); first != `{"value":1}` || second != `{"value":2}` {
		t.Errorf("posted %s, %s", first, second)
	}
}

// Whoever posts, and whoever writes it, posts arrive once each, in the order of their
// numbers.
func TestManyPostAtTheSameTime(t *testing.T) {
	b, fake := setup(t, client.Config{})
	const posters, each = 8, 300
	failed := make(chan error, posters)
	for range posters {
		go func() {
			for n := range each {
				m := msg("a")
				m.Body = fmt.Appendf(nil, `{"value":%q}`, strings.Repeat("v", n%7*2000))
				if err := b.Send(t.Context(), m); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	a := <-fake.attached
	a.welcome(t, 0)
	for number := uint64(1); number <= posters*each; {
		for _, p := range a.posts(t, 1) {
			if p.Number != number || p.Again {
				t.Fatalf("%v came, want number %d", p, number)
			}
			number++
		}
		a.settle(t, &pb.Range{First: 1, Last: number - 1})
	}
	for range posters {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// The credit for a request goes along with what is posted next.
func TestCreditOfWhatIsAnsweredGoesAlong(t *testing.T) {
	b, fake := setup(t, client.Config{Limits: client.Limits{Linger: time.Hour}})
	a := listening(t, b, fake, "x", func(ctx context.Context, m *pb.Message) {
		_ = b.Send(ctx, message.Answer(m, 200, nil))
	})
	for number := uint64(1); ; number++ {
		a.send(t, delivery("x", numbered("x", number)))
		req := a.next(t, func(*pb.AttachRequest) bool { return true })
		if len(req.Posts) != 1 {
			t.Fatalf("%v came instead of an answer", req)
		}
		if len(req.Credits) > 0 { // mostly it is the second
			break
		}
	}
}

// So does that for what a stub has passed on in a flow, whatever is posted then.
func TestCreditOfWhatIsPassedOnGoesAlong(t *testing.T) {
	b, fake := setup(t, client.Config{Limits: client.Limits{Linger: time.Hour}})
	a, passed := passing(t, b, fake)
	for number, credited := uint64(1), false; !credited; number++ {
		m := numbered("x", number)
		m.Flow = &pb.Flow{Runtime: "other", Sequence: number}
		a.send(t, delivery("x", m))
		<-passed
		sendAll(t, b, "y")
		req := a.next(t, func(*pb.AttachRequest) bool { return true })
		if len(req.Posts) != 1 {
			t.Fatalf("%v came instead of a post", req)
		}
		credited = len(req.Credits) > 0 // mostly it is the second
	}
}

// Without a flow it is what settles the message.
func TestCreditOfWhatIsPassedOnWithoutAFlow(t *testing.T) {
	b, fake := setup(t, client.Config{Limits: client.Limits{Linger: time.Hour}})
	a, passed := passing(t, b, fake)
	a.send(t, delivery("x", numbered("x", 1)))
	<-passed
	a.credited(t, sizeOf(numbered("x", 1)))
}

// passing adds a listener that passes messages on, and tells of each.
func passing(t *testing.T, b *client.Bus, fake *fakeBus) (a *attachment, passed chan struct{}) {
	t.Helper()
	passed = make(chan struct{})
	return welcomed(t, fake, func() error {
		_, err := b.ListenCarried(t.Context(), "x", func(context.Context, codec.Carried) { passed <- struct{}{} })
		return err
	}), passed
}

// What is not settled is bounded. One receiver that does not settle leaves room
// for the others.
func TestWhatIsKeptIsBounded(t *testing.T) {
	b, fake := setup(t, client.Config{Limits: client.Limits{Retain: 8 << 10}})
	a := <-fake.attached
	a.welcome(t, 0)
	sent := make(chan error)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		for {
			if err := b.Send(ctx, msg("stalled")); err != nil {
				sent <- err
				return
			}
		}
	}()
	first := a.posts(t, 2)
	sendAll(t, b, "other") // the stalled one may still add posts beside it
	posts := first
	for posts[len(posts)-1].Message.To != "other" {
		posts = append(posts, a.posts(t, 1)...)
	}
	last := posts[len(posts)-1].Number
	if last > 30 {
		t.Errorf("%d posts are kept", last)
	}
	a.settle(t, &pb.Range{First: 1, Last: last})
	for a.posts(t, 1)[0].Number <= last { // there is room again
	}
	giveUp()
	if err := <-sent; fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Send: %v", err)
	}
}

// listening adds a listener on an attachment, whose welcome it answers.
func listening(t *testing.T, b *client.Bus, fake *fakeBus, address string, h client.Handler, opts ...client.ListenOption) *attachment {
	t.Helper()
	return welcomed(t, fake, func() error {
		_, err := b.Listen(t.Context(), address, h, opts...)
		return err
	})
}

// welcomed has something listen, and answers the welcome of the attachment.
func welcomed(t *testing.T, fake *fakeBus, listen func() error) *attachment {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- listen() }()
	a := <-fake.attached
	welcomed := make(chan struct{})
	go func() {
		defer close(welcomed)
		a.welcome(t, 1)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-welcomed
	return a
}

func numbered(to string, number uint64) *pb.Message {
	m := msg(to)
	m.Id, m.Origin, m.Number = fmt.Sprint(number), []byte("poster"), number
	return m
}

func delivery(listener string, messages ...*pb.Message) *pb.AttachResponse {
	resp := &pb.AttachResponse{}
	for _, m := range messages {
		resp.Deliveries = append(resp.Deliveries, &pb.Delivery{Listener: listener, Message: m})
	}
	return resp
}

func sizeOf(messages ...*pb.Message) (bytes uint32) {
	for _, m := range messages {
		bytes += uint32(proto.Size(m))
	}
	return bytes
}

// credited reads credits until there are as many as wanted.
func (a *attachment) credited(t *testing.T, want uint32) {
	t.Helper()
	var got uint32
	for got < want {
		for _, c := range a.next(t, func(r *pb.AttachRequest) bool { return len(r.Credits) > 0 }).Credits {
			got += c.Bytes
		}
	}
	if got != want {
		t.Errorf("credit for %d bytes, want %d", got, want)
	}
}

func TestWhatComesAgainIsNotHandledAgain(t *testing.T) {
	b, fake := setup(t, client.Config{})
	handled := make(chan string, 16)
	a := listening(t, b, fake, "x", func(_ context.Context, m *pb.Message) { handled <- m.To + " " + m.Id })
	one, two := numbered("x", 1), numbered("x", 2)
	a.send(t, delivery("x", one, two))
	a.credited(t, sizeOf(one, two))
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 1)
	three, plain := numbered("x", 3), msg("x")
	elsewhere := numbered("y", 1) // led here too: its poster's numbers rise for each address
	next.send(t, delivery("x", one, two, three, plain, plain, elsewhere, three))
	next.credited(t, sizeOf(one, two, three, plain, plain, elsewhere, three))
	close(handled)
	var got []string
	for m := range handled {
		got = append(got, m)
	}
	if want := []string{"x 1", "x 2", "x 3", "x 1", "x 1", "y 1"}; !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
}

// A small message is settled by its credit, which does not wait for more.
func TestCreditIsGivenAtOnceWhenNothingMoreIsThere(t *testing.T) {
	b, fake := setup(t, client.Config{})
	a := listening(t, b, fake, "x", func(context.Context, *pb.Message) {})
	for number := range uint64(3) {
		m := numbered("x", number+1)
		a.send(t, delivery("x", m))
		a.credited(t, sizeOf(m))
	}
}

// Credit is for what came, whatever a handler makes of it: else the window would run
// dry by the difference.
func TestCreditIsForWhatCame(t *testing.T) {
	b, fake := setup(t, client.Config{})
	a := listening(t, b, fake, "x", func(_ context.Context, m *pb.Message) { proto.Reset(m) })
	for number := range uint64(3) {
		m := numbered("x", number+1)
		a.send(t, delivery("x", m))
		a.credited(t, sizeOf(m))
	}
}

// Credit settles what was delivered, in order: so for what came on a stream that
// is over, none is given on the next one.
func TestCreditIsForItsOwnStream(t *testing.T) {
	b, fake := setup(t, client.Config{})
	handling, release := make(chan string), make(chan struct{})
	a := listening(t, b, fake, "x", func(_ context.Context, m *pb.Message) {
		handling <- m.Id
		<-release
	})
	one, two := numbered("x", 1), numbered("x", 2)
	a.send(t, delivery("x", one))
	if id := <-handling; id != "1" {
		t.Errorf("handling %s", id)
	}
	a.cut <- errors.New("killed")
	next := <-fake.attached
	next.welcome(t, 1)
	next.send(t, delivery("x", one, two)) // the first is still being handled
	release <- struct{}{}
	if id := <-handling; id != "2" {
		t.Errorf("handling %s", id)
	}
	release <- struct{}{}
	next.credited(t, sizeOf(one, two))
}

// What takes messages for others must take them again.
func TestAStubTakesWhatComesAgain(t *testing.T) {
	b, fake := setup(t, client.Config{Component: pb.Component_COMPONENT_NODE_STUB})
	a := <-fake.attached
	a.next(t, func(r *pb.AttachRequest) bool { return r.Hello != nil })
	a.send(t, &pb.AttachResponse{Welcome: &pb.Welcome{RuntimeUrl: runtimeURL}})
	handled := make(chan string, 2)
	if _, err := b.Listen(t.Context(), "x", func(_ context.Context, m *pb.Message) { handled <- m.Id }, client.Led()); err != nil {
		t.Fatal(err)
	}
	a.send(t, delivery("x", numbered("x", 1), numbered("x", 1)))
	if first, second := <-handled, <-handled; first != "1" || second != "1" {
		t.Errorf("handled %s, %s", first, second)
	}
}

// What is being handled as Run ends is settled too.
func TestTheLastMessageIsCredited(t *testing.T) {
	fake, b, stop := begin(t, client.Config{Limits: client.Limits{Goodbye: time.Minute}})
	handling, release := make(chan struct{}), make(chan struct{})
	a := listening(t, b, fake, "x", func(context.Context, *pb.Message) {
		close(handling)
		<-release
	})
	one, two := numbered("x", 1), numbered("x", 2)
	a.send(t, delivery("x", one, two))
	<-handling
	stop()
	close(release)
	a.credited(t, sizeOf(one))
	<-a.ended
	if a.end != io.EOF {
		t.Errorf("the stream ended with %v", a.end)
	}
}

// The end of Run sends what is queued, and tells the bus that the client does not
// come back.
func TestGoodbye(t *testing.T) {
	fake, b, stop := begin(t, client.Config{Limits: client.Limits{Goodbye: time.Minute}})
	a := <-fake.attached
	a.welcome(t, 0)
	if _, err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	sendAll(t, b, "a")
	over := stop()
	expect(t, a.posts(t, 1), "1 a")
	<-a.ended
	if a.end != io.EOF {
		t.Errorf("the stream ended with %v", a.end)
	}
	<-over
	if err := b.Send(t.Context(), msg("late")); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("Send: %v", err)
	}
}
