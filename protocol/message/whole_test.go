package message_test

import (
	"encoding/json"
	"testing"

	"github.com/peerbus/peerbus/protocol/message"
)

func TestWhole(t *testing.T) {
	for text, want := range map[string]message.Whole{
		"2": 2, "2.0": 2, "2e0": 2, "0.2e1": 2, "20E-1": 2, "-3.0": -3, "0.0": 0, "-0": 0, `"2"`: 2, `"2.0"`: 2, "null": 7,
		"9007199254740993": 9007199254740993, "9007199254740992.0": 9007199254740992,
	} {
		got := message.Whole(7)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"2.5", "1e-1", `"x"`, `""`, "true", "[]", "{}", "1e400", "1e18", "-1e18", "9223372036854775808"} {
		got := message.Whole(7)
		if err := json.Unmarshal([]byte(text), &got); err == nil || got != 7 {
			t.Errorf("%s: %d", text, got)
		}
	}
}
