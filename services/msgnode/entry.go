package msgnode

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// The two states of an entry (wire contract, section 6).
const (
	statusLive         = "live"
	statusDisconnected = "disconnected"
)

// object is a JSON object whose fields keep their text.
type object = map[string]json.RawMessage

// Entry is a hyperty or a data object in the domain registry. Its life:
//
//	         create            not refreshed within Expires,
//	                           or told so by an update
//	(none) ──────────► live ───────────────────────────────► disconnected
//	   ▲                │  ▲───────────────────────────────────┘  │
//	   │     delete     │       refreshed, or told so             │ delete,
//	   └────────────────┴─────────────────────────────────────────┘ kept long enough
type Entry struct {
	URL string `json:"url"`
	// Value is what was registered, with all fields that it came with.
	Value object `json:"value"`
	Live  bool   `json:"live"`
	// Expires is the time without a refresh that makes it disconnected, in
	// seconds.
	Expires int64 `json:"expires"`
	// At is when it was refreshed or, for one that is disconnected, when it
	// became so: milliseconds since 1970.
	At int64 `json:"at"`
	// By is the runtime that registered it.
	By string `json:"by"`
}

// newEntry reads the value of a registration.
func newEntry(value object, by string, now time.Time, l *Limits) (Entry, error) {
	e := Entry{URL: text(value["url"]), Value: value, Live: true, By: by, At: now.UnixMilli()}
	if e.URL == "" {
		return Entry{}, fault.New(fault.BadRequest, "value.url is missing")
	}
	if len(e.URL) > address.MaxLength {
		return Entry{}, fault.New(fault.BadRequest, "value.url is longer than %d bytes", address.MaxLength)
	}
	e.Live = text(value["status"]) != statusDisconnected
	var err error
	if e.Expires, err = expires(value["expires"], l); err != nil {
		return Entry{}, err
	}
	return e, e.checkSize(l)
}

// expires reads a time in seconds; what is longer than the bound is the bound.
func expires(raw json.RawMessage, l *Limits) (int64, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return int64(l.EntryExpires / time.Second), nil
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return 0, fault.New(fault.BadRequest, "value.expires is no number")
	}
	seconds, err := n.Float64()
	if err != nil || seconds <= 0 {
		return 0, fault.New(fault.BadRequest, "value.expires is no time in seconds")
	}
	return int64(max(1, min(seconds, l.EntryExpiresMax.Seconds()))), nil
}

func (e Entry) checkSize(l *Limits) error {
	size := 0
	for name, raw := range e.Value {
		size += len(name) + len(raw)
	}
	if size > l.EntryBytes {
		return fault.New(fault.TooLarge, "an entry of %d bytes, more than %d", size, l.EntryBytes)
	}
	return nil
}

// refreshed is the entry after a keep-alive: it is live.
func (e Entry) refreshed(now time.Time) Entry {
	e.Live, e.At = true, now.UnixMilli()
	return e
}

// disconnected is the entry without its runtime. One that is so already keeps
// its time.
func (e Entry) disconnected(now time.Time) Entry {
	if e.Live {
		e.Live, e.At = false, now.UnixMilli()
	}
	return e
}

// merged is the entry with fields changed. The url stays; a status of
// disconnected makes it so, anything else is a sign of life.
func (e Entry) merged(fields object, now time.Time, l *Limits) (Entry, error) {
	e.Value = maps.Clone(e.Value)
	for name, raw := range fields {
		if name != "url" {
			e.Value[name] = raw
		}
	}
	var err error
	if raw, ok := fields["expires"]; ok {
		if e.Expires, err = expires(raw, l); err != nil {
			return e, err
		}
	}
	if text(fields["status"]) == statusDisconnected {
		e = e.disconnected(now)
	} else {
		e = e.refreshed(now)
	}
	return e, e.checkSize(l)
}

// isDue tells whether time has come for a live entry to be disconnected.
func (e Entry) isDue(now time.Time) bool {
	return e.Live && now.UnixMilli()-e.At >= e.Expires*1000
}

// seenAt is the entry as it stands at a time, whether the sweep has been there
// or not.
func (e Entry) seenAt(now time.Time) Entry {
	if e.isDue(now) {
		return e.disconnected(now)
	}
	return e
}

// isOver tells whether a disconnected entry has been kept long enough.
func (e Entry) isOver(now time.Time, retention time.Duration) bool {
	return !e.Live && now.UnixMilli()-e.At >= retention.Milliseconds()
}

func (e Entry) status() string {
	if e.Live {
		return statusLive
	}
	return statusDisconnected
}

// view is the value as it is answered: what was registered, with the status.
func (e Entry) view() object {
	v := maps.Clone(e.Value)
	v["status"] = quoted(e.status())
	return v
}

// text is a JSON string, or empty for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return b
}
