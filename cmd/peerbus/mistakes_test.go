package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
)

// mistake is a row of the table: what is wrong, and how each door must tell it.
type mistake struct {
	what  string
	said  said
	code  int
	field string
}

// The same mistake gets the same error, in the same words and with the same field,
// over gRPC, over HTTP and from the command line.
func TestTheSameErrorAtEachDoor(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.AllInOne, local.AllInOne)
	d := doorsOf(p.alice)
	silent := p.alice.URL + "/silent"
	busyWith(t, p.alice, silent)
	rows := slices.Concat(wrongPosts(p, silent), wrongRegistrations(p), wrongConnections(p))
	for _, m := range rows {
		t.Run(m.what, func(t *testing.T) {
			grpc, rest, cli := d.atEach(t, m.said)
			if grpc.Code != m.code || grpc.Field != m.field || grpc.Description == "" {
				t.Errorf("gRPC says %+v, want code %d and field %q", grpc, m.code, m.field)
			}
			if rest != grpc || cli != grpc {
				t.Errorf("gRPC says         %+v\nREST says         %+v\ncommand line says %+v", grpc, rest, cli)
			}
		})
	}
	t.Logf("%d mistakes at 3 doors", len(rows))
}

// busyWith makes somebody listen to an address who deals with nothing, and leaves a
// request to it open.
func busyWith(t *testing.T, r *local.Runtime, address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // for all that is tried meanwhile
	bus, err := client.New(client.Config{Conn: r.Bus, Name: "silent"})
	if err != nil {
		t.Fatal(err)
	}
	over, came := make(chan error, 2), make(chan struct{}, 1)
	go func() { over <- bus.Run(ctx) }()
	handler := func(ctx context.Context, _ *pb.Message) {
		came <- struct{}{}
		<-ctx.Done()
	}
	if _, err := bus.Listen(ctx, address, handler); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := pb.NewMessageBusClient(r.Bus).Post(ctx, &pb.PostRequest{
			Message: &pb.Message{Id: message.StringID("open"), Type: "read", To: address}, Wait: pb.Wait_WAIT_RESPONSE,
			Timeout: durationpb.New(10 * patience),
		})
		over <- err
	}()
	<-came
	t.Cleanup(func() {
		cancel()
		<-over
		<-over
	})
}

func long(prefix string, n int) string { return prefix + strings.Repeat("x", n) }

func wrongPosts(p *pair, silent string) []mistake {
	post := wrongPost
	own := p.alice.URL + "/nobody"
	large := `{"value":"` + strings.Repeat("x", message.MaxSize) + `"}`
	return []mistake{
		{"to is missing", post(func(p *posting) { p.to = "" }), 400, "to"},
		{"to is too long", post(func(p *posting) { p.to = long("hyperty://example.org/", 2048) }), 400, "to"},
		{"type is missing", post(func(p *posting) { p.kind = "" }), 400, "type"},
		{"type is too long", post(func(p *posting) { p.kind = long("t", 64) }), 400, "type"},
		{"id is too long", post(func(p *posting) { p.id = long("i", 256) }), 400, "id"},
		{"from is too long", post(func(p *posting) { p.from = long("hyperty://example.org/", 2048) }), 400, "from"},
		{"body is a list", post(func(p *posting) { p.body = `[1]` }), 400, "body"},
		{"body is a text", post(func(p *posting) { p.body = `"text"` }), 400, "body"},
		{"body is too large", post(func(p *posting) { p.body = large }), 413, "body"},
		{"resource is too large", post(func(p *posting) { p.body, p.resource = "", make([]byte, message.MaxSize+1) }), 413, "resource"},
		{"wait is not known", post(func(p *posting) { p.wait = "forever" }), 400, "wait"},
		{"a response is waited for that cannot come", post(func(p *posting) { p.kind, p.wait = "response", "response" }), 400, "wait"},
		{"timeout is 0", post(func(p *posting) { p.timeout = "0s" }), 400, "timeout"},
		{"timeout is negative", post(func(p *posting) { p.timeout = "-5s" }), 400, "timeout"},
		{"timeout is too long", post(func(p *posting) { p.timeout = "11m" }), 400, "timeout"},
		{"timeout is no duration", post(func(p *posting) { p.timeout = "soon" }), 400, "timeout"},
		{"key is too long", post(func(p *posting) { p.key = long("k", 64) }), 400, "idempotency_key"},
		{"key is that of another message", post(func(q *posting) { q.key, q.to = usedKey(p, silent), silent }), 409, "idempotency_key"},
		{"from is of another runtime", post(func(q *posting) { q.from = p.bobURL }), 403, "from"},
		{"from is below another runtime", post(func(q *posting) { q.from = p.bob.URL + "/app" }), 403, "from"},
		{"nobody listens", post(func(p *posting) { p.to = own }), 404, "to"},
		{"nobody listens and a response is wanted", post(func(p *posting) { p.to, p.wait = own, "response" }), 404, "to"},
		{"nobody has the address", post(func(p *posting) { p.wait = "response" }), 404, ""},
		{"no response comes", post(func(p *posting) { p.to, p.wait, p.timeout = silent, "response", "400ms" }), 408, ""},
		{"it is not dealt with", post(func(p *posting) { p.to, p.wait, p.timeout = silent, "delivered", "400ms" }), 408, ""},
		{"the same request is under way", post(func(p *posting) { p.to, p.id, p.wait = silent, "open", "response" }), 409, "id"},
		{"the session of a stub", post(func(p *posting) { p.to = "mn:/session" }), 403, "to"},

		{"listening to nothing", listening{""}, 400, "address"},
		{"listening to everything", listening{"*"}, 400, "address"},
		{"listening to what is too long", listening{long("hyperty://example.org/", 2048)}, 400, "address"},
	}
}

// usedKey is an idempotency key that a message has.
func usedKey(p *pair, to string) string {
	const key = "taken"
	_, _ = pb.NewMessageBusClient(p.alice.Bus).Post(context.Background(), &pb.PostRequest{
		Message: &pb.Message{Type: "create", To: to}, IdempotencyKey: key,
	})
	return key
}

func wrongRegistrations(p *pair) []mistake {
	hyperty := func(r registering) registering { r.kind = "hyperty"; return r }
	object := func(r registering) registering { r.kind = "object"; return r }
	many := slices.Repeat([]string{"x"}, 65)
	return []mistake{
		{"of a foreign domain", hyperty(registering{url: "hyperty://elsewhere.example/1"}), 403, "url"},
		{"of another runtime", hyperty(registering{url: p.bob.URL + "/app"}), 403, "url"},
		{"below the runtime", hyperty(registering{url: p.alice.URL + "/app"}), 400, "url"},
		{"no address", hyperty(registering{url: "publisher"}), 400, "url"},
		{"part of a hyperty", hyperty(registering{url: "hyperty://example.org/1/status"}), 400, "url"},
		{"url is too long", hyperty(registering{url: long("hyperty://example.org/", 2048)}), 400, "url"},
		{"kind is not known", registering{kind: "ghost"}, 400, "kind"},
		{"a data object as a hyperty", hyperty(registering{url: "comm://example.org/1"}), 400, "scheme"},
		{"a hyperty as a data object", object(registering{url: "hyperty://example.org/1"}), 400, "scheme"},
		{"scheme of another", object(registering{url: "comm://example.org/1", scheme: "ctxt"}), 400, "scheme"},
		{"scheme is missing", object(registering{}), 400, "scheme"},
		{"scheme is too long", object(registering{scheme: long("s", 256)}), 400, "scheme"},
		{"expires is negative", hyperty(registering{expires: "-1s"}), 400, "expires"},
		{"expires too soon", hyperty(registering{expires: "1s"}), 400, "expires"},
		{"expires too late", hyperty(registering{expires: "10000h"}), 400, "expires"},
		{"expires is no duration", hyperty(registering{expires: "soon"}), 400, "expires"},
		{"user is too long", hyperty(registering{user: long("user://example.org/", 2048)}), 400, "user"},
		{"guid is too long", hyperty(registering{guid: long("g", 2048)}), 400, "guid"},
		{"descriptor is too long", hyperty(registering{descriptor: long("https://example.org/", 2048)}), 400, "descriptor_url"},
		{"too many data schemes", hyperty(registering{dataSchemes: many}), 400, "data_schemes"},
		{"too many resources", hyperty(registering{resources: many}), 400, "resources"},
		{"unregistering nothing", unregistering(""), 400, "url"},
		{"unregistering what is not there", unregistering("hyperty://example.org/ghost"), 404, "url"},
	}
}

func wrongConnections(p *pair) []mistake {
	return []mistake{
		{"connecting to nothing", connecting(""), 400, "address"},
		{"connecting to what is too long", connecting(long("hyperty://example.org/", 2048)), 400, "address"},
		{"connecting to itself", connecting(p.alice.URL), 400, "address"},
		{"connecting to its own hyperty", connecting(p.aliceURL), 400, "address"},
		{"connecting to no address", connecting("publisher"), 404, "address"},
		{"connecting to nobody", connecting("hyperty://example.org/ghost"), 404, "address"},
		{"closing nothing", disconnecting(""), 400, "connection"},
		{"closing what is not there", disconnecting("ghost"), 404, "connection"},
		{"closing what is too long", disconnecting(long("c", 2048)), 400, "connection"},
		{"resolving nothing", resolving(""), 400, "address"},
		{"resolving what is too long", resolving(long("hyperty://example.org/", 2048)), 400, "address"},
	}
}
