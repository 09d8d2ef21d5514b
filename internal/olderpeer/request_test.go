package olderpeer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestRequestIsRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		codes []int // one a time that the request is sent; 0: no response
		want  int
		after time.Duration
		sent  int
	}{
		"answered":           {[]int{200}, 200, 0, 1},
		"refused":            {[]int{404}, 404, 0, 1},
		"error, then answer": {[]int{500, 200}, 200, 15 * time.Second, 2},
		"time-out, answer":   {[]int{408, 200}, 200, 15 * time.Second, 2},
		"silence, answer":    {[]int{0, 0, 200}, 200, 30 * time.Second, 3},
		"silence":            {[]int{0, 0, 0}, 408, 45 * time.Second, 3},
		"errors":             {[]int{500, 500, 500}, 500, 45 * time.Second, 3},
		"provisional":        {[]int{183, 200}, 200, 15 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPeer(Config{RuntimeURL: runtimeA})
				defer p.Close()
				ids := map[string]int{}
				send := func(_ context.Context, m Message) error {
					code := c.codes[ids[string(m.ID)]]
					ids[string(m.ID)]++
					if code != 0 {
						p.receive(m.Response(code, nil))
					}
					return nil
				}
				start := time.Now()
				request := Message{Type: "read", From: "hyperty://a.example/x", To: "hyperty://b.example/y"}
				answer, err := p.request(t.Context(), request, send)
				if err != nil || answer.Code() != c.want {
					t.Errorf("the answer is %+v, %v", answer, err)
				}
				if took := time.Since(start); took != c.after {
					t.Errorf("it took %v, not %v", took, c.after)
				}
				if ids["1"] != c.sent || len(ids) != 1 {
					t.Errorf("sent, by id: %v", ids)
				}
			})
		})
	}
}
