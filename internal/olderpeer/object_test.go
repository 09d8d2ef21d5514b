package olderpeer

import (
	"encoding/json"
	"strings"
	"testing"
)

const objectA = "connection://a.example/o"

func parse(t *testing.T, text string) Message {
	t.Helper()
	var m Message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// wantError checks that err says text; empty: that there is none.
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case err == nil && text != "":
		t.Errorf("no error, want one of %q", text)
	case err != nil && (text == "" || !strings.Contains(err.Error(), text)):
		t.Errorf("error %q, want %q", err, text)
	}
}

func TestReadSnapshot(t *testing.T) {
	const whole = `{"body":{"code":200,"schema":"s","owner":"o","value":{"url":"u","created":"c","reporter":"r",` +
		`"runtime":"t","schema":"s","name":"n","version":3,` +
		`"data":{"iceCandidates":[],"connectionDescription":{"type":"offer","sdp":"v=0"}}}}}`
	for name, c := range map[string]struct{ old, new, err string }{
		"whole":           {"", "", ""},
		"no owner":        {`"owner":"o",`, ``, "no owner"},
		"no body schema":  {`"code":200,"schema":"s"`, `"code":200`, "no schema"},
		"no url":          {`"url":"u",`, ``, "no url"},
		"no created":      {`"created":"c",`, ``, "no created"},
		"no reporter":     {`"reporter":"r",`, ``, "no reporter"},
		"no runtime":      {`"runtime":"t",`, ``, "no runtime"},
		"no schema":       {`"schema":"s","name"`, `"name"`, "no schema"},
		"no name":         {`"name":"n",`, ``, "no name"},
		"candidate":       {`"iceCandidates":[]`, `"iceCandidates":[{}]`, "not an empty list"},
		"no candidates":   {`"iceCandidates":[],`, ``, "not an empty list"},
		"bad description": {`"type":"offer"`, `"type":"wish"`, "connectionDescription is"},
		"no description":  {`,"connectionDescription":{"type":"offer","sdp":"v=0"}`, ``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := readSnapshot(parse(t, strings.Replace(whole, c.old, c.new, 1)))
			wantError(t, err, c.err)
			if err == nil && (s.version != 3 || (s.description == nil) != (name == "no description")) {
				t.Errorf("the snapshot is %+v", s)
			}
		})
	}
}

func TestReadInvitation(t *testing.T) {
	const usual = `{"type":"create","from":"connection://a.example/o/subscription","to":"h","body":{"source":"r",` +
		`"schema":"x/Connection","resource":"connection://a.example/o","value":{"runtime":"t"}}}`
	for name, c := range map[string]struct{ old, new, err string }{
		"usual":           {"", "", ""},
		"no resource":     {`"resource":"connection://a.example/o",`, ``, ""},
		"other resource":  {`"resource":"connection://a.example/o"`, `"resource":"connection://a.example/p"`, "comes from"},
		"other from":      {`/o/subscription`, `/o`, "comes from"},
		"no source":       {`"source":"r",`, ``, "no source"},
		"no runtime":      {`{"runtime":"t"}`, `{}`, "runtime"},
		"runtime in data": {`{"runtime":"t"}`, `{"data":{"runtimeURL":"t"}}`, ""},
		"no schema":       {`"schema":"x/Connection",`, ``, "schema"},
		"empty identity":  {`"source"`, `"identity":{},"source"`, "userProfile"},
		"identity":        {`"source"`, `"identity":{"userProfile":{}},"source"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := readInvitation(parse(t, strings.Replace(usual, c.old, c.new, 1)))
			wantError(t, err, c.err)
			if want := (invitation{objectA, "r", "t"}); err == nil && in != want {
				t.Errorf("the invitation is %+v", in)
			}
		})
	}
}

func TestReadCandidate(t *testing.T) {
	const usual = `{"body":{"attributeType":"array","operation":"add",` +
		`"value":{"type":"candidate","candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}}}`
	for name, c := range map[string]struct{ old, new, err string }{
		"usual":     {"", "", ""},
		"list":      {`"value":{"type":"candidate","candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}`, `"value":[{}]`, "a candidate is"},
		"no type":   {`"type":"candidate",`, ``, "a candidate is"},
		"no array":  {`"attributeType":"array",`, ``, "no addition"},
		"a removal": {`"add"`, `"remove"`, "no addition"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readCandidate(parse(t, strings.Replace(usual, c.old, c.new, 1)))
			wantError(t, err, c.err)
		})
	}
}

func TestUpdatesAreAppliedOnceAndInOrder(t *testing.T) {
	var applied []int
	o := &observer{
		apply:   func(m Message) error { applied = append(applied, numberAt(m.Body, "version")); return nil },
		fail:    func(err error) { t.Error(err) },
		waiting: map[int]Message{},
	}
	update := func(version int) {
		o.update(Message{Type: "update", Body: Body{"version": float64(version)}})
	}
	update(3) // before the answer to the subscription
	update(5)
	o.start(2)
	update(2)
	update(5)
	update(4)
	update(4)
	if len(applied) != 3 || applied[0] != 3 || applied[1] != 4 || applied[2] != 5 {
		t.Errorf("applied %v", applied)
	}
}

func TestDomainOf(t *testing.T) {
	for address, domain := range map[string]string{
		"hyperty-runtime://a.example/1":             "a.example",
		"runtime:/a.example/1":                      "a.example",
		"domain://msg-node.a.example/sm":            "a.example",
		"domain://registry.a.example":               "a.example",
		"hyperty://registry.a.example/x":            "registry.a.example",
		"publisher":                                 "",
		"connection://a.example/o/children/message": "a.example",
	} {
		if got := domainOf(address); got != domain {
			t.Errorf("domainOf(%q) = %q, not %q", address, got, domain)
		}
	}
}
