package k8s

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/members"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/k8s/manifests"
	"github.com/peerbus/peerbus/services/bus"
	"github.com/peerbus/peerbus/services/gateway"
	"github.com/peerbus/peerbus/services/msgnode"
	"github.com/peerbus/peerbus/services/nodestub"
	"github.com/peerbus/peerbus/services/p2pstub"
)

// margin is for what has no bound of its own: files that are written, a busy machine.
const margin = 5 * time.Second

// servers is how long the servers of a process take to stop, one after another.
const servers = 3 * rpc.StopTimeout

// drains is how long each service may take to end in order.
func drains() map[string]time.Duration {
	leave := members.DefaultLimits().Write // the list of replicas
	node, stub, p2p, gate := msgnode.DefaultLimits(), nodestub.DefaultLimits(), p2pstub.DefaultLimits(), gateway.DefaultLimits()
	return map[string]time.Duration{
		"msgnode":  servers + node.DrainTimeout + node.CloseTimeout,
		"registry": servers + leave,
		"bus":      servers + leave + bus.DefaultLimits().DrainTime,
		"p2pstub":  servers + leave + 2*p2p.Stop + p2p.Close, // it hands over, and stops
		"nodestub": servers + stub.DrainTimeout,
		"gateway":  servers + gate.Goodbye,
		"nats":     32 * time.Second, // lame_duck_grace_period and lame_duck_duration
	}
}

// A pod has more time to end than its service takes.
func TestGraceIsLongerThanTheDrain(t *testing.T) {
	drains := drains()
	eachWorkload(t, func(t *testing.T, _ objects, w workload) {
		drain, ok := drains[w.name()]
		if !ok {
			t.Fatal("nobody knows how long it drains")
		}
		if l := w.container().Lifecycle; l != nil && l.PreStop != nil && l.PreStop.Sleep != nil {
			drain += time.Duration(l.PreStop.Sleep.Seconds) * time.Second
		}
		grace := time.Duration(*w.template.Spec.TerminationGracePeriodSeconds) * time.Second
		if grace < drain+margin {
			t.Errorf("it has %v to end and takes %v", grace, drain)
		}
	})
}

// The server of the cluster is the one that peerbus embeds.
func TestNATSIsTheEmbeddedVersion(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`nats-io/nats-server/v2 v(\S+)`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod has no NATS server")
	}
	if want := "nats:" + string(m[1]); manifests.NATSImage != want {
		t.Errorf("the image is %s, want %s", manifests.NATSImage, want)
	}
	found := 0
	eachWorkload(t, func(t *testing.T, _ objects, w workload) {
		if image := w.container().Image; w.name() == "nats" {
			found++
			if image != manifests.NATSImage {
				t.Errorf("the image is %s", image)
			}
		} else if image != "peerbus:development" {
			t.Errorf("the image is %s", image)
		}
	})
	if found == 0 {
		t.Error("there is no NATS")
	}
}

// NATS takes the largest message that peerbus makes.
func TestNATSTakesTheLargestMessage(t *testing.T) {
	conf, err := os.ReadFile("base/nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^max_payload: (\d+)$`).FindSubmatch(conf)
	if m == nil {
		t.Fatal("nats.conf has no max_payload")
	}
	if got, _ := strconv.Atoi(string(m[1])); got != engine.MaxPayload {
		t.Errorf("max_payload is %d, want %d", got, engine.MaxPayload)
	}
}
