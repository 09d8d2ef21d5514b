package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestEventsComeInOrderWithIDs(t *testing.T) {
	d := newDoor(t, impatient())
	s := d.messages("", bob, alice)
	if kind := s.resp.Header.Get("Content-Type"); kind != typeSSE {
		t.Errorf("the stream is %s", kind)
	}
	d.bus.send(bob, 1, 200)
	s.want(1, 200)
	d.bus.send(alice, 201, 201)
	s.want(201, 201)
	d.bus.deliver(big(bob, "{\r\n  \"n\": 202\n}"))
	s.want(202, 202)
	d.bus.untilDealt(202)
}

// A client that is cut off again and again, each time after it has read some events of
// those that were sent, gets each once.
func TestResumeAfterCuts(t *testing.T) {
	d := newDoor(t, impatient())
	s, sent := d.messages("", bob), 0
	for read := 0; read < 300; {
		d.bus.send(bob, sent+1, sent+20)
		sent += 20
		for range read%7 + 5 {
			read++
			s.want(read, read)
		}
		last := s.last
		s.cut()
		s = d.messages(last, bob)
	}
	if n, _, _ := d.sizes(); n != 1 {
		t.Errorf("%d subscriptions for one client", n)
	}
}

// One that was cut before its first event has a place to come back to as well.
func TestResumeBeforeTheFirstEvent(t *testing.T) {
	d := newDoor(t, impatient())
	s := d.messages("", bob)
	start := s.last
	s.cut()
	d.bus.send(bob, 1, 3)
	d.messages(start, bob).want(1, 3)
}

func TestANewerConnectionTakesOver(t *testing.T) {
	d := newDoor(t, impatient())
	old := d.messages("", bob)
	d.bus.send(bob, 1, 2)
	old.want(1, 2)
	newer := d.messages(old.last, bob)
	if e := old.next(); e.kind != "end" {
		t.Errorf("the old connection still gets %+v", e)
	}
	d.bus.send(bob, 3, 4)
	newer.want(3, 4)
}

// A connection that has taken nothing for long does not hold up the one that comes
// in its place.
func TestANewerConnectionTakesOverFromOneThatReadsNothing(t *testing.T) {
	d := newDoor(t, Limits{Write: time.Hour})
	old := d.messages("", bob)
	start := old.last
	body := `{"n":1,"filling":"` + strings.Repeat("x", 1<<20) + `"}`
	for range 20 { // more than the buffers of a connection hold
		d.bus.deliver(big(bob, body))
	}
	d.bus.untilDealt(3)
	newer := d.messages(start, bob)
	for range 10 {
		if e := newer.next(); e.kind == "end" {
			t.Fatal("the newer connection ended")
		}
	}
}

func TestGaps(t *testing.T) {
	d := newDoor(t, Limits{ReplayEvents: 4})
	t.Run("of a subscription that is not known", func(t *testing.T) {
		s := d.messages("5c1f9d4e-0000-0000-0000-000000000000-7", bob)
		if e := s.next(); e.kind != "gap" || !strings.Contains(e.data, `"code":404`) || e.id != s.last {
			t.Errorf("%+v", e)
		}
		d.bus.send(bob, 1, 1)
		s.want(1, 1)
		again := d.messages(s.last, bob) // it has a place to come back to
		d.bus.send(bob, 2, 2)
		again.want(2, 2)
		again.cut()
	})
	t.Run("of what is not kept", func(t *testing.T) {
		s := d.messages("", alice)
		d.bus.send(alice, 1, 10)
		s.want(1, 10)
		first := strings.TrimSuffix(s.last, "-10") + "-1"
		s.cut()
		s = d.messages(first, alice)
		if e := s.next(); e.kind != "gap" {
			t.Errorf("%+v", e)
		}
		s.want(7, 10)
	})
	if n := d.metric("peerbus_gateway_gaps_total"); n != 2 {
		t.Errorf("%v gaps are counted", n)
	}
}

func TestLastEventIDsThatAreWrong(t *testing.T) {
	d := newDoor(t, impatient())
	s := d.messages("", bob)
	for _, tc := range []struct{ id, accept, address, field string }{
		{"7", typeSSE, bob, "Last-Event-ID"},
		{"-", typeSSE, bob, "Last-Event-ID"},
		{"x-y", typeSSE, bob, "Last-Event-ID"},
		{s.last + "9999999999999999999999", typeSSE, bob, "Last-Event-ID"},
		{s.last, typeSSE, alice, "address"},
		{s.last, typeNDJSON, bob, "Last-Event-ID"},
	} {
		e := d.refusal(d.ask(http.MethodGet, "/v1/messages?address="+tc.address, "", "Accept: "+tc.accept, "Last-Event-ID: "+tc.id))
		if e.Code != 400 || e.Field != tc.field {
			t.Errorf("%+v: %+v", tc, e)
		}
	}
}

// A subscription that nobody comes back to ends, and what it has not given to anybody
// comes to the next who listens.
func TestASubscriptionExpires(t *testing.T) {
	d := newDoor(t, Limits{Resume: time.Millisecond})
	s := d.messages("", bob)
	last := s.last
	s.cut()
	d.bus.untilStreams(0)
	d.bus.send(bob, 1, 2)
	s = d.messages(last, bob)
	if e := s.next(); e.kind != "gap" {
		t.Errorf("%+v", e)
	}
	s.want(1, 2)
}

func TestTheOneThatWaitsLongestMakesRoom(t *testing.T) {
	d := newDoor(t, Limits{Subscriptions: 2})
	first := d.messages("", bob)
	second := d.messages("", alice)
	if e := d.refusal(d.ask(http.MethodGet, "/v1/messages?address=x", "")); e.Code != 429 {
		t.Errorf("with all connected: %+v", e)
	}
	first.cut()
	d.untilIdle(1)
	d.messages("", "x")
	d.bus.send(alice, 1, 1)
	second.want(1, 1)
}

// untilIdle waits until so many subscriptions wait for their client.
func (d *door) untilIdle(n int) {
	for idle := -1; idle != n && d.ctx.Err() == nil; {
		idle = 0
		d.mu.Lock()
		for _, s := range d.subscriptions {
			if _, ok := s.idleSince(); ok {
				idle++
			}
		}
		d.mu.Unlock()
	}
}

func TestLines(t *testing.T) {
	d := newDoor(t, impatient())
	s := d.events("/v1/messages?address="+bob, "Accept: "+typeNDJSON)
	s.cut()
	d.bus.untilStreams(0) // nobody can come back to it
	resp := d.ask(http.MethodGet, "/v1/messages?address="+bob, "")
	defer func() { _ = resp.Body.Close() }()
	if kind := resp.Header.Get("Content-Type"); kind != typeNDJSON {
		t.Errorf("the stream is %s", kind)
	}
	s.lines.Reset(resp.Body)
	if line, err := s.lines.ReadString('\n'); line != "\n" || err != nil {
		t.Errorf("it begins with %q, %v", line, err)
	}
	d.bus.send(bob, 1, 3)
	for n := 1; n <= 3; n++ {
		line, err := s.lines.ReadString('\n')
		if err != nil || numberIn(t, line) != n || !strings.HasPrefix(line, `{"id":`+strconv.Itoa(n)+`,"type":"ping"`) {
			t.Errorf("%q, %v", line, err)
		}
	}
}

func TestHeartbeats(t *testing.T) {
	d := newDoor(t, Limits{Heartbeat: time.Millisecond})
	for _, path := range []string{"/v1/messages?address=" + bob, "/v1/connections:watch"} {
		s := d.events(path)
		for beats := 0; beats < 3; {
			switch b := s.block(); {
			case b.comment != "" && b.data == "":
				beats++
			case b.kind == "end":
				t.Fatalf("%s ended", path)
			}
		}
	}
}

// Streams that are read and one that is not end with the gateway, which new ones are
// refused by then.
func TestStreamsEndWithTheGateway(t *testing.T) {
	d := newDoor(t, Limits{Write: time.Hour})
	read, feed := d.messages("", bob), d.events("/v1/connections", "Accept: "+typeSSE)
	d.messages("", alice)
	for range 20 {
		d.bus.deliver(big(alice, `{"filling":"`+strings.Repeat("x", 1<<20)+`"}`))
	}
	d.bus.untilDealt(3)
	d.stop()
	if e := read.next(); e.kind != "end" {
		t.Errorf("messages: %+v", e)
	}
	for e := feed.next(); e.kind != "end"; e = feed.next() {
		if e.kind != "connections" {
			t.Errorf("connections: %+v", e)
		}
	}
	if e := d.refusal(d.ask(http.MethodGet, "/v1/messages?address=x", "")); e.Code != 503 {
		t.Errorf("afterwards: %+v", e)
	}
}
