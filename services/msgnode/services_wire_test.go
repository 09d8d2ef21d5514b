package msgnode

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// allocated reads the addresses out of the answer to an allocation.
func allocated(m msg) []string {
	value, _ := m.Body["value"].(map[string]any)
	list, _ := value["allocated"].([]any)
	out := make([]string, len(list))
	for i, a := range list {
		out[i], _ = a.(string)
	}
	return out
}

func TestAllocation(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		for _, tc := range []struct {
			name, service, body, scheme string
			number                      int
		}{
			{"defaults", "address-allocation", `{}`, "hyperty", 5},
			{"scheme and number", "address-allocation", `{"scheme":"connection","value":{"number":2}}`, "connection", 2},
			{"number as a string", "address-allocation", `{"scheme":"comm","value":{"number":"3"}}`, "comm", 3},
			{"number with a fraction", "address-allocation", `{"scheme":"comm","value":{"number":2.0}}`, "comm", 2},
			{"number with an exponent", "address-allocation", `{"scheme":"comm","value":{"number":0.3e1}}`, "comm", 3},
			{"older name for hyperties", "hyperty-address-allocation", `{"value":{"number":1}}`, "hyperty", 1},
			{"older name for objects", "object-address-allocation", `{"scheme":"ctxt","value":{"number":1}}`, "ctxt", 1},
			{"largest number", "address-allocation", `{"value":{"number":10}}`, "hyperty", 10},
		} {
			t.Run(tc.name, func(t *testing.T) {
				p, q := dial(t).open(), dial(t).open()
				list := allocated(p.must(200, "create", p.runtime+"/r", "domain://msg-node."+domain+"/"+tc.service, tc.body))
				slices.Sort(list)
				if len(slices.Compact(list)) != tc.number {
					t.Fatalf("allocated %v", list)
				}
				for _, a := range list {
					if !strings.HasPrefix(a, tc.scheme+"://"+domain+"/") {
						t.Errorf("allocated %s", a)
					}
					q.post("ping", q.runtime+"/x", a, "")
					if m := p.receive(); m.To != a {
						t.Errorf("%+v", m)
					}
				}
			})
		}
		t.Run("with subscription", func(t *testing.T) {
			p, q := dial(t).open(), dial(t).open()
			a := allocated(p.must(200, "create", p.runtime+"/r", alloc, `{"scheme":"connection","subscription":true,"value":{"number":1}}`))[0]
			for _, to := range []string{a, a + "/subscription"} {
				q.post("ping", q.runtime+"/x", to, "")
				if m := p.receive(); m.To != to {
					t.Errorf("%+v", m)
				}
			}
			p.must(200, "delete", p.runtime+"/r", alloc, fmt.Sprintf(`{"childrenResources":[%q,%q]}`, a, a+"/subscription"))
			q.must(404, "ping", q.runtime+"/x", a, "")
			q.must(404, "ping", q.runtime+"/x", a+"/subscription", "")
		})
		t.Run("bounds with subscription", func(t *testing.T) {
			p := dial(t).open()
			const some = `{"scheme":"connection","subscription":true,"value":{"number":9,"allocationKey":"k"}}`
			for range 2 {
				p.must(200, "create", p.runtime+"/r", alloc, some)
				p.must(429, "create", p.runtime+"/r", alloc, some)
				p.must(200, "delete", p.runtime+"/r", alloc, `{"resource":"k"}`)
			}
		})
		t.Run("refused", func(t *testing.T) {
			p := dial(t).open()
			for body, want := range map[string]int{
				`{"value":{"number":11}}`:                          413,
				`{"value":{"number":0}}`:                           400,
				`{"value":{"number":-1}}`:                          400,
				`{"value":{"number":1.5}}`:                         400,
				`{"value":{"number":"x"}}`:                         400,
				`{"value":7}`:                                      400,
				`{"scheme":"no scheme"}`:                           400,
				`{"scheme":"hyperty-runtime"}`:                     400,
				`{"scheme":"domain"}`:                              400,
				`{"scheme":"hyperty","value":{"allocationKey":7}}`: 400,
			} {
				p.must(want, "create", p.runtime+"/r", alloc, body)
			}
			for range 2 {
				p.must(200, "create", p.runtime+"/r", alloc, `{"value":{"number":9}}`)
			}
			p.must(429, "create", p.runtime+"/r", alloc, `{"value":{"number":9}}`)
			p.must(429, "subscribe", p.runtime+"/r", sm, `{"resources":["1","2","3","4"]}`)
		})
		t.Run("delete", func(t *testing.T) {
			for name, body := range map[string]func(a []string) string{
				"by key":                func([]string) string { return `{"resource":"k"}` },
				"by url":                func(a []string) string { return fmt.Sprintf(`{"resource":%q}`, a[0]) },
				"by list":               func(a []string) string { return fmt.Sprintf(`{"resource":[%q]}`, a[0]) },
				"by children":           func(a []string) string { return fmt.Sprintf(`{"childrenResources":[%q]}`, a[0]) },
				"by children in a list": func(a []string) string { return fmt.Sprintf(`{"childrenResources":[[%q]]}`, a[0]) },
			} {
				t.Run(name, func(t *testing.T) {
					p := dial(t).open()
					a := allocated(p.must(200, "create", p.runtime+"/r", alloc, `{"scheme":"comm","value":{"number":1,"allocationKey":"k"}}`))
					p.must(200, "delete", p.runtime+"/r", alloc, body(a))
					p.must(404, "ping", p.runtime+"/x", a[0], "")
					p.must(200, "delete", p.runtime+"/r", alloc, body(a)) // freed already
				})
			}
			p, q := dial(t).open(), dial(t).open()
			a := allocated(p.must(200, "create", p.runtime+"/r", alloc, `{"scheme":"comm","value":{"number":1,"allocationKey":"k"}}`))
			q.must(403, "delete", q.runtime+"/r", alloc, fmt.Sprintf(`{"resource":%q}`, a[0]))
			q.must(200, "delete", q.runtime+"/r", alloc, `{"resource":"k"}`) // q's k, which it has not
			q.must(400, "delete", q.runtime+"/r", alloc, `{}`)
			q.must(400, "delete", q.runtime+"/r", alloc, `{"resource":{}}`)
			q.post("ping", q.runtime+"/x", a[0], "")
			p.receive()
			p.subscribe("invented") // by an older runtime, which frees it likewise
			p.must(200, "delete", p.runtime+"/r", alloc, `{"resource":"invented"}`)
			q.must(404, "ping", q.runtime+"/x", "invented", "")
		})
	}, limited(func(l *Limits) { l.RequestAddresses, l.Addresses = 10, 22 }))
}

func TestSubscriptions(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).open(), dial(t).open()
		for _, field := range []string{"resources", "subscribe"} {
			p.must(200, "subscribe", p.runtime+"/ua", sm, fmt.Sprintf(`{%q:["one","two"],"source":%q}`, field, p.runtime))
			for _, a := range []string{"one", "two"} {
				q.post("ping", q.runtime+"/x", a, "")
				if m := p.receive(); m.To != a {
					t.Errorf("%+v", m)
				}
			}
			other := map[string]string{"resources": "resources", "subscribe": "unsubscribe"}[field]
			p.must(200, "unsubscribe", p.runtime+"/ua", sm, fmt.Sprintf(`{%q:["one"]}`, other))
			q.must(404, "ping", q.runtime+"/x", "one", "")
			q.post("ping", q.runtime+"/x", "two", "")
			p.receive()
		}
		p.must(200, "unsubscribe", p.runtime+"/ua", sm, `{"resources":["two","never"]}`)
		for body, want := range map[string]int{
			`{}`:                                    400,
			`{"resources":["a"],"subscribe":["b"]}`: 400,
			`{"resources":[7]}`:                     400,
			`{"resources":[""]}`:                    400,
			`{"resources":"one string"}`:            200,
			`{"resources":[]}`:                      200,
			`{"resources":["a","b","c","d"]}`:       413,
			fmt.Sprintf(`{"resources":[%q]}`, strings.Repeat("a", 3000)): 400,
			fmt.Sprintf(`{"resources":[%q]}`, q.runtime+"/sm"):           403, // another runtime's
			fmt.Sprintf(`{"resources":[%q]}`, registry):                  403,
		} {
			p.must(want, "subscribe", p.runtime+"/ua", sm, body)
		}
		p.must(400, "unsubscribe", p.runtime+"/ua", sm, `{"resources":["a"],"unsubscribe":["a"]}`)
		p.must(400, "unsubscribe", p.runtime+"/ua", sm, `{}`)
	}, limited(func(l *Limits) { l.RequestAddresses = 3 }))
}

func TestManyListeners(t *testing.T) {
	b := start(t)
	p, q := b.dial(t, "grpc").open(), b.dial(t, "websocket").open()
	const requests, each = 5, 1000
	for r := range requests {
		list := make([]string, each)
		for i := range list {
			list[i] = fmt.Sprintf("listener-%d", r*each+i)
		}
		p.subscribe(list...)
	}
	for _, i := range []int{0, 3711, requests*each - 1} {
		q.post("ping", q.runtime+"/x", fmt.Sprintf("listener-%d", i), "")
		p.receive()
	}
	p.must(200, "close", p.runtime, "mn:/session", "")
	q.must(404, "ping", q.runtime+"/x", "listener-0", "")
}

func value(url string, more string) string {
	return fmt.Sprintf(`{"value":{"url":%q%s}}`, url, more)
}

func TestDomainRegistry(t *testing.T) {
	both(t, func(t *testing.T, b *bed, dial func(*testing.T) *peer) {
		p, q := dial(t).open(), dial(t).open()
		r := p.runtime + "/registry"
		read := func(want int, resource string) msg {
			t.Helper()
			return q.must(want, "read", q.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q}`, resource))
		}
		one := "hyperty://" + domain + "/" + p.token
		p.must(200, "create", r, registry, value(one, `,"descriptor":"d","user":"user://u.example/bob","guid":"user-guid://1","runtime":"`+p.runtime+
			`","p2pHandler":"h","p2pRequester":"r","dataSchemes":["comm"],"resources":["chat"],"status":"live","expires":60,"unknown":{"a":1.50}`))

		t.Run("look-up", func(t *testing.T) {
			for _, resource := range []string{one, "/hyperty/" + one, "/hyperty/url/" + one} {
				v, _ := read(200, resource).Body["value"].(map[string]any)
				if v["url"] != one || v["p2pHandler"] != "h" || v["status"] != "live" || fmt.Sprint(v["unknown"]) != "map[a:1.5]" {
					t.Errorf("%s: %v", resource, v)
				}
			}
			read(404, one+"x")
			read(404, "/comm/"+one)
			read(400, "")
			read(400, "/")
			read(400, "/hyperty/user/")
		})
		t.Run("who may write", func(t *testing.T) {
			q.must(403, "create", q.runtime+"/registry", registry, value(one, ""))
			q.must(403, "update", q.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q}`, one))
			q.must(403, "delete", q.runtime+"/registry", registry, value(one, ""))
			p.must(404, "update", r, registry, `{"resource":"hyperty://a.example/unknown"}`)
		})
		t.Run("status", func(t *testing.T) {
			q.subscribe(one + "/registration")
			change := func(body, published string) {
				t.Helper()
				p.must(200, "update", r, registry, fmt.Sprintf(`{"resource":%q%s}`, one, body))
				if published == "" {
					q.nothing()
					return
				}
				m := q.receive()
				if m.Type != "update" || m.From != registry || m.To != one+"/registration" || m.Body["value"] != published || m.Body["attribute"] != "status" {
					t.Errorf("%+v", m)
				}
			}
			change("", "")
			change(`,"method":"refresh"`, "")
			change(`,"value":"disconnected","attribute":"status"`, "disconnected")
			if v, _ := read(408, one).Body["value"].(map[string]any); v["status"] != "disconnected" || v["p2pHandler"] != "h" {
				t.Errorf("%v", v)
			}
			read(408, "/hyperty/user/user://u.example/bob")
			change(`,"value":"disconnected","attribute":"status"`, "")
			change(`,"value":{"status":"live","user":"user://u.example/bob2","p2pHandler":"h2","url":"other"}`, "live")
			if v, _ := read(200, one).Body["value"].(map[string]any); v["user"] != "user://u.example/bob2" || v["p2pHandler"] != "h2" || v["url"] != one {
				t.Errorf("%v", v)
			}
			read(404, "/hyperty/user/user://u.example/bob")
			read(200, "/hyperty/user/user://u.example/bob2")
			p.must(400, "update", r, registry, fmt.Sprintf(`{"resource":%q,"value":"live"}`, one))
			p.must(400, "update", r, registry, `{"resource":"/hyperty"}`)
			q.must(200, "unsubscribe", q.runtime+"/ua", sm, fmt.Sprintf(`{"resources":[%q]}`, one+"/registration"))
		})
		t.Run("expiry", func(t *testing.T) {
			url := "comm://" + domain + "/expires-" + p.token
			q.subscribe(url + "/registration")
			p.must(200, "create", r, registry, value(url, `,"expires":60`))
			if m := q.receive(); m.Body["value"] != "live" {
				t.Errorf("%+v", m)
			}
			b.clock.advance(59_000_000_000)
			p.must(200, "update", r, registry, fmt.Sprintf(`{"resource":%q}`, url))
			b.clock.advance(59_000_000_000)
			b.node.sweep(t.Context())
			read(200, url)
			b.clock.advance(1_000_000_000)
			b.node.sweep(t.Context())
			if m := q.receive(); m.Body["value"] != "disconnected" || m.To != url+"/registration" {
				t.Errorf("%+v", m)
			}
			read(408, url)
			p.must(200, "update", r, registry, fmt.Sprintf(`{"resource":%q,"method":"refresh"}`, url))
			if m := q.receive(); m.Body["value"] != "live" {
				t.Errorf("%+v", m)
			}
			b.clock.advance(60_000_000_000)
			b.node.sweep(t.Context())
			q.receive()
			b.clock.advance(b.node.limits.EntryRetention)
			b.node.sweep(t.Context())
			read(404, url)
		})
		t.Run("unregister", func(t *testing.T) {
			url, named := "comm://"+domain+"/u-"+p.token, "comm://"+domain+"/n-"+p.token
			p.must(200, "create", r, registry, value(url, ""))
			p.must(200, "create", r, registry, value(named, `,"name":"my room"`))
			q.must(200, "delete", q.runtime+"/registry", registry, `{"value":{"name":"my room"}}`) // none of q's
			read(200, named)
			p.must(200, "delete", r, registry, value(url, ""))
			p.must(200, "delete", r, registry, `{"value":{"name":"my room"}}`)
			read(404, url)
			read(404, named)
			p.must(200, "delete", r, registry, value(url, ""))
			p.must(400, "delete", r, registry, `{"value":{}}`)
			p.must(400, "delete", r, registry, `{"value":7}`)
		})
		t.Run("refused", func(t *testing.T) {
			for body, want := range map[string]int{
				`{}`:                         400,
				`{"value":[]}`:               400,
				`{"value":{"user":"u"}}`:     400,
				`{"resource":7}`:             400,
				value("a", `,"expires":-1`):  400,
				value("a", `,"expires":"x"`): 400,
				value("a", `,"x":"`+strings.Repeat("x", 70_000)+`"`): 413,
				value(strings.Repeat("a", 3000), ""):                 400,
			} {
				p.must(want, "create", r, registry, body)
			}
		})
	})
}

func TestRegistrySearch(t *testing.T) {
	b := start(t)
	p := b.dial(t, "websocket").open()
	for url, more := range map[string]string{
		"hyperty://a.example/1": `,"user":"user://u.example/ann@x","guid":"g1","resources":["chat","video"],"dataSchemes":["comm"]`,
		"hyperty://a.example/2": `,"user":"user://u.example/ann@x","guid":"g1","resources":["chat"],"dataSchemes":["conn"]`,
		"hyperty://a.example/3": `,"user":"user://u.example/bob","guid":"g2"`,
		"comm://a.example/4":    `,"user":"user://u.example/ann@x","guid":"g1","name":"room"`,
	} {
		p.must(200, "create", p.runtime+"/registry", registry, value(url, more))
	}
	for _, tc := range []struct{ resource, criteria, want string }{
		{"/hyperty/user/user://u.example/ann@x", `{}`, "1 2"},
		{"/hyperty/guid/g1", `{}`, "1 2"},
		{"/hyperty/idp-identifier/ann@x", `{}`, "1 2"},
		{"/hyperty/idp-identifier/user://u.example/bob", `{}`, "3"},
		{"/hyperty", `{}`, "1 2 3"},
		{"/comm", `{}`, "4"},
		{"/dataObject/guid/g1", `{}`, "4"},
		{"/dataObject", `{}`, "4"},
		{"user://u.example/ann@x", `{}`, "1 2 4"},
		{"user://u.example/ann@x", `{"resources":["chat"]}`, "1 2"},
		{"user://u.example/ann@x", `{"resources":["video","audio"]}`, "1"},
		{"/hyperty/guid/g1", `{"resources":["chat"],"dataSchemes":["conn"]}`, "2"},
		{"/hyperty", `{"resources":[],"dataSchemes":[]}`, "1 2 3"},
		{"/hyperty", `{"resources":null}`, "1 2 3"},
		{"/hyperty", `{"resources":["none"]}`, ""},
		{"/hyperty/guid/none", `{}`, ""},
		{"user://nobody", `{}`, ""},
	} {
		m := p.ask("read", p.runtime+"/registry", registry, fmt.Sprintf(`{"resource":%q,"criteria":%s}`, tc.resource, tc.criteria))
		found, _ := m.Body["value"].(map[string]any)
		var got []string
		for url, v := range found {
			if v.(map[string]any)["url"] != url {
				t.Errorf("%s has %v", url, v)
			}
			got = append(got, url[strings.LastIndexByte(url, '/')+1:])
		}
		slices.Sort(got)
		code := map[bool]int{true: 404, false: 200}[tc.want == ""]
		if strings.Join(got, " ") != tc.want || m.code() != code {
			t.Errorf("%s %s: %d %v, want %s", tc.resource, tc.criteria, m.code(), got, tc.want)
		}
	}
}

func TestRegistryIsBounded(t *testing.T) {
	b := start(t, limited(func(l *Limits) { l.Entries, l.SearchResults = 3, 2 }))
	p := b.dial(t, "grpc").open()
	for i := range 3 {
		p.must(200, "create", p.runtime+"/registry", registry, value(fmt.Sprintf("comm://a.example/%d", i), ""))
	}
	p.must(429, "create", p.runtime+"/registry", registry, value("comm://a.example/x", ""))
	p.must(200, "create", p.runtime+"/registry", registry, value("comm://a.example/1", ""))
	if m := p.must(200, "read", p.runtime+"/r", registry, `{"resource":"/comm"}`); len(m.Body["value"].(map[string]any)) != 2 {
		t.Errorf("%+v", m)
	}
}
