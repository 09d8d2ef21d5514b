package message_test

import (
	"encoding/json"
	"strings"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"google.golang.org/protobuf/proto"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

func TestWhatComesInGoesOut(t *testing.T) {
	for _, frame := range []string{
		`{"id":1,"type":"create","from":"a","to":"b"}`,
		`{"id":"1","type":"ping","from":"a","to":"b","body":{}}`,
		`{"id":1.50e3,"type":"read","from":"a","to":"b","body":{"z":1, "a":[1.0,2],"é":"\u00e9"}}`,
		`{"id":"a\"b","type":"update","from":"a","to":"b","body":{"via":"s","value":{"b":1,"a":2}}}`,
		`{"id":7,"type":"update","from":"a","to":"b","body":{"source":"s","p2p":true,"p2pHandler":"h","p2pRequester":"r"}}`,
		`{"id":7,"type":"update","from":"a","to":"b","body":{"source":{"not":"an address"},"p2p":"yes"}}`,
	} {
		m, err := message.ParseJSON([]byte(frame))
		if err != nil {
			t.Errorf("%s: %v", frame, err)
			continue
		}
		out, err := message.JSON(m)
		if err != nil || string(out) != frame {
			t.Errorf("%s\ncame out as\n%s, %v", frame, out, err)
		}
	}
}

func TestAMessageWithoutAnID(t *testing.T) {
	for kind, want := range map[string]string{
		"delete": `{"type":"delete","from":"a","to":"b"}`, "response": `{"id":null,"type":"response","from":"a","to":"b"}`,
	} {
		if out, err := message.JSON(&pb.Message{Type: kind, From: "a", To: "b"}); string(out) != want || err != nil {
			t.Errorf("%s, %v, want %s", out, err, want)
		}
	}
}

func TestViaIsTakenOutAndPutBack(t *testing.T) {
	for body, without := range map[string]string{
		`{"via":"s"}`:                 `{}`,
		`{ "via" : "s" , "a":1}`:      `{ "a":1}`,
		`{"a":1,"via":"s"}`:           `{"a":1}`,
		`{"a":{"via":"x"},"via":"s"}`: `{"a":{"via":"x"}}`,
		`{"a":1, "via":"s","b":2}`:    `{"a":1,"b":2}`,
	} {
		m, err := message.ParseJSON([]byte(`{"id":1,"type":"t","from":"a","to":"b","body":` + body + `}`))
		if err != nil || m.Via != "s" {
			t.Errorf("%s: via %q, %v", body, m.GetVia(), err)
			continue
		}
		if got := strings.ReplaceAll(string(m.Body), " ", ""); got != strings.ReplaceAll(without, " ", "") {
			t.Errorf("%s became %s, want %s", body, m.Body, without)
		}
		m.Via = "mine"
		full, err := message.FullBody(m)
		var back map[string]any
		if err != nil || json.Unmarshal(full, &back) != nil || back["via"] != "mine" {
			t.Errorf("%s went out as %s, %v", body, full, err)
		}
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for frame, want := range map[string]string{
		`{"type":"t","from":"a","to":"b"}`:                    "id is missing",
		`{"id":null,"type":"t","from":"a","to":"b"}`:          "id is missing",
		`{"id":1,"from":"a","to":"b"}`:                        "type is missing",
		`{"id":1,"type":"t","to":"b"}`:                        "from is missing",
		`{"id":1,"type":"t","from":"a"}`:                      "to is missing",
		`{"id":1,"type":"t","from":"a","to":""}`:              "to is missing",
		`{"id":{},"type":"t","from":"a","to":"b"}`:            "id is neither",
		`{"id":1,"type":4,"from":"a","to":"b"}`:               "type is not a string",
		`{"id":1,"type":"t","from":"a","to":"b","body":[]}`:   "body is not a JSON object",
		`{"id":1,"type":"t","from":"a","to":"b","body":"{}"}`: "body is not a JSON object",
		`[]`:                "not a JSON object",
		`{"id":1`:           "not a JSON object",
		``:                  "not a JSON object",
		"{\"id\":\"\xff\"}": "not UTF-8",
		`{"id":1,"type":"` + strings.Repeat("t", 65) + `","from":"a","to":"b"}`:    "type is longer",
		`{"id":1,"type":"t","from":"` + strings.Repeat("a", 2049) + `","to":"b"}`:  "from is longer",
		`{"id":"` + strings.Repeat("1", 256) + `","type":"t","from":"a","to":"b"}`: "id is longer",
	} {
		_, err := message.ParseJSON([]byte(frame))
		if fault.CodeOf(err) != fault.BadRequest || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", frame, err, want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	body := []byte(`{"value":"` + strings.Repeat("x", message.MaxSize) + `"}`)
	err := message.Validate(&pb.Message{Id: "1", Type: "t", From: "a", To: "b", Body: body})
	if fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("%v", err)
	}
}

func TestAnswer(t *testing.T) {
	req := &pb.Message{Id: `"x"`, Type: "create", From: "a", To: "b"}
	res := message.Answer(req, 200, map[string]any{"value": map[string]int{"n": 1}})
	if out, _ := message.JSON(res); string(out) != `{"id":"x","type":"response","from":"b","to":"a","body":{"code":200,"value":{"n":1}}}` {
		t.Errorf("%s", out)
	}
	if message.AnswerKey(res) != message.KeyOf(req) {
		t.Error("the response does not match its request")
	}
	res = message.Refuse(req, fault.New(fault.NotFound, "no %s", "one"))
	if out, _ := message.JSON(res); !strings.Contains(string(out), `{"code":404,"desc":"no one","description":"no one"}`) {
		t.Errorf("%s", out)
	}
	if code, err := message.Result(res); code != 404 || err == nil || !strings.Contains(err.Error(), "no one") {
		t.Errorf("%d %v", code, err)
	}
}

// A response without fields has a code alone, and it is read as any other one.
func TestAPlainAnswer(t *testing.T) {
	req := &pb.Message{Id: `"x"`, Type: "create", From: "a", To: "b"}
	for _, fields := range []any{nil, map[string]any(nil), struct{}{}, "no object"} {
		if res := message.Answer(req, 200, fields); string(res.Body) != `{"code":200}` {
			t.Errorf("%T: %s", fields, res.Body)
		}
	}
	for body, want := range map[string]fault.Code{
		`{"code":200}`: 200, `{"code":100}`: 100, `{"code":399}`: 399, `{"code":403}`: 403, `{"code":000}`: 400, `{"code":20x}`: 400,
		`{"code":2e2}`: 200, `{"code":200]`: 400, `{"code":099}`: 400, `{"code":200 }`: 200, `{"kode":183}`: 200,
	} {
		if code, err := message.Result(&pb.Message{Body: []byte(body)}); code != want || err == nil != (want < 400) {
			t.Errorf("%s: %d, %v, want %d", body, code, err, want)
		}
	}
}

func TestResultOfOlderPeers(t *testing.T) {
	for body, want := range map[string]fault.Code{
		``: 200, `{}`: 200, `{"code":"404","desc":"x"}`: 404, `{"code":183}`: 183, `{"code":503}`: 503, `{"code":null}`: 200,
		`{"code":404.0}`: 404, `{"code":4.04e2}`: 404, `{"code":183.0}`: 183, `{"code":404.5}`: 400, `{"code":"no"}`: 400, `{"code":{}}`: 400,
		`{"code":200,"description":7}`: 200, `{"code":404,"description":{}}`: 404, // what an application means by it is its own
		`{"code":200,"Code":404}`: 200, `{"Code":7}`: 200,
	} {
		if code, _ := message.Result(&pb.Message{Body: []byte(body)}); code != want {
			t.Errorf("%s: %d, want %d", body, code, want)
		}
	}
	for body, want := range map[string]string{
		`{"code":404,"desc":"x"}`: "x", `{"code":404,"desc":"x","description":"y"}`: "y", `{"code":404,"desc":"x","description":null}`: "x",
		`{"code":404,"desc":"x","description":["y"]}`: "x", `{"code":404.0}`: "",
	} {
		if _, err := message.Result(&pb.Message{Body: []byte(body)}); fault.From(err).Description != want {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func TestResource(t *testing.T) {
	m := &pb.Message{Id: "1", Type: "create", From: "a", To: "b", Body: []byte(`{"value":{"name":"n"}}`),
		Resource: &pb.Resource{Content: []byte{0, 255}, MimeType: "image/png"}}
	out, err := message.JSON(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := message.ParseJSON(out)
	if err != nil {
		t.Fatal(err)
	}
	message.TakeResource(back)
	if r := back.Resource; r == nil || string(r.Content) != "\x00\xff" || r.MimeType != "image/png" {
		t.Errorf("%s came back as %v", out, back)
	}
	if strings.Contains(string(back.Body), "content") {
		t.Errorf("content stayed in %s", back.Body)
	}
}

func TestTextContentStays(t *testing.T) {
	m := &pb.Message{Body: []byte(`{"value":{"mimetype":"text/plain","content":"abcd"}}`)}
	if message.TakeResource(m); m.Resource != nil {
		t.Errorf("%v", m)
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"id":1,"type":"t","from":"a","to":"b","body":{"via":"x","a":1}}`))
	f.Add([]byte(`{"id":1,"type":"t","from":"a","to":"b","body":{ "via" : "x" , "a":1 , "via":"y" }}`))
	f.Add([]byte(`{"id":1,"type":"t","from":"a","to":"b","body":{ "via":"x" }}`))
	f.Add([]byte(`{"id":"1","type":"t","from":"a","to":"b","body":{"value":{"content":"AA==","mimetype":"a/b"}}}`))
	f.Add([]byte(`{"id":1,"type":"flow","from":"a","to":"b","flow":{"runtime":"r","epoch":"1","id":2,"acks":[{"received":"7","receivedBeyond":[["9","10"]]}]}}`))
	f.Add([]byte(`{"id":1,"type":"t","from":"a","to":"b","trace":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=b","record":true,"hops":[{"service":"bus","at":"r","event":"posted","time":"1790000000000000001"}]}}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := message.ParseJSON(frame)
		if err != nil {
			return
		}
		out, err := message.JSON(m)
		if err != nil {
			t.Fatalf("%q parses and cannot be written: %v", frame, err)
		}
		back, err := message.ParseJSON(out)
		if err != nil {
			t.Fatalf("%q came out as %q: %v", frame, out, err)
		}
		if back.Id != m.Id || back.Via != m.Via || string(back.Body) != string(m.Body) {
			t.Fatalf("%q changed into %q", frame, out)
		}
		if !proto.Equal(back.Trace, m.Trace) {
			t.Fatalf("the trace of %q changed in %q", frame, out)
		}
		if !proto.Equal(back.Flow, m.Flow) || string(back.Origin) != string(m.Origin) || back.Number != m.Number {
			t.Fatalf("the flow of %q changed in %q", frame, out)
		}
		message.TakeResource(m)
	})
}

func TestRoutingFieldsHaveExactNames(t *testing.T) {
	for body, want := range map[string]string{ // what is left without via
		`{"Via":"x","P2P":true,"Source":"s"}`:      `{"Via":"x","P2P":true,"Source":"s"}`,
		`{"via":"a","n":1,"via":"b","VIA":"kept"}`: `{"n":1,"VIA":"kept"}`,
		`{"n":1,"\u0076ia":"a"}`:                   `{"n":1}`,
	} {
		m, err := message.ParseJSON([]byte(`{"id":1,"type":"t","from":"f","to":"t","body":` + body + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Body) != want || m.P2P || m.Source != "" || (m.Via != "") != strings.Contains(body, "ia\":\"a") {
			t.Errorf("%s became %v", body, m)
		}
	}
}

// What is wrong in a body is told in the words of JSON.
func TestUnmarshalBody(t *testing.T) {
	for body, want := range map[string]string{
		`{"value":[]}`:             "body.value: array is of the wrong type",
		`{"value":{"scheme":1.5}}`: "body.value.scheme: number is of the wrong type",
	} {
		var v struct {
			Value struct {
				Scheme string `json:"scheme"`
			} `json:"value"`
		}
		err := message.UnmarshalBody(&pb.Message{Body: []byte(body)}, &v)
		if f := fault.From(err); f.Code != fault.BadRequest || f.Field != "body" || f.Description != want {
			t.Errorf("%s: %+v", body, f)
		}
	}
}
