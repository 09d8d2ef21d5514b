package message_test

import (
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"

	"github.com/peerbus/peerbus/protocol/message"
)

// A response is that to a request however the id is written in it.
func TestAnIDIsKnownInAnyForm(t *testing.T) {
	for _, same := range [][]string{
		{`"a/b"`, `"a\/b"`, `"\u0061/b"`}, {`"é"`, `"\u00e9"`, `"\u00E9"`}, {`"<"`, `"\u003c"`}, {`"🙂"`, `"\ud83d\ude42"`},
		{`"a\"b"`, `"a\u0022b"`}, {`"\\"`, `"\u005c"`}, {`"\\u0061"`}, {`"7"`}, {`""`},
		{`7`, `7.0`, `70e-1`, `0.7E1`}, {`0`, `-0`, `0.0`, `-0e5`}, {`0.5`, `5e-1`, `0.50`}, {`-3`, `-3.0`}, {`1000`, `1e3`, `1E+3`},
		{`9007199254740993`}, {`9007199254740992`, `9007199254740992.0`}, {`1e400`}, {`2e400`}, {`1e21`, `1E+21`, `10e20`},
	} {
		first := message.KeyOf(&pb.Message{Id: same[0], From: "a", To: "b"})
		for _, id := range same {
			if got := message.AnswerKey(&pb.Message{Id: id, From: "b", To: "a"}); got != first {
				t.Errorf("%s has the key %v, %s has %v", same[0], first, id, got)
			}
		}
	}
	seen := map[string]string{}
	for _, id := range []string{`"a/b"`, `"a\\/b"`, `"7"`, `7`, `"7.0"`, `0.7`, `"\\u0061"`, `"a"`, `"\"a\""`, `""`, `0`, `9007199254740992`, `9007199254740993`, `1e400`, `2e400`} {
		k := message.KeyOf(&pb.Message{Id: id})
		if other, is := seen[k.ID]; is {
			t.Errorf("%s and %s have one key", id, other)
		}
		seen[k.ID] = id
	}
}

func BenchmarkKeyOf(b *testing.B) {
	m := &pb.Message{Id: `"c1b06020-6ff5-4021-8698-cc221b9624eb"`, From: "a", To: "b"}
	for b.Loop() {
		_ = message.KeyOf(m)
	}
}
