package sequence

import (
	"maps"
	"strings"
)

// Names of the diagrams.
const (
	SetUp        = "set-up"
	Registration = "registration"
)

// Step is an arrow of a diagram.
type Step struct {
	Diagram string
	Number  string
	From    string
	To      string
	What    string
	// Optional steps need not be there: the diagram says "only if", or the
	// order of two processes leaves it open.
	Optional bool

	service string
	at      place
	message string
	attrs   map[string]string
}

// place is where a step happens.
type place int

const (
	a place = iota
	b
	node
)

// Names in attrs that stand for an address of the scene, learned on the way.
const (
	runtimeA   = "$A"
	runtimeB   = "$B"
	handlerB   = "$handler"
	object     = "$object"
	invitation = "$invitation"
	p2pURL     = "$p2p"
	registryA  = "$registryA"
	registryB  = "$registryB"
	changesA   = "$changesA"
	// nodeStub stands for any Message Node stub, some for any text.
	nodeStub = "$nodestub"
	some     = "$some"
)

// Steps gives both diagrams, in order.
func Steps() []Step { return append(setUp(), registration()...) }

func setUp() []Step {
	invite := map[string]string{"type": "create", "from": invitation, "to": handlerB}
	steps := []Step{
		{Number: "1", From: "A requester stub", To: "A Connection object", What: "new, as reporter",
			service: "p2pstub", at: a, message: "connection object", attrs: map[string]string{"role": "reporter", "remote": runtimeB}},
		{Number: "2", From: "A requester stub", To: "A bus", What: "post: create connection",
			service: "bus", at: a, message: "posted", attrs: invite},
		{Number: "3", From: "A bus", To: "A registry", What: "resolve B's handler",
			service: "registry", at: a, message: "resolving", attrs: map[string]string{"to": handlerB}},
		{Number: "4", From: "A registry", To: "A registry", What: "finds that the set-up is under way",
			service: "registry", at: a, message: "resolved", attrs: map[string]string{"to": handlerB, "next": nodeStub}},
		{Number: "6", From: "A registry", To: "A bus", What: "answer: the Message Node stub",
			service: "bus", at: a, message: "route learned", attrs: map[string]string{"to": handlerB, "next": nodeStub}},
		{Number: "7", From: "A bus", To: "A Message Node stub", What: "create connection",
			service: "bus", at: a, message: "delivered", attrs: with(invite, "listener", nodeStub)},
		{Number: "8", From: "A Message Node stub", To: "Message Node", What: "create connection",
			service: "nodestub", at: a, message: "to node", attrs: invite},
		{Number: "9", From: "Message Node", To: "B Message Node stub", What: "create connection",
			service: "msgnode", at: node, message: "relayed", attrs: with(invite, "runtime", runtimeB)},
		{Number: "10", From: "B Message Node stub", To: "B bus", What: "post: create connection",
			service: "bus", at: b, message: "posted", attrs: invite},
		{Number: "11", From: "B bus", To: "B handler stub", What: "create connection",
			service: "bus", at: b, message: "delivered", attrs: with(invite, "listener", handlerB)},
		{Number: "12", From: "B handler stub", To: "B registry", What: "event: created",
			service: "p2pstub", at: b, message: "status published", attrs: map[string]string{"state": "created", "stub": handlerB, "remote": runtimeA}},
		{Number: "13", From: "B registry", To: "B registry", What: "new entry in the p2pConnection table",
			service: "registry", at: b, message: "connection entry", attrs: map[string]string{"state": "created", "remote": runtimeA}},
		{Number: "14", From: "B handler stub", To: "B Connection object", What: "new, as observer",
			service: "p2pstub", at: b, message: "connection object", attrs: map[string]string{"role": "observer", "remote": runtimeA, "object": object}},
		{Number: "…", From: "A Connection object", To: "B Connection object", What: "offer synchronised",
			service: "p2pstub", at: b, message: "description applied", attrs: map[string]string{"type": "offer"}},
		{Number: "…", From: "B Connection object", To: "A Connection object", What: "answer synchronised",
			service: "p2pstub", at: a, message: "description applied", attrs: map[string]string{"type": "answer"}},
		{Number: "15", From: "B handler stub", To: "A requester stub", What: "the P2P connection is established",
			service: "p2pstub", at: b, message: "channel open", attrs: map[string]string{"remote": runtimeA}},
	}
	// The stub for B's Message Node is deployed before the answer, or was there
	// from the start.
	deploy := Step{Number: "5", From: "A registry", To: "A Message Node stub", What: "deploy it, only if there is none yet", Optional: true,
		service: "registry", at: a, message: "node stub deployed", attrs: map[string]string{"stub": nodeStub}}
	steps = append(steps[:4:4], append([]Step{deploy}, steps[4:]...)...)
	return named(SetUp, steps)
}

func registration() []Step {
	listen := map[string]string{"type": "subscribe", "from": registryB, "to": handlerB}
	ask := map[string]string{"type": "subscribe", "from": registryB, "to": registryA}
	answer := map[string]string{"type": "response", "from": registryA, "to": registryB}
	return named(Registration, []Step{
		{Number: "1", From: "B handler stub", To: "B registry", What: "event: live",
			service: "p2pstub", at: b, message: "status published", attrs: map[string]string{"state": "live", "stub": handlerB, "remote": runtimeA}},
		{Number: "2", From: "B registry", To: "B registry", What: "generate the p2p connection URL",
			service: "registry", at: b, message: "p2p connection address", attrs: map[string]string{"address": p2pURL, "stub": handlerB}},
		{Number: "3", From: "B registry", To: "B bus", What: "add a listener for it that leads to the stub",
			service: "bus", at: b, message: "listener added", attrs: map[string]string{"address": p2pURL, "leads_to": handlerB}},
		{Number: "4", From: "B registry", To: "B bus", What: "post: subscribe it, to the stub",
			service: "bus", at: b, message: "posted", attrs: listen},
		{Number: "5", From: "B bus", To: "B handler stub", What: "the same",
			service: "bus", at: b, message: "delivered", attrs: listen},
		{Number: "6", From: "B handler stub", To: "its mini bus", What: "add a listener for it",
			service: "p2pstub", at: b, message: "mini bus listener", attrs: map[string]string{"address": p2pURL, "stub": handlerB}},
		{Number: "7", From: "B registry", To: "B registry", What: "the entry becomes live",
			service: "registry", at: b, message: "connection entry", attrs: map[string]string{"state": "live", "remote": runtimeA}},
		{Number: "8", From: "B registry", To: "B bus", What: "post: subscribe A's changes",
			service: "bus", at: b, message: "posted", attrs: ask},
		{Number: "9", From: "B bus", To: "B handler stub", What: "the same",
			service: "bus", at: b, message: "delivered", attrs: with(ask, "listener", p2pURL)},
		{Number: "10", From: "B handler stub", To: "A requester stub", What: "the same, over the data channel",
			service: "p2pstub", at: b, message: "to peer", attrs: with(ask, "remote", runtimeA)},
		{Number: "11", From: "A requester stub", To: "A bus", What: "post: the same",
			service: "bus", at: a, message: "posted", attrs: ask},
		{Number: "12", From: "A bus", To: "A registry", What: "the same",
			service: "bus", at: a, message: "delivered", attrs: with(ask, "listener", registryA)},
		{Number: "13", From: "A registry", To: "A bus", What: "add a listener for its changes that leads to the requester stub",
			service: "bus", at: a, message: "listener added", attrs: map[string]string{"address": changesA, "leads_to": some}},
		{Number: "14", From: "A registry", To: "A bus", What: "post: the response, with all that is registered",
			service: "bus", at: a, message: "posted", attrs: answer},
		{Number: "15", From: "A bus", To: "A requester stub", What: "the same",
			service: "bus", at: a, message: "delivered", attrs: answer},
		{Number: "16", From: "A requester stub", To: "B handler stub", What: "the same, over the data channel",
			service: "p2pstub", at: a, message: "to peer", attrs: with(answer, "remote", runtimeB)},
		{Number: "17", From: "B handler stub", To: "B bus", What: "post: the same",
			service: "bus", at: b, message: "posted", attrs: answer},
		{Number: "18", From: "B bus", To: "B registry", What: "A's addresses join the entry",
			service: "registry", at: b, message: "addresses learned", attrs: map[string]string{"remote": runtimeA}},
	})
}

func named(diagram string, steps []Step) []Step {
	for i := range steps {
		steps[i].Diagram = diagram
	}
	return steps
}

func with(attrs map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	maps.Copy(out, attrs)
	return out
}

// scene holds what the placeholders stand for in one run.
type scene map[string]string

func newScene(runtimeOfA, runtimeOfB string) scene {
	return scene{
		runtimeA: runtimeOfA, runtimeB: runtimeOfB,
		registryA: runtimeOfA + "/registry", registryB: runtimeOfB + "/registry",
		changesA: runtimeOfA + "/registry/changes",
	}
}

// matches tells whether an event is a step, and learns what placeholders stand
// for from the first event that has them.
func (s scene) matches(step Step, e Event) bool {
	if e.Message != step.message || e.Service != step.service || e.Runtime != s.where(step.at) {
		return false
	}
	for key, want := range step.attrs {
		if !s.fits(want, e.Attrs[key]) {
			return false
		}
	}
	s.learn(step, e)
	return true
}

func (s scene) where(p place) string {
	switch p {
	case a:
		return s[runtimeA]
	case b:
		return s[runtimeB]
	default:
		return ""
	}
}

func (s scene) fits(want, got string) bool {
	if !strings.HasPrefix(want, "$") {
		return want == got
	}
	if known, ok := s[want]; ok {
		return known == got
	}
	switch want {
	case handlerB:
		return strings.HasPrefix(got, s[runtimeB]+"/p2phandler/")
	case nodeStub:
		return strings.Contains(got, "/protostub/")
	default:
		return got != ""
	}
}

func (s scene) learn(step Step, e Event) {
	if o := e.Attrs["object"]; o != "" && s[object] == "" && step.at == a {
		s[object], s[invitation] = o, o+"/subscription"
	}
	for key, want := range step.attrs {
		if want == handlerB || want == p2pURL {
			s[want] = e.Attrs[key]
		}
	}
}
