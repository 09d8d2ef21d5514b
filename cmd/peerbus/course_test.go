package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/numbered"
)

// pollPause is how long a test waits before it looks again.
const pollPause = 20 * time.Millisecond

// end is a client's attachment, and its hyperty.
type end struct {
	bus *client.Bus
	url string
}

// newEnd makes an end in a runtime.
func newEnd(t *testing.T, r *local.Runtime, name string) end {
	t.Helper()
	return end{attachTo(t, r), register(t, r, name)}
}

// course is numbered traffic from one end to another, and the judge of it.
type course struct {
	name     string
	from, to end
	judge    *numbered.Judge

	mu       sync.Mutex
	posted   int
	asked    time.Time     // when its pause was asked for last
	progress chan struct{} // closed at the next one that comes
}

func newCourse(name string, from, to end) *course {
	return &course{name: name, from: from, to: to, judge: numbered.NewJudge(1, []int{0}), progress: make(chan struct{})}
}

// startCourse posts a number every so often until stop.
func startCourse(t *testing.T, name string, from, to end, every time.Duration) (c *course, stop func()) {
	t.Helper()
	c = newCourse(name, from, to)
	if _, err := to.bus.Listen(testContext(t), to.url, c.take); err != nil {
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
	for posting.Err() == nil {
		c.post(posting)
		select {
		case <-tick.C:
		case <-posting.Done():
		}
	}
}

// post posts the next number. One that has been given to the client is followed to its
// end.
func (c *course) post(posting context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(posting), patience)
	defer cancel()
	c.mu.Lock()
	c.posted++
	c.mu.Unlock()
	number := c.judge.Posted(0, time.Now())
	m := pingOf(c.from.url, c.to.url, number)
	m.Id = strconv.Itoa(number)
	c.judge.Told(0, number, c.from.bus.Post(within, m))
}

func (c *course) take(_ context.Context, m *pb.Message) {
	if number, err := strconv.Atoi(m.Id); err == nil && m.From == c.from.url {
		c.judge.Handed(0, number, numbered.PathOf(m.Via), time.Now())
	} else {
		c.judge.Broken()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.progress)
	c.progress = make(chan struct{})
}

// await waits until so many numbers have come.
func (c *course) await(ctx context.Context, t *testing.T, want int) {
	t.Helper()
	for {
		c.mu.Lock()
		progress := c.progress
		c.mu.Unlock()
		if c.came() >= want {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			t.Fatalf("%s: %d came, want %d: %v", c.name, c.came(), want, c.wrong())
		}
	}
}

func (c *course) came() int { return c.judge.Findings().Lanes[0].Handed }

// goesOn waits until what is posted from now on comes too.
func (c *course) goesOn(ctx context.Context, t *testing.T) {
	t.Helper()
	c.await(ctx, t, c.numbers()+10)
}

// numbers is how many were posted.
func (c *course) numbers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.posted
}

// pause is the longest time between two that came, since it was asked for last.
func (c *course) pause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, now := c.asked, time.Now()
	c.asked = now
	return c.judge.LongestPause(numbered.Span{From: since, To: now})
}

// verdict is called after the last post has been answered.
func (c *course) verdict(ctx context.Context, t *testing.T) {
	t.Helper()
	c.await(ctx, t, c.numbers())
	t.Logf("%s: %d posted, %d came", c.name, c.numbers(), c.came())
	if err := c.wrong(); err != nil {
		t.Errorf("%s: %v", c.name, err)
	}
}

// wrong is nil when nothing has gone wrong so far. It names the first messages of each
// kind.
func (c *course) wrong() error {
	found := c.judge.Findings()
	var all []error
	for what, list := range map[string][]numbered.Incident{"lost": found.Lost, "doubled": found.Doubled, "reordered": found.Reordered} {
		if len(list) > 0 {
			all = append(all, fmt.Errorf("%d are %s: %s", len(list), what, numbersOf(list)))
		}
	}
	if found.Damaged > 0 {
		all = append(all, fmt.Errorf("%d came and were not posted", found.Damaged))
	}
	if len(found.Refused) > 0 {
		all = append(all, fmt.Errorf("refused: %v", found.Refused))
	}
	return errors.Join(all...)
}

func numbersOf(list []numbered.Incident) string {
	var all []string
	for _, i := range list[:min(len(list), 20)] {
		all = append(all, strconv.Itoa(i.Number))
	}
	return strings.Join(all, " ")
}

// crossing is courses that go on at the same time.
type crossing struct {
	courses []*course
	stops   []func()
}

// start adds a course.
func (x *crossing) start(t *testing.T, name string, from, to end, every time.Duration) {
	t.Helper()
	c, stop := startCourse(t, name, from, to, every)
	x.courses, x.stops = append(x.courses, c), append(x.stops, stop)
}

// goOn waits until all courses do, and gives the longest pause that there was.
func (x *crossing) goOn(ctx context.Context, t *testing.T) (longest time.Duration) {
	t.Helper()
	for _, c := range x.courses {
		c.goesOn(ctx, t)
		longest = max(longest, c.pause())
	}
	return longest
}

// end stops, and checks that each number has come once and in order. Each course has a
// time of its own.
func (x *crossing) end(t *testing.T, within func(*testing.T) context.Context) {
	t.Helper()
	for i, c := range x.courses {
		x.stops[i]()
		c.verdict(within(t), t)
	}
}

// A judge that finds nothing proves nothing: each of these is found.
func TestCourseFindsWhatGoesWrong(t *testing.T) {
	for came, want := range map[string]string{
		"1 2 3": "", "1 3 2": "1 are reordered: 2", "1 2 2 3": "1 are doubled: 2", "1 2": "1 are lost: 3", "1 2 3 4": "1 came and were not posted",
		"1 2 3 x": "1 came and were not posted",
	} {
		c := newCourse("", end{}, end{})
		for range 3 {
			c.judge.Told(0, c.judge.Posted(0, time.Now()), nil)
		}
		for id := range strings.FieldsSeq(came) {
			c.take(t.Context(), &pb.Message{Id: id})
		}
		if got := fmt.Sprint(c.wrong()); got != want && !(want == "" && c.wrong() == nil) {
			t.Errorf("%s: %s, want %q", came, got, want)
		}
	}
	c := newCourse("", end{}, end{})
	c.judge.Told(0, c.judge.Posted(0, time.Now()), errors.New("full"))
	if err := c.wrong(); err == nil || !slices.Contains(strings.Fields(err.Error()), "map[full:1]") {
		t.Errorf("refused: %v", err)
	}
}
