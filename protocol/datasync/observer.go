package datasync

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Bounds of an observer.
const (
	maxHeld = 64      // updates held back behind a gap
	maxData = 1 << 20 // bytes of an object, and of its updates: a hundred times a set-up's
)

// Outcome says what an observer did with an update.
type Outcome int

// Outcomes of an update.
const (
	Applied  Outcome = iota // the object has changed
	Repeated                // it was applied before
	Gap                     // something before it is missing: read the object
)

func (o Outcome) String() string { return [...]string{"applied", "repeated", "gap"}[o] }

// Observer is the side of a data object that follows it. It is for one
// goroutine.
type Observer struct {
	object   Object
	baseline bool // the version is known
	held     map[int]update
	bytes    int
	asked    int // the version that was known when the object was read last; -1: it was not
}

// NewObserver follows an object that is known by its invitation.
func NewObserver(inv Invitation) *Observer {
	o := inv.Object
	o.Version = inv.version
	return &Observer{object: o, baseline: true, held: map[int]update{}, asked: -1}
}

// URL is the object's address.
func (o *Observer) URL() string { return o.object.URL }

// Object is what is known of the object. Its data must not be changed.
func (o *Observer) Object() Object { return o.object }

// Subscribe asks for the whole object and its updates. framing is announced to
// a reporter of our own.
func (o *Observer) Subscribe(from, subscriber string, framing []string) *pb.Message {
	return &pb.Message{
		Type: message.Subscribe, From: from, To: o.object.URL + address.SubscriptionSuffix, Source: subscriber,
		Body: message.MarshalBody(subscription{subscriber, subscriber, framing}),
	}
}

// Read asks for the whole object, after a gap.
func (o *Observer) Read(from string) *pb.Message {
	o.asked = o.object.Version
	return &pb.Message{Type: message.Read, From: from, To: o.object.URL, Body: []byte(`{}`)}
}

// Reset takes the whole object, from the answer to Subscribe or Read. An older
// one than is known changes nothing. It tells whether a gap is left that is worth a
// Read: something after the answer was missed too. Where a Read has brought nothing
// newer the next one would not either, until there is another update.
func (o *Observer) Reset(answer *pb.Message) (gap bool, err error) {
	var body struct {
		Value json.RawMessage `json:"value"`
	}
	if err := message.UnmarshalBody(answer, &body); err != nil {
		return false, err
	}
	whole, versioned, err := snapshot(body.Value)
	if err != nil {
		return false, err
	}
	if versioned && whole.Version < o.object.Version {
		return o.isBehind(), nil
	}
	whole.URL = o.object.URL
	if !versioned {
		whole.Version = o.object.Version
	}
	o.object, o.baseline, o.bytes = whole, versioned, len(body.Value)
	if !versioned && len(o.held) > 0 {
		o.object.Version, o.baseline = slices.Min(slices.Collect(maps.Keys(o.held)))-1, true
	}
	_, err = o.applyHeld()
	return o.isBehind(), err
}

// isBehind tells whether a gap is left, and the last Read was of some use.
func (o *Observer) isBehind() bool { return len(o.held) > 0 && o.object.Version > o.asked }

// Update takes an update message. With an error (400, 413) nothing has changed
// but the version, so that a bad update is not asked for again.
func (o *Observer) Update(m *pb.Message) (Outcome, error) {
	u, err := parseUpdate(m)
	if err != nil {
		return Repeated, err
	}
	switch {
	case !o.baseline && u.Version > o.object.Version:
		o.object.Version, o.baseline = u.Version-1, true
	case u.Version <= o.object.Version:
		return Repeated, nil
	}
	if u.Version > o.object.Version+1 {
		return o.hold(u)
	}
	if err := o.apply(u); err != nil {
		return Repeated, err
	}
	gap, err := o.applyHeld()
	if gap && err == nil {
		return Gap, nil
	}
	return Applied, err
}

func (o *Observer) hold(u update) (Outcome, error) {
	if len(o.held) >= maxHeld {
		return Gap, fault.New(fault.TooMany, "more than %d updates behind a gap", maxHeld)
	}
	held := u.size()
	for _, other := range o.held {
		held += other.size()
	}
	if held > maxData {
		return Gap, fault.New(fault.TooLarge, "updates behind a gap have more than %d bytes", maxData)
	}
	o.held[u.Version] = u
	return Gap, nil
}

func (o *Observer) apply(u update) error {
	o.object.Version = u.Version
	o.object.LastModified = u.LastModified
	if o.bytes += u.size(); o.bytes > maxData {
		return fault.New(fault.TooLarge, "updates bring more than %d bytes", maxData)
	}
	_, err := u.apply(o.object.Data, strings.Split(u.Attribute, "."))
	return err
}

// applyHeld goes on with what was held back, and tells whether a gap is left.
func (o *Observer) applyHeld() (gap bool, err error) {
	for {
		u, ok := o.held[o.object.Version+1]
		if !ok {
			break
		}
		delete(o.held, u.Version)
		if e := o.apply(u); e != nil && err == nil {
			err = e
		}
	}
	for v := range o.held {
		if v <= o.object.Version {
			delete(o.held, v)
		}
	}
	return len(o.held) > 0, err
}
