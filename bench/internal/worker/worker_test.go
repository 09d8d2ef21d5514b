package worker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type config struct{ Add int }

// adder adds to what it is called with; it can also fail, and wait for ever.
func adder(_ context.Context, c config) (Ops, error) {
	if c.Add < 0 {
		return nil, errors.New("it does not subtract")
	}
	return Ops{
		"add":  Do(func(_ context.Context, n int) (int, error) { return n + c.Add, nil }),
		"fail": Do(func(context.Context, struct{}) (any, error) { return nil, errors.New("as you wish") }),
		"wait": Do(func(ctx context.Context, _ struct{}) (any, error) { <-ctx.Done(); return nil, ctx.Err() }),
	}, nil
}

// connected runs an adder beside its client.
func connected(t *testing.T, configuration string) (*Client, <-chan error) {
	t.Helper()
	callsOut, callsIn := io.Pipe()
	answersOut, answersIn := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Serve(context.Background(), As(adder), json.RawMessage(configuration), callsOut, answersIn)
		_ = answersIn.Close()
		ended <- err
	}()
	c := newClient("adder", callsIn, answersOut)
	t.Cleanup(func() {
		_ = callsIn.Close()
		<-c.over
	})
	return c, ended
}

func TestCalls(t *testing.T) {
	c, ended := connected(t, `{"Add":2}`)
	if err := c.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() { waits <- c.Call(context.Background(), "wait", nil, nil) }()
	var sum int
	if err := c.Call(t.Context(), "add", 5, &sum); err != nil || sum != 7 {
		t.Errorf("%d, %v", sum, err)
	}
	for do, want := range map[string]string{
		"fail": "adder: fail: as you wish", "other": `adder: other: there is no call "other"`,
	} {
		if err := c.Call(t.Context(), do, nil, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v", do, err)
		}
	}
	if err := c.Call(t.Context(), "add", "five", nil); err == nil {
		t.Error("it adds words")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Call(gone, "wait", nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = c.in.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-waits; err == nil {
		t.Error("who waits is not told of the end")
	}
}

func TestARoleThatDoesNotStart(t *testing.T) {
	for configuration, want := range map[string]string{`{"Add":-1}`: "it does not subtract", `{"Add":"x"}`: "cannot unmarshal"} {
		c, ended := connected(t, configuration)
		if err := c.ready(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", configuration, err)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: it ends well", configuration)
		}
	}
}

func TestNoise(t *testing.T) {
	if err := Serve(t.Context(), As(adder), nil, strings.NewReader("noise\n"), io.Discard); err == nil {
		t.Error("noise is a call")
	}
}
