package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/protocol/message"
)

// browser is a headless Chromium with one page.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex
	asked []string // URLs of all requests
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience) // all that the page does
	opts := []chromedp.ExecAllocatorOption{
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
	}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-dev-shm-usage"} {
		opts = append(opts, chromedp.Flag(flag, true))
	}
	allocator, stop := chromedp.NewExecAllocator(ctx, opts...)
	b := &browser{t: t}
	page, closePage := chromedp.NewContext(allocator, chromedp.WithListener(b.note))
	b.ctx = page
	started := false
	t.Cleanup(func() {
		if started {
			_ = chromedp.Cancel(page) // waits for the process, also for one that there is none of
		}
		closePage()
		stop()
		cancel()
	})
	b.run(func(ctx context.Context, page *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, page, network.Enable, network.EnableParams{})
		return chromedp.Void{}, err
	})
	started = true
	return b
}

// note takes down what the page asks for, and what it complains about.
func (b *browser) note(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		b.asked = append(b.asked, e.Request.URL)
		b.mu.Unlock()
	case *runtime.EventExceptionThrown:
		b.t.Logf("the page: %s", e.ExceptionDetails.Text)
	}
}

// hosts are those of all requests so far.
func (b *browser) hosts() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	hosts := map[string]int{}
	for _, a := range b.asked {
		if u, err := url.Parse(a); err == nil && u.Scheme != "data" && u.Scheme != "blob" {
			hosts[u.Host]++
		}
	}
	return hosts
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// script runs the body of an async function in the page, whose arguments are args, and
// reads what it returns.
func (b *browser) script(result any, body string, args ...any) {
	b.t.Helper()
	if err := b.try(result, body, args...); err != nil {
		b.t.Fatalf("%s: %v", body, err)
	}
}

func (b *browser) try(result any, body string, args ...any) error {
	given, err := json.Marshal(args)
	if err != nil {
		return err
	}
	text := "(async (...args) => {" + body + "})(..." + string(given) + ")"
	if args == nil {
		text = "(async () => {" + body + "})()"
	}
	raw, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]byte](text, chromedp.EvalAwaitPromise))
	if err != nil || result == nil {
		return err
	}
	return json.Unmarshal(raw, result)
}

// attachPage loads the browser's client into the page, and listens to an address. What
// comes is kept in the page; a read is answered.
const attachPage = `
	const { connect } = await import("/web/peerbus.js")
	window.bus = connect()
	window.came = []
	window.wanted = (n) => new Promise((resolve) => {
		const look = () => window.came.length >= n ? resolve(window.came) : window.look = look
		look()
	})
	await bus.listen(args[0], async (m) => {
		if (m.type === "read") await bus.post({ id: m.id, type: "response", from: m.to, to: m.from, body: { code: 200, value: "from the page" } })
		else window.came.push(m.body.value)
		window.look?.()
		await window.hold
	})
	return bus.runtimeURL`

// A page attaches through /ws, listens, posts and asks, and goes on after its gateway
// was killed and started again: nothing is lost, and nothing comes twice.
func TestAPageThroughWebSocket(t *testing.T) {
	t.Parallel()
	p := newDoors(t, local.Separate)
	b := newBrowser(t)
	b.run(chromedp.Navigate("http://" + p.alice.HTTPAddr + "/docs/"))
	var at string
	if b.script(&at, attachPage, p.aliceURL); at != p.alice.URL {
		t.Fatalf("the page is attached to %q", at)
	}
	in := listen(t, p.bob, p.bobURL)
	b.script(nil, `for (let n = 0; n < 20; n++) await bus.post({type: "ping", from: args[0], to: args[1], body: {value: n}})`, p.aliceURL, p.bobURL)
	for n := range 20 {
		if got := valueOf(t, in.next()); got != n {
			t.Fatalf("message %d of the page came after %d", got, n-1)
		}
	}
	b.asksAndIsAsked(p, in)
	b.outlivesItsGateway(p)
}

// A page that has more posts than a gateway takes at once is not kept from taking what
// they bring; and a message that is none keeps nothing else up.
func TestAPageThatSendsItselfMany(t *testing.T) {
	p := newDoors(t, local.AllInOne)
	b := newBrowser(t)
	b.run(chromedp.Navigate("http://" + p.alice.HTTPAddr + "/docs/"))
	b.script(nil, attachPage, p.aliceURL)
	var came int
	b.script(&came, `
		const post = (n) => bus.post({type: "ping", from: args[0], to: args[0], body: {value: n}}, {wait: "delivered"})
		await Promise.all(Array.from({length: 100}, (_, n) => post(n)))
		return window.came.length`, p.aliceURL)
	if came != 100 {
		t.Errorf("%d have come", came)
	}
	var refused string
	b.script(&refused, `
		const { connect } = await import("/web/peerbus.js")
		const other = connect() // which is not open yet
		const loop = {}
		loop.loop = loop
		const none = other.post({type: "ping", to: args[0], body: loop}, {wait: "delivered"}).catch((error) => error.name)
		await other.post({type: "ping", to: args[0], body: {value: 100}}, {wait: "delivered"})
		other.close()
		return await none`, p.aliceURL)
	if refused != "TypeError" {
		t.Errorf("a message that is none: %q", refused)
	}
}

func valueOf(t *testing.T, m *pb.Message) int {
	t.Helper()
	var body struct{ Value int }
	if err := message.UnmarshalBody(m, &body); err != nil {
		t.Fatalf("%s: %v", m, err)
	}
	return body.Value
}

// asksAndIsAsked has the page send a request and answer one.
func (b *browser) asksAndIsAsked(p *pair, in *inbox) {
	b.t.Helper()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		req := in.next()
		_, _ = pb.NewMessageBusClient(p.bob.Bus).Post(in.stream.Context(), &pb.PostRequest{
			Message: message.Answer(req, 200, map[string]string{"value": "from bob"}),
		})
	}()
	var value string
	b.script(&value, `return (await bus.request({type: "read", from: args[0], to: args[1]})).body.value`, p.aliceURL, p.bobURL)
	<-answered
	if value != "from bob" {
		b.t.Errorf("bob answers the page with %q", value)
	}
	resp := request(b.t, p.bob, &pb.Message{Id: "7", Type: "read", From: p.bobURL, To: p.aliceURL})
	if !strings.Contains(string(resp.Body), "from the page") {
		b.t.Errorf("the page answers bob with %s", resp.Body)
	}
	var refused struct {
		Name string
		Code int
	}
	b.script(&refused, `return await bus.request({type: "read", from: args[0], to: "hyperty://example.org/nobody"}).catch(({name, code}) => ({name, code}))`, p.aliceURL)
	if refused.Name != "PeerbusError" || refused.Code != http.StatusNotFound {
		b.t.Errorf("asking nobody: %+v", refused)
	}
}

// outlivesItsGateway kills the page's gateway while messages come, and one of them is
// being dealt with: that one comes again, and must not be handled again.
func (b *browser) outlivesItsGateway(p *pair) {
	b.t.Helper()
	const messages = 60
	b.script(nil, `window.hold = new Promise((resolve) => { window.release = resolve })`)
	for n := range messages {
		post(b.t, p.bob, pingOf(p.bobURL, p.aliceURL, n))
		if n != messages/3 {
			continue
		}
		b.script(nil, `await wanted(1)`)
		p.alice.Processes["gateway"].Kill()
		again, err := p.system.Restart(p.alice.Processes["gateway"])
		if err != nil {
			b.t.Fatal(err)
		}
		p.alice.Processes["gateway"] = again
	}
	var came []int
	b.script(nil, `release()`)
	b.script(&came, `return await wanted(args[0])`, messages)
	for n, value := range came {
		if n != value {
			b.t.Fatalf("the page got %v", came)
		}
	}
	var outcome struct{ Code int }
	b.script(&outcome, `return await bus.post({type: "ping", from: args[0], to: args[1], body: {value: 1}}, {wait: "accepted"})`, p.aliceURL, p.bobURL)
	if outcome.Code != http.StatusOK {
		b.t.Errorf("afterwards a post gets %+v", outcome)
	}
}

// listenByEvents opens an EventSource in the page, and waits until it is open.
const listenByEvents = `
	window.events = new EventSource(args[0])
	window.came = []
	window.wanted = (n) => new Promise((resolve) => {
		const look = () => window.came.length >= n ? resolve(window.came) : window.look = look
		look()
	})
	events.onmessage = ({ data }) => { window.came.push(JSON.parse(data).body.value); window.look?.() }
	await new Promise((resolve, reject) => { events.onopen = resolve; events.onerror = () => reject(new Error("refused")) })
	events.onerror = null`

// Pages of the gateway and of allowed origins listen with an EventSource; others are
// refused.
func TestAPageThroughEvents(t *testing.T) {
	t.Parallel()
	p := newPair(t, local.AllInOne, local.Separate)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>another origin</title>"))
	}))
	t.Cleanup(site.Close)
	if err := p.system.StartGateway(p.bob, "--cors-origin", site.URL); err != nil {
		t.Fatal(err)
	}
	if err := p.system.GatewayReady(testContext(t), p.bob); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	own, other := newCable(t, p.alice.HTTPAddr), newCable(t, p.bob.HTTPAddr)
	b.run(chromedp.Navigate("http://" + own.addr() + "/docs/"))
	b.hears(p, own, p.aliceURL)
	b.run(chromedp.Navigate(site.URL))
	b.hears(p, other, p.bobURL)

	events := "http://" + p.alice.HTTPAddr + "/v1/messages?address=" + url.QueryEscape(p.aliceURL)
	if err := b.try(nil, listenByEvents, events); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("an EventSource of another origin: %v", err)
	}
	for r, want := range map[*local.Runtime]string{p.alice: "refused", p.bob: "open"} {
		var got string
		b.script(&got, `return await new Promise((resolve) => {
			const socket = new WebSocket(args[0])
			socket.onopen = () => resolve("open")
			socket.onerror = () => resolve("refused")
		})`, "ws://"+r.HTTPAddr+"/ws")
		if got != want {
			t.Errorf("a WebSocket of another origin is %s, want %s", got, want)
		}
		b.script(&got, `return await fetch(args[0], {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}).then(() => "open", () => "refused")`, "http://"+r.HTTPAddr+"/v1/messages")
		if got != want {
			t.Errorf("a fetch of another origin is %s, want %s", got, want)
		}
	}
}

// hears listens in the page to an address of a runtime, with an EventSource that is cut
// off while messages come, and comes back by itself with the id of its last event.
func (b *browser) hears(p *pair, c *cable, address string) {
	b.t.Helper()
	const messages = 40
	b.script(nil, listenByEvents, "http://"+c.addr()+"/v1/messages?address="+url.QueryEscape(address))
	for n := range messages {
		post(b.t, p.bob, pingOf(p.bobURL, address, n))
		if n%15 == 7 {
			b.script(nil, `await wanted(args[0])`, n)
			c.cut()
		}
	}
	var came []int
	b.script(&came, `const came = await wanted(args[0]); events.close(); return came`, messages)
	for n, value := range came {
		if n != value {
			b.t.Fatalf("the page got %v", came)
		}
	}
}

// The page of the documentation shows every operation, and asks nobody else.
func TestTheDocumentationAsksNobodyElse(t *testing.T) {
	s := newSystem(t)
	node := startNode(t, s)
	r := startRuntime(t, s, "alice", local.AllInOne, []*local.Node{node})
	if err := s.GatewayReady(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	var shown []string
	b.run(chromedp.Navigate("http://"+r.HTTPAddr+"/docs"), chromedp.WaitVisible(chromedp.CSS(".opblock-summary-path")))
	b.script(&shown, `return [...document.querySelectorAll(".opblock-summary")].map((o) => o.querySelector(".opblock-summary-method").innerText + " " + o.querySelector(".opblock-summary-path").dataset.path)`)
	text := strings.Join(shown, "\n")
	for _, want := range []string{"POST /v1/messages", "GET /v1/messages", "GET /v1/connections:watch", "DELETE /v1/hyperties", "GET /ws"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %s:\n%s", want, text)
		}
	}
	if hosts := b.hosts(); len(hosts) != 1 || hosts[r.HTTPAddr] < 4 {
		t.Errorf("the page has asked %v", hosts)
	}
}
