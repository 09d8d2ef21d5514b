package sequence_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/sequence"
)

const (
	alice = "hyperty-runtime://example.org/alice"
	bob   = "hyperty-runtime://example.org/bob"
)

// trace reads testdata/run.txt: a line an event, `service place: message key=value …`.
func trace(t *testing.T) []sequence.Event {
	t.Helper()
	data, err := os.ReadFile("testdata/run.txt")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(0, 0)
	var events []sequence.Event
	for line := range strings.Lines(string(data)) {
		head, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		service, place, _ := strings.Cut(head, " ")
		text, attrs, _ := strings.Cut(rest, " | ")
		e := sequence.Event{Service: service, Message: text, Attrs: map[string]string{}}
		e.Runtime = map[string]string{"A": alice, "B": bob}[place]
		for pair := range strings.FieldsSeq(attrs) {
			key, value, _ := strings.Cut(pair, "=")
			value = strings.NewReplacer("{A}", alice, "{B}", bob).Replace(value)
			e.Attrs[key] = value
		}
		at = at.Add(time.Millisecond)
		e.Time = at
		events = append(events, e)
	}
	return events
}

func TestEveryStepIsFoundInOrder(t *testing.T) {
	found := sequence.Find(trace(t), alice, bob)
	if err := sequence.Check(found); err != nil {
		t.Error(err)
	}
	if len(found) != 17+18 {
		t.Errorf("%d steps", len(found))
	}
}

func TestEachMissingStepIsNoticed(t *testing.T) {
	whole := trace(t)
	for i, e := range whole {
		without := append(append([]sequence.Event{}, whole[:i]...), whole[i+1:]...)
		err := sequence.Check(sequence.Find(without, alice, bob))
		if optional := e.Message == "node stub deployed"; (err == nil) != optional {
			t.Errorf("without %q of %s: %v", e.Message, e.Service, err)
		}
	}
}

func TestTwoStepsTheWrongWayRoundAreNoticed(t *testing.T) {
	swapped := trace(t)
	last := len(swapped) - 1
	swapped[last].Time, swapped[0].Time = swapped[0].Time, swapped[last].Time
	if sequence.Check(sequence.Find(swapped, alice, bob)) == nil {
		t.Error("the last step before the first one is taken for right")
	}
}

func TestParseEvent(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	log.With("service", "bus", "runtime", alice).Debug("posted", "type", "create", "n", 3)
	e, err := sequence.ParseEvent(buf.Bytes())
	if err != nil || e.Service != "bus" || e.Runtime != alice || e.Message != "posted" || e.Attrs["type"] != "create" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, bad := range []string{"", "{", `{"msg":"x"}`, `{"time":"soon","msg":"x"}`, "[]"} {
		if _, err := sequence.ParseEvent([]byte(bad)); err == nil {
			t.Errorf("%q is taken for an event", bad)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	good, _ := json.Marshal(map[string]any{"time": time.Unix(1, 0), "msg": "m", "service": "s"})
	f.Add(good)
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := sequence.ParseEvent(line); err == nil && e.Message == "" {
			t.Errorf("%q has no message", line)
		}
	})
}
