package datasync

import (
	"encoding/json"
	"slices"
)

// Members of a Connection object's data that updates name.
const (
	DescriptionAttribute = "connectionDescription"
	CandidatesAttribute  = "iceCandidates"
	// RestartAttribute is an addition of ours: a handler that finds the path gone
	// sets it to the generation of ICE that it would have.
	RestartAttribute = "restart"
)

// Connection is the data of a Connection object. The fields after Candidates are our
// additions, which older peers ignore.
type Connection struct {
	Runtime     string       `json:"runtimeURL"`
	Owner       string       `json:"owner"`
	Description *Description `json:"connectionDescription,omitempty"`
	Candidates  []Candidate  `json:"iceCandidates"`
	// Framing are the framings that the reporter knows besides the older one.
	Framing []string `json:"framing,omitempty"`
	// Sequels says that it takes packets of peerbus.v1 with sequels.
	Sequels bool `json:"sequels,omitempty"`
	// Rows says that it takes packets of peerbus.v1 with rows.
	Rows bool `json:"rows,omitempty"`
	// Packet is the longest packet of peerbus.v1 that it takes, in bytes; 0: it does not
	// say.
	Packet int `json:"packet,omitempty"`
	// Flow are the kinds of flow that it knows.
	Flow []string `json:"flow,omitempty"`
	// Heartbeat says that it answers heartbeats, and restarts ICE.
	Heartbeat bool `json:"heartbeat,omitempty"`
	// Early says that it uses a path before ICE has nominated one; as the handler, the
	// first one that it hears of.
	Early bool `json:"early,omitempty"`
	// AtStub says that it takes the changes and the end of the other side's object at its
	// own stub, so that nothing needs to be subscribed for that.
	AtStub bool `json:"atStub,omitempty"`
	// Replaces is the inviting side's object of the live connection that the new one is to
	// replace.
	Replaces string `json:"replaces,omitempty"`
	// Restart is the generation of ICE that is asked for.
	Restart uint32 `json:"restart,omitempty"`
}

// Description is a session description: an offer or an answer.
type Description struct {
	SDP  string `json:"sdp"`
	Type string `json:"type"`
	// Generation counts the restarts of ICE; an answer has that of its offer.
	Generation uint32 `json:"generation,omitempty"`
}

// Candidate is one ICE candidate.
type Candidate struct {
	Type          string  `json:"type"`
	Candidate     string  `json:"candidate"`
	SDPMid        *string `json:"sdpMid"`
	SDPMLineIndex *uint16 `json:"sdpMLineIndex"`
	Generation    uint32  `json:"generation,omitempty"` // of the description that it belongs to
}

// ConnectionSchema is the schema of a domain's Connection objects.
func ConnectionSchema(domain string) string {
	return "hyperty-catalogue://catalogue." + domain + "/.well-known/dataschema/Connection"
}

// ConnectionName is what a Connection object is called.
const ConnectionName = "P2PConnection"

// Connection reads the data of a Connection object. A description that came in two updates
// counts once both are there. Fields of an unexpected form are ignored.
func (o Object) Connection() Connection {
	var c Connection
	pick(o.Data["runtimeURL"], &c.Runtime)
	pick(o.Data["owner"], &c.Owner)
	pick(o.Data["framing"], &c.Framing)
	pick(o.Data["sequels"], &c.Sequels)
	pick(o.Data["rows"], &c.Rows)
	pick(o.Data["packet"], &c.Packet)
	pick(o.Data["flow"], &c.Flow)
	pick(o.Data["heartbeat"], &c.Heartbeat)
	pick(o.Data["early"], &c.Early)
	pick(o.Data["atStub"], &c.AtStub)
	pick(o.Data["replaces"], &c.Replaces)
	pick(o.Data[RestartAttribute], &c.Restart)
	var d Description
	if pick(o.Data[DescriptionAttribute], &d); d.SDP != "" && d.Type != "" {
		c.Description = &d
	}
	list, _ := o.Data[CandidatesAttribute].([]any)
	for _, element := range list {
		var one Candidate
		if pick(element, &one); one.Candidate != "" {
			c.Candidates = append(c.Candidates, one)
		}
	}
	return c
}

// Announces tells whether the peer knows a framing of ours.
func (c Connection) Announces(framing string) bool { return slices.Contains(c.Framing, framing) }

// pick decodes a node of the tree, as far as it has the form of to. Texts and truths, which
// most are, have it as they are.
func pick(node, to any) {
	switch to := to.(type) {
	case *string:
		*to, _ = node.(string)
		return
	case *bool:
		*to, _ = node.(bool)
		return
	}
	if node == nil {
		return
	}
	if raw, err := json.Marshal(node); err == nil {
		_ = json.Unmarshal(raw, to) // of another form: stays empty
	}
}
