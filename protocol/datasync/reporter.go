package datasync

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Reporter is the side of a data object that changes it. It is for one
// goroutine.
type Reporter struct{ object Object }

// NewReporter makes an object of its own. data is anything that marshals to a
// JSON object.
func NewReporter(o Object, data any, now time.Time) (*Reporter, error) {
	t, err := treeOf(data)
	if err != nil {
		return nil, err
	}
	o.Created = formatTime(now)
	o.LastModified, o.Status, o.Resources, o.Version, o.Data = o.Created, "live", []string{"data"}, 0, t
	return &Reporter{o}, nil
}

// URL is the object's address.
func (r *Reporter) URL() string { return r.object.URL }

// Version is how many updates there have been.
func (r *Reporter) Version() int { return r.object.Version }

// Created is when the object was made.
func (r *Reporter) Created() time.Time { return r.object.CreatedAt() }

type invitation struct {
	Source   string       `json:"source"`
	Schema   string       `json:"schema"`
	Resource string       `json:"resource"`
	Value    invitedValue `json:"value"`
}

type invitedValue struct {
	Name     string         `json:"name"`
	Schema   string         `json:"schema"`
	Reporter string         `json:"reporter"`
	Runtime  string         `json:"runtime"`
	Created  string         `json:"created"`
	Version  int            `json:"version,omitempty"`
	Data     map[string]any `json:"data"`
}

// Invite asks a stub to observe the object. The data is in it, so that a peer
// of our own needs nothing else to begin.
func (r *Reporter) Invite(to string) *pb.Message {
	o := r.object
	return &pb.Message{
		Type: message.Create, From: o.URL + address.SubscriptionSuffix, To: to, Source: o.Reporter,
		Body: message.MarshalBody(invitation{
			Source: o.Reporter, Schema: o.Schema, Resource: o.URL,
			Value: invitedValue{o.Name, o.Schema, o.Reporter, o.Runtime, o.Created, o.Version, o.Data},
		}),
	}
}

// Set changes one attribute, and gives the update for the observers.
func (r *Reporter) Set(attribute string, value any, now time.Time) (*pb.Message, error) {
	return r.change(update{Attribute: attribute}, value, now)
}

// Append adds one element to a list.
func (r *Reporter) Append(list string, element any, now time.Time) (*pb.Message, error) {
	have, _ := r.object.Data[list].([]any)
	return r.change(update{
		Attribute: list + "." + strconv.Itoa(len(have)), AttributeType: "array", Operation: add,
	}, element, now)
}

func (r *Reporter) change(u update, value any, now time.Time) (*pb.Message, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "value is no JSON: %w", err)
	}
	u.Value, u.Version, u.Source, u.LastModified = raw, r.object.Version+1, r.object.Reporter, formatTime(now)
	if _, err := u.apply(r.object.Data, strings.Split(u.Attribute, ".")); err != nil {
		return nil, err
	}
	r.object.Version, r.object.LastModified = u.Version, u.LastModified
	return &pb.Message{
		Type: message.Update, From: r.object.URL, To: r.object.URL + address.ChangesSuffix,
		Source: u.Source, Body: message.MarshalBody(u),
	}, nil
}

// Answer is the response to a subscription or a read: the whole object. data, unless it is
// nil, is sent in place of the object's own data: an older observer is given a complete
// description and no list of candidates.
func (r *Reporter) Answer(req *pb.Message, data any) (*pb.Message, error) {
	o := r.object
	if data != nil {
		t, err := treeOf(data)
		if err != nil {
			return nil, err
		}
		o.Data = t
	}
	return message.Answer(req, fault.OK, struct {
		Schema string `json:"schema"`
		Owner  string `json:"owner"`
		Value  Object `json:"value"`
	}{o.Schema, o.Reporter, o}), nil
}

// Delete tells the observers that the object is gone, and why, if there is a
// reason.
func (r *Reporter) Delete(reason string) *pb.Message {
	o := r.object
	return &pb.Message{
		Type: message.Delete, From: o.URL + address.SubscriptionSuffix, To: o.URL + address.ChangesSuffix, Source: o.Reporter,
		Body: message.MarshalBody(struct {
			Source   string `json:"source"`
			Resource string `json:"resource"`
			Desc     string `json:"desc,omitempty"`
		}{o.Reporter, o.URL, reason}),
	}
}
