package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// checkSteps wants the rules in their order, each with a reason, the last one and no
// other decided, and the last one to be that of the decision.
func checkSteps(t *testing.T, name string, steps []*pb.ResolveStep, d *Decision) {
	t.Helper()
	for i, s := range steps {
		last := i == len(steps)-1
		inOrder := s.Rule == uint32(i)+1 || s.Rule == 0 && len(steps) == 1
		if s.Why == "" || s.Decided != last || !inOrder {
			t.Errorf("%s: step %d is %v", name, i, s)
		}
	}
	if rule, ok := ruleOf[d.Reason]; ok && steps[len(steps)-1].Rule != rule {
		t.Errorf("%s: decided by %v, because of %s", name, steps[len(steps)-1], reasonName(d.Reason))
	}
}

func TestExplain(t *testing.T) {
	for _, tc := range []struct {
		name string
		k    *knowledge
		q    query
		want []string
	}{
		{"unknown so far", newKnowledge(), query{to: bob}, []string{
			"1  no source is named, and this runtime's own is not refused",
			"2  it is no service of a domain",
			"3  it is neither a stub of another runtime nor a Connection object",
			"4  no connection lists it",
			"5  its runtime is not known; the domain registry is asked",
			"6  no set-up is under way",
			"7  no connection is to be re-established",
			"8  no set-up is started without a runtime",
			"9* there is nothing better than the Message Node of b.example",
		}},
		{"too soon after a failure", newKnowledge().with(status.Failed, idle, bob).retryAt(start.Add(2 * time.Second)), query{to: bob}, []string{
			"4  the connection with " + runtimeB + " lists it, but is failed",
			"5  the connection with its runtime, " + runtimeB + ", is failed",
			"8  the next attempt is in 2s, after: ",
		}},
		{"coming back", newKnowledge().with(status.Disconnected, settingUp, bob), query{to: bob}, []string{
			"6  the set-up that is under way is to bring a lost connection back",
			"7* the connection with " + runtimeB + " is disconnected; until it is live again the Message Node is used",
		}},
		{"never", newKnowledge().policy(Never).found(bob, runtimeB, handlerB), query{to: bob}, []string{
			"5  there is no connection with its runtime, " + runtimeB,
			"8  the policy is to start none (--p2p never)",
		}},
		{"not asked for", newKnowledge().policy(OnRequest).found(bob, runtimeB, handlerB), query{to: bob}, []string{
			"8  the message does not ask for a direct connection (--p2p on-request)",
		}},
		{"among themselves", newKnowledge().found(bob, runtimeB, handlerB), query{to: runtimeB + "/bus"}, []string{
			"8  messages between registries, sync managers and buses start none",
		}},
		{"no handler", newKnowledge().found(bob, runtimeB, ""), query{to: bob}, []string{
			"8  the P2P handler of " + runtimeB + " is not known",
		}},
		{"known to be nowhere", newKnowledge().found(bob, "", ""), query{to: bob}, []string{
			"5  no domain registry knows its runtime",
		}},
		{"live", newKnowledge().with(status.Live, idle, bob), query{to: bob}, []string{
			"4* the live connection with " + runtimeB + " lists it",
		}},
		{"here", newKnowledge(), query{to: "hyperty://a.example/alice"}, []string{
			"0* nobody listens to hyperty://a.example/alice",
		}},
		{"no domain", newKnowledge(), query{to: "hyperty://b example/1"}, []string{"9* no such domain: b example"}},
	} {
		tc.q.at = start
		var got strings.Builder
		for _, s := range tc.k.explain(tc.q, "") {
			mark := " "
			if s.Decided {
				mark = "*"
			}
			_, _ = fmt.Fprintf(&got, "%d%s %s\n", s.Rule, mark, s.Why)
		}
		for _, line := range tc.want {
			if !strings.Contains(got.String(), line+"\n") {
				t.Errorf("%s: no %q in\n%s", tc.name, line, got.String())
			}
		}
	}
}
