package olderpeer

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func packetsFor(t *testing.T, value any) []packet {
	t.Helper()
	packets, err := packetsOf(event("hyperty://b.example/y", value), "abcdefghijkl", time.UnixMilli(7))
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

func TestSmallMessageIsOnePacket(t *testing.T) {
	packets := packetsFor(t, Body{"mimetype": "text/plain", "content": "hello"})
	const want = `{"uuid":"abcdefghijkl","data":{"uuid":"abcdefghijkl","sendingTime":7,"dataSize":0,"textMessage":` +
		`{"type":"event","from":"hyperty://a.example/x","to":"hyperty://b.example/y","body":{"value":` +
		`{"content":"hello","mimetype":"text/plain"}}}}}`
	if len(packets) != 1 || !packets[0].text || string(packets[0].data) != want {
		t.Errorf("%d packets, the first %s", len(packets), packets[0].data)
	}
}

func TestBinaryContentFollows(t *testing.T) {
	content := bytes.Repeat([]byte{1, 2, 3}, 10000)
	packets := packetsFor(t, Body{"mimetype": "image/png", "content": content})
	if len(packets) != 3 || !strings.Contains(string(packets[0].data), `"dataSize":30000`) {
		t.Fatalf("%d packets, first %s", len(packets), packets[0].data)
	}
	if !bytes.HasPrefix(packets[1].data, []byte("a\x00b\x00c\x00d\x00")) || len(packets[1].data) != 24+16384 {
		t.Errorf("the second packet has %d bytes and begins %q", len(packets[1].data), packets[1].data[:8])
	}
	got := assemble(t, packets)
	if received := at(got.Body, "value", "content"); !bytes.Equal(received.([]byte), content) {
		t.Error("the content came changed")
	}
}

func TestTransfersInterleave(t *testing.T) {
	first := packetsFor(t, Body{"mimetype": "image/png", "content": []byte("one")})
	second, err := packetsOf(event("x", Body{"content": []byte("two")}), "ABCDEFGHIJKL", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var a assembler
	for _, p := range []packet{first[0], second[0]} {
		if m, err := a.text(p.data); m != nil || err != nil {
			t.Fatal(m, err)
		}
	}
	for _, p := range []packet{second[1], first[1]} {
		if m, err := a.binary(p.data); m == nil || err != nil {
			t.Fatal(m, err)
		}
	}
}

// JavaScript cuts a string at a UTF-16 unit, wherever that falls.
func TestLongTextContentIsSplitAtUnits(t *testing.T) {
	text := strings.Repeat("a", packetSize-1) + "😀 \"ü\"\n" + strings.Repeat("b", packetSize)
	packets := packetsFor(t, Body{"mimetype": "text/plain", "content": text})
	if len(packets) != 4 || !strings.Contains(string(packets[0].data), `"dataSize":32774`) {
		t.Fatalf("%d packets, the first %s", len(packets), packets[0].data)
	}
	if strings.Contains(string(packets[0].data), `"content"`) {
		t.Error("the content has stayed in the message")
	}
	if !bytes.HasSuffix(packets[1].data, []byte(`a\ud83d"}`)) {
		t.Errorf("the first piece ends %q", packets[1].data[len(packets[1].data)-10:])
	}
	if !bytes.Contains(packets[2].data, []byte(`"data":"\ude00 \u0022ü\u0022\u000ab`)) {
		t.Errorf("the second piece begins %q", packets[2].data[:60])
	}
	for _, p := range packets {
		if !json.Valid(p.data) {
			t.Errorf("%.60s is no JSON", p.data)
		}
	}
}

func TestUUIDsHave8To13Characters(t *testing.T) {
	seen := map[int]bool{}
	for range 1000 {
		seen[len(drawPacketID(0))] = true
	}
	if len(seen) != 6 || !seen[8] || !seen[13] {
		t.Errorf("the lengths are %v", seen)
	}
	if id := drawPacketID(12); len(id) != 12 {
		t.Errorf("a uuid of 12 is %q", id)
	}
}

func TestWhatStopsAnOlderReceiver(t *testing.T) {
	const message = `"textMessage":{"type":"t","from":"f","to":"t","body":{"value":{"mimetype":"a/b"}}}`
	text := func(data string) packet { return packet{text: true, data: []byte(data)} }
	begin := func(size string) packet {
		return text(`{"uuid":"abcdefghijkl","data":{"uuid":"abcdefghijkl","dataSize":` + size + `,` + message + `}}`)
	}
	piece := func(content string) packet { return binaryPieces("abcdefghijkl", []byte(content))[0] }
	for name, c := range map[string]struct {
		packets []packet
		err     string
	}{
		"no JSON":         {[]packet{text(`hello`)}, "no JSON"},
		"no object":       {[]packet{text(`{"uuid":"a","data":[]}`)}, "opens no message"},
		"split text":      {[]packet{text(`{"uuid":"a","data":"piece"}`)}, "split"},
		"two uuids":       {[]packet{text(`{"uuid":"a","data":{"uuid":"b"}}`)}, "uuids"},
		"no message":      {[]packet{text(`{"uuid":"a","data":{"uuid":"a"}}`)}, "no textMessage"},
		"no from":         {[]packet{text(`{"uuid":"a","data":{"uuid":"a","textMessage":{"type":"t"}}}`)}, "no from"},
		"negative size":   {[]packet{begin("-1")}, "dataSize is -1"},
		"endless":         {[]packet{begin("1000000000")}, "dataSize is 1000000000"},
		"short binary":    {[]packet{{data: []byte("short")}}, "5 bytes"},
		"unknown binary":  {[]packet{piece("x")}, "no message has opened"},
		"too much":        {[]packet{begin("3"), piece("1234")}, "4 bytes of content where dataSize said 3"},
		"too large":       {[]packet{begin("99999"), {data: append(piece("x").data, make([]byte, packetSize)...)}}, "16385 bytes"},
		"text in packets": {[]packet{text(strings.ReplaceAll(string(begin("3").data), "a/b", "text/plain"))}, "text content"},
		"no value":        {[]packet{text(strings.ReplaceAll(string(begin("3").data), `"value"`, `"other"`))}, "body.value"},
		"another uuid":    {[]packet{text(strings.ReplaceAll(string(begin("3").data), "ijkl", "ij"))}, "uuid of 10"},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				a   assembler
				err error
			)
			for _, p := range c.packets {
				if p.text {
					_, err = a.text(p.data)
				} else {
					_, err = a.binary(p.data)
				}
			}
			wantError(t, err, c.err)
		})
	}
}

func FuzzAssembler(f *testing.F) {
	packets, err := packetsOf(event("x", Body{"content": []byte("content")}), "abcdefghijkl", time.UnixMilli(7))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packets[0].data, packets[1].data)
	f.Add([]byte(`{"uuid":"a","data":"b"}`), []byte{})
	f.Fuzz(func(t *testing.T, text, data []byte) {
		var a assembler
		if m, err := a.text(text); m != nil && (err != nil || m.missing() != "") {
			t.Errorf("message %v and error %v", m, err)
		}
		if m, err := a.binary(data); m != nil && (err != nil || m.missing() != "") {
			t.Errorf("message %v and error %v", m, err)
		}
	})
}

// assemble puts packets together and wants exactly one message, at the end.
func assemble(t *testing.T, packets []packet) *Message {
	t.Helper()
	var (
		a   assembler
		m   *Message
		err error
	)
	for i, p := range packets {
		if m != nil {
			t.Fatalf("the message was complete before packet %d", i)
		}
		if p.text {
			m, err = a.text(p.data)
		} else {
			m, err = a.binary(p.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if m == nil {
		t.Fatal("no message")
	}
	return m
}
