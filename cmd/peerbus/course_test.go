package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
)

// pollPause is how long a test waits before it looks again.
const pollPause = 20 * time.Millisecond

// course is numbered traffic from one runtime to another, and the judge of it.
type course struct {
	name     string
	from, to string // hyperties
	bus      *client.Bus

	mu       sync.Mutex
	posted   int
	came     []int // how often each number came
	highest  int
	count    int // numbers that came
	wrong    []string
	last     time.Time
	longest  time.Duration // between two that came, since the last asked for
	progress chan struct{} // closed at the next one
}

// startCourse posts a number every so often until stop.
func startCourse(t *testing.T, name string, from, to *local.Runtime, every time.Duration) (c *course, stop func()) {
	t.Helper()
	ctx := testContext(t)
	c = &course{
		name: name, from: register(t, from, name+"-from"), to: register(t, to, name+"-to"), bus: attachTo(t, from),
		highest: -1, progress: make(chan struct{}),
	}
	if _, err := attachTo(t, to).Listen(ctx, c.to, c.take); err != nil {
		t.Fatal(err)
	}
	posting, halt := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.run(posting, every)
	}()
	stop = func() { halt(); <-over }
	t.Cleanup(stop)
	return c, stop
}

func (c *course) run(posting context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; posting.Err() == nil; i++ {
		c.mu.Lock()
		c.posted, c.came = c.posted+1, append(c.came, 0)
		c.mu.Unlock()
		m := numbered(c.from, c.to, i)
		m.Id = strconv.Itoa(i)
		// One that has been given to the client is followed to its end.
		if err := c.bus.Post(context.WithoutCancel(posting), m); err != nil {
			c.complain("%d is refused: %v", i, err)
		}
		select {
		case <-tick.C:
		case <-posting.Done():
		}
	}
}

func (c *course) take(_ context.Context, m *pb.Message) {
	number, err := strconv.Atoi(m.Id)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil || number < 0 || number >= len(c.came):
		c.wrong = append(c.wrong, fmt.Sprintf("%q came and was not posted", m.Id))
		return
	case c.came[number] > 0:
		c.wrong = append(c.wrong, fmt.Sprintf("%d is doubled", number))
	case number < c.highest:
		c.wrong = append(c.wrong, fmt.Sprintf("%d is reordered: it came after %d", number, c.highest))
	}
	if c.came[number]++; c.came[number] == 1 {
		c.count++
	}
	c.highest = max(c.highest, number)
	now := time.Now()
	if !c.last.IsZero() {
		c.longest = max(c.longest, now.Sub(c.last))
	}
	c.last = now
	close(c.progress)
	c.progress = make(chan struct{})
}

func (c *course) complain(format string, v ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, v...))
}

// await waits until so many numbers have come.
func (c *course) await(ctx context.Context, t *testing.T, want int) {
	t.Helper()
	for {
		c.mu.Lock()
		count, posted, progress := c.count, c.posted, c.progress
		c.mu.Unlock()
		if count >= want {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			t.Fatalf("%s: %d of %d posted came, want %d; wrong: %q", c.name, count, posted, want, c.wrong)
		}
	}
}

// goesOn waits until what is posted from now on comes too.
func (c *course) goesOn(ctx context.Context, t *testing.T) {
	t.Helper()
	c.mu.Lock()
	want := c.posted + 10
	c.mu.Unlock()
	c.await(ctx, t, want)
}

// pause is the longest time between two that came, since it was asked for last.
func (c *course) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := c.longest
	c.longest = 0
	return longest
}

// verdict is called after the last post has been answered.
func (c *course) verdict(ctx context.Context, t *testing.T) {
	t.Helper()
	c.await(ctx, t, c.posted)
	c.mu.Lock()
	defer c.mu.Unlock()
	t.Logf("%s: %d posted, %d came", c.name, c.posted, c.count)
	if len(c.wrong) > 0 {
		t.Errorf("%s: %d of %d went wrong: %q", c.name, len(c.wrong), c.posted, c.wrong[:min(len(c.wrong), 20)])
	}
}

// A judge that finds nothing proves nothing: each of these is found.
func TestCourseFindsWhatGoesWrong(t *testing.T) {
	for came, want := range map[string]string{
		"0 1 2": "", "0 2 1": "1 is reordered", "0 1 1 2": "1 is doubled", "0 3": "3", "0 x": "was not posted",
	} {
		c := &course{highest: -1, progress: make(chan struct{}), posted: 3, came: make([]int, 3)}
		for id := range strings.FieldsSeq(came) {
			c.take(t.Context(), &pb.Message{Id: id})
		}
		if got := strings.Join(c.wrong, "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", came, got, want)
		}
		if c.count == c.posted != (want != "3" && want != "was not posted") {
			t.Errorf("%s: %d of %d came", came, c.count, c.posted)
		}
	}
}
