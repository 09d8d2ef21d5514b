package bus

import (
	"strings"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// A message that a stub cannot send has gone nowhere, though the stub has dealt with it. It
// says so to the sender before that: who waits for the delivery is told the same.

// keptRefusals is how many are kept: more than a stub makes of what it has not given credit for.
// Others have had their credit before, as what a channel that ends has not sent.
const keptRefusals = 1024

// noteRefusal keeps what a stub says by itself to a message, if that is a refusal, until it
// gives credit for the message.
func (s *stream) noteRefusal(p *post) {
	if p.ingress != nil || p.m == nil || !message.IsResponse(p.m) {
		return
	}
	code, err := message.Result(p.m)
	if err == nil {
		return
	}
	if s.refusals == nil || len(s.refusals) >= keptRefusals {
		s.refusals = map[message.Key]error{}
	}
	k := message.AnswerKey(p.m)
	k.From, k.To, k.ID = strings.Clone(k.From), strings.Clone(k.To), strings.Clone(k.ID)
	s.refusals[k] = refuse(reasonRemote, code, "%s", fault.From(err).Description)
}

// refused takes what the stub has refused out of what its credit for a listener settles. A
// message to the stub itself is delivered, whatever it answers.
func (s *stream) refused(listener string, settled *dealt) (verdicts []verdict) {
	kept := settled.posts[:0]
	for _, p := range settled.posts {
		k := message.KeyOf(p.m)
		why := s.refusals[k]
		delete(s.refusals, k)
		if why != nil && p.wait == pb.Wait_WAIT_DELIVERED && p.m.To != listener {
			verdicts = append(verdicts, verdict{post: p, err: why})
		} else {
			kept = append(kept, p)
		}
	}
	clear(settled.posts[len(kept):])
	settled.posts = kept
	return verdicts
}
