package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/story"
)

// TestFeedStory plays testdata/feed/feed.txt, as TestStories does.
func TestFeedStory(t *testing.T) { story.Play(t, "testdata/feed/*.txt", playFeed) }

func playFeed(t *testing.T, text string) string {
	f := newFeed()
	var out strings.Builder
	story.Tell(text, &out, func(event string) {
		words := append(strings.Fields(event), "", "")
		switch words[0] {
		case "add":
			f.add(words[1])
		case "remove":
			f.remove(words[1])
		case "subscribe":
			f.subscribers[words[1]] = subscriber{deltas: words[2] == "deltas"}
			tellChange(&out, f.now(), words[2] == "deltas")
		case "unsubscribe":
			f.unsubscribe(words[1])
		case "publish":
			if c, due := f.next(); due && len(f.subscribers) > 0 {
				tellChange(&out, c, f.anyDeltas())
			} else {
				fmt.Fprintln(&out, "  nothing is sent")
			}
		default:
			t.Fatalf("unknown event %q", words[0])
		}
	})
	return out.String()
}

func tellChange(out *strings.Builder, c change, deltas bool) {
	if !deltas {
		c = c.plain()
	}
	body, _ := json.Marshal(c)
	fmt.Fprintf(out, "  %s\n", body)
}

func FuzzSubscribeBody(f *testing.F) {
	f.Add([]byte(`{"subscribe":["a"],"deltas":true}`))
	f.Add([]byte(`{"subscribe":"a","resources":[1]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var b subscribeBody
		if json.Unmarshal(body, &b) != nil {
			return
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatalf("%s cannot be written: %v", body, err)
		}
		var c subscribeBody
		if err := json.Unmarshal(again, &c); err != nil || len(c.Subscribe) != len(b.Subscribe) {
			t.Fatalf("%s became %s", body, again)
		}
	})
}
