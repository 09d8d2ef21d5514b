package olderpeer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v3"
)

// What stands in a Connection object and in the messages about it (section 7),
// and what an older peer cannot do without.

const (
	objectName         = "P2PConnection"
	channelLabel       = "P2PChannel"
	descriptionName    = "connectionDescription"
	candidatesName     = "iceCandidates"
	subscriptionSuffix = "/subscription"
	changesSuffix      = "/changes"
	childrenSuffix     = "/children/"
)

func schemaOf(domain string) string {
	return "hyperty-catalogue://catalogue." + domain + "/.well-known/dataschema/Connection"
}

// invitation is what an older peer takes from an invitation. Description and
// candidates, should it have any, are not looked at.
type invitation struct {
	object  string // address of the Connection object
	source  string // stub of the reporter
	runtime string // of the reporter
}

func readInvitation(m Message) (invitation, error) {
	in := invitation{
		object:  stringAt(m.Body, "resource"),
		source:  stringAt(m.Body, "source"),
		runtime: stringAt(m.Body, "value", "runtime"),
	}
	object, ok := strings.CutSuffix(m.From, subscriptionSuffix)
	if in.object == "" {
		in.object = object
	}
	if in.runtime == "" {
		in.runtime = stringAt(m.Body, "value", "data", "runtimeURL")
	}
	switch {
	case !ok || in.object != object:
		return in, fmt.Errorf("an invitation to %q comes from %q", in.object, m.From)
	case in.source == "":
		return in, errors.New("an invitation has no source")
	case in.runtime == "":
		return in, errors.New("an invitation does not say the reporter's runtime")
	case !strings.HasSuffix(stringAt(m.Body, "schema"), "/Connection"):
		return in, fmt.Errorf("an invitation has the schema %q", stringAt(m.Body, "schema"))
	}
	return in, checkIdentity(m)
}

// checkIdentity refuses an identity without a userProfile, at which an older peer
// stops.
func checkIdentity(m Message) error {
	if _, present := m.Body["identity"]; !present {
		return nil
	}
	if _, ok := at(m.Body, "identity", "userProfile").(Body); !ok {
		return fmt.Errorf("%s to %s has an identity without a userProfile", m.Type, m.To)
	}
	return nil
}

// snapshot is the whole object, as it stands in the answer to a subscription.
type snapshot struct {
	version     int
	description *webrtc.SessionDescription // nil: there is none yet
}

func readSnapshot(answer Message) (snapshot, error) {
	for _, name := range []string{"schema", "owner"} {
		if stringAt(answer.Body, name) == "" {
			return snapshot{}, fmt.Errorf("the answer to a subscription has no %s", name)
		}
	}
	for _, name := range []string{"url", "created", "reporter", "runtime", "schema", "name"} {
		if at(answer.Body, "value", name) == nil {
			return snapshot{}, fmt.Errorf("the object in the answer to a subscription has no %s", name)
		}
	}
	candidates, ok := at(answer.Body, "value", "data", candidatesName).([]any)
	if !ok || len(candidates) > 0 {
		return snapshot{}, fmt.Errorf("%s in the answer to a subscription is %v, not an empty list",
			candidatesName, at(answer.Body, "value", "data", candidatesName))
	}
	s := snapshot{version: numberAt(answer.Body, "value", "version")}
	if value := at(answer.Body, "value", "data", descriptionName); value != nil {
		description, err := readDescription(value)
		if err != nil {
			return snapshot{}, err
		}
		s.description = &description
	}
	return s, nil
}

func readDescription(value any) (webrtc.SessionDescription, error) {
	d := webrtc.SessionDescription{
		Type: webrtc.NewSDPType(stringAt(value, "type")),
		SDP:  stringAt(value, "sdp"),
	}
	if d.SDP == "" || (d.Type != webrtc.SDPTypeOffer && d.Type != webrtc.SDPTypeAnswer) {
		return d, fmt.Errorf("a %s is %v", descriptionName, value)
	}
	return d, nil
}

func describe(d webrtc.SessionDescription) Body {
	return Body{"type": d.Type.String(), "sdp": d.SDP}
}

// readCandidate takes an added element of iceCandidates; a list of them is nothing
// that an older peer could take.
func readCandidate(update Message) (webrtc.ICECandidateInit, error) {
	value := update.Body["value"]
	line := uint16(numberAt(value, "sdpMLineIndex"))
	mid := stringAt(value, "sdpMid")
	candidate := webrtc.ICECandidateInit{Candidate: stringAt(value, "candidate"), SDPMid: &mid, SDPMLineIndex: &line}
	switch {
	case stringAt(update.Body, "attributeType") != "array" || stringAt(update.Body, "operation") != "add":
		return candidate, fmt.Errorf("a candidate is no addition to an array: %v", update.Body)
	case stringAt(value, "type") != "candidate" || candidate.Candidate == "":
		return candidate, fmt.Errorf("a candidate is %v", value)
	}
	return candidate, nil
}

// writeCandidate is a candidate as a browser gives it to the stub: there the only
// media section is called 0.
func writeCandidate(c *webrtc.ICECandidate) Body {
	return Body{"type": "candidate", "candidate": c.ToJSON().Candidate, "sdpMid": "0", "sdpMLineIndex": 0}
}
