package k8s

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// Ends of an arrow that are no service.
const (
	client     = "client"            // a pod of the namespace that may use the runtime
	anybody    = "anybody"           // inside and outside the cluster
	prometheus = "Prometheus"        // the namespace monitoring
	dns        = "DNS"               // that of the cluster
	everyPod   = "every pod"         // of the namespace
	nodes      = "network of a node" // where hostNetwork is from
)

// arrow is who may open a connection to whom.
type arrow struct{ from, to, port string }

func (a arrow) String() string { return fmt.Sprintf("%s → %s at %s", a.from, a.to, a.port) }

// expected are all arrows of a combination, once as those who take connections let them
// in, and once as those who open them are let out. They are those of ARCHITECTURE.md,
// names, metrics and NATS besides.
func expected(c manifests.Combination) (in, out map[arrow]bool) {
	in, out = map[arrow]bool{}, map[arrow]bool{}
	both := func(from, to, port string) { in[arrow{from, to, port}], out[arrow{from, to, port}] = true, true }
	out[arrow{everyPod, dns, "UDP 53"}], out[arrow{everyPod, dns, "TCP 53"}] = true, true

	for _, from := range []string{"bus", "gateway", client} {
		both(from, "registry", "TCP 7401")
	}
	for _, from := range []string{"registry", "p2pstub", "nodestub", "gateway", client} {
		both(from, "bus", "TCP 7402")
	}
	both("registry", "p2pstub", "TCP 7403")
	both("registry", "nodestub", "TCP 7404")
	both(client, "gateway", "TCP 7490")
	in[arrow{anybody, "p2pstub", "UDP " + map[bool]string{false: "3478", true: "30478"}[c.Has("node-port")]}] = true
	out[arrow{"p2pstub", anybody, "UDP 1-65535"}] = true
	out[arrow{"nodestub", anybody, "TCP 7400"}], out[arrow{"nodestub", anybody, "TCP 443"}] = true, true

	if c.HasDomain() {
		in[arrow{"nodestub of peerbus", "msgnode", "TCP 7400"}] = true
	}
	if c.Has("open-node") {
		in[arrow{anybody, "msgnode", "TCP 7400"}], in[arrow{anybody, "msgnode", "TCP 7480"}] = true, true
	}
	if c.Has("host-network") {
		in[arrow{nodes, "bus", "TCP 7402"}], out[arrow{"registry", nodes, "TCP 7403"}] = true, true
		in[arrow{nodes, "nats", "TCP 4222"}] = true // over which replicas of p2pstub are found
	}
	if c.Scaled() {
		both("registry", "registry", "TCP 7401")
		both("bus", "bus", "TCP 7402")
		for _, from := range []string{"registry", "bus", "p2pstub"} {
			out[arrow{from, "nats of peerbus", "TCP client"}] = true
		}
		if c.HasDomain() {
			out[arrow{"msgnode", "nats of peerbus", "TCP client"}] = true
			for _, from := range []string{"msgnode", "registry", "bus", "p2pstub"} {
				in[arrow{from + " of peerbus", "nats", "TCP 4222"}] = true
			}
			both("nats", "nats", "TCP 6222")
		}
	}
	if c.Has("monitoring") || c.Overlay == "monitoring" {
		for to, port := range map[string]string{"registry": "9464", "bus": "9464", "p2pstub": "9464", "nodestub": "9464", "gateway": "7490", "msgnode": "7480"} {
			in[arrow{prometheus, to, "TCP " + port}] = to != "msgnode" || c.HasDomain()
		}
	}
	for a, is := range in {
		if !is {
			delete(in, a)
		}
	}
	return in, out
}

// The policies are the arrows: none is missing, and there is no other.
func TestPoliciesAreTheArrows(t *testing.T) {
	each(t, func(t *testing.T, o objects) {
		in, out := expected(o.combination)
		haveIn, haveOut, err := arrows(o)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "into", haveIn, in)
		compare(t, "out of", haveOut, out)
	})
}

func compare(t *testing.T, way string, have, want map[arrow]bool) {
	t.Helper()
	for a := range want {
		if !have[a] {
			t.Errorf("no policy lets %s a pod: %s", way, a)
		}
	}
	for a := range have {
		if !want[a] {
			t.Errorf("a policy lets %s a pod what should not be: %s", way, a)
		}
	}
}

// What no policy names goes nowhere.
func TestTheRestIsDenied(t *testing.T) {
	each(t, func(t *testing.T, o objects) {
		denied := slices.ContainsFunc(o.policies, func(p networkingv1.NetworkPolicy) bool {
			s := p.Spec
			return len(s.PodSelector.MatchLabels)+len(s.PodSelector.MatchExpressions) == 0 && len(s.Ingress)+len(s.Egress) == 0 && len(s.PolicyTypes) == 2
		})
		if !denied {
			t.Error("no policy denies the rest")
		}
	})
}

// arrows reads the policies.
func arrows(o objects) (in, out map[arrow]bool, err error) {
	in, out = map[arrow]bool{}, map[arrow]bool{}
	for _, p := range o.policies {
		for _, pod := range selected(o, p.Spec.PodSelector) {
			for _, rule := range p.Spec.Ingress {
				if err := spread(o, rule.Ports, rule.From, pod, func(peer, port string) { in[arrow{peer, pod, port}] = true }); err != nil {
					return nil, nil, fmt.Errorf("%s: %w", p.Name, err)
				}
			}
			for _, rule := range p.Spec.Egress {
				if err := spread(o, rule.Ports, rule.To, "", func(peer, port string) { out[arrow{pod, peer, port}] = true }); err != nil {
					return nil, nil, fmt.Errorf("%s: %w", p.Name, err)
				}
			}
		}
	}
	return in, out, nil
}

// selected names the pods that a policy is for.
func selected(o objects, s metav1.LabelSelector) []string {
	if len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
		return []string{everyPod}
	}
	if name := labelled(s.MatchLabels); name != "peerbus" {
		return []string{name}
	}
	var names []string
	for _, e := range s.MatchExpressions {
		for _, w := range o.workloads {
			if slices.Contains(e.Values, w.template.Labels[e.Key]) {
				names = append(names, w.name())
			}
		}
	}
	return names
}

func labelled(labels map[string]string) string {
	if labels["peerbus-client"] == "true" {
		return client
	}
	return componentOf(labels)
}

// spread calls with every peer and port of a rule. Ports by name are those of the pod
// that takes the connection; of one that is not here they stay names.
func spread(o objects, ports []networkingv1.NetworkPolicyPort, peers []networkingv1.NetworkPolicyPeer, taker string, f func(peer, port string)) error {
	if len(ports) == 0 {
		return fmt.Errorf("a rule is for all ports")
	}
	names := []string{anybody}
	if len(peers) > 0 {
		names = nil
	}
	for _, p := range peers {
		name, err := peerName(p)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	for _, peer := range names {
		at := taker
		if at == "" {
			at = peer
		}
		for _, p := range ports {
			f(peer, portText(o, at, p))
		}
	}
	return nil
}

func portText(o objects, taker string, p networkingv1.NetworkPolicyPort) string {
	text := p.Port.String()
	for _, w := range o.workloads {
		if number := portOf(w.container(), *p.Port); w.name() == taker && number != 0 {
			text = fmt.Sprint(number)
		}
	}
	if p.EndPort != nil {
		text += fmt.Sprintf("-%d", *p.EndPort)
	}
	return string(*p.Protocol) + " " + text
}

// peerName says who is at the other end of a rule.
func peerName(p networkingv1.NetworkPolicyPeer) (string, error) {
	var namespace, pod map[string]string
	if p.IPBlock != nil {
		return nodes, nil
	}
	if p.NamespaceSelector != nil {
		namespace = p.NamespaceSelector.MatchLabels
	}
	if p.PodSelector != nil {
		pod = p.PodSelector.MatchLabels
	}
	switch {
	case len(namespace) == 0 && p.NamespaceSelector == nil && len(pod) > 0:
		return labelled(pod), nil
	case maps.Equal(namespace, map[string]string{"app.kubernetes.io/part-of": "peerbus"}) && len(pod) > 0:
		return labelled(pod) + " of peerbus", nil
	case namespace["kubernetes.io/metadata.name"] == "monitoring" && p.PodSelector == nil:
		return prometheus, nil
	case namespace["kubernetes.io/metadata.name"] == "kube-system" && pod["k8s-app"] == "kube-dns":
		return dns, nil
	}
	return "", fmt.Errorf("nobody knows who that is: %s", strings.TrimSpace(p.String()))
}

// A NetworkPolicy that is wrong is found: this is what the comparison is worth.
func TestArrowsAreRead(t *testing.T) {
	all, err := built()
	if err != nil {
		t.Fatal(err)
	}
	o := all[0]
	o.policies = slices.Clone(o.policies)
	i := slices.IndexFunc(o.policies, func(p networkingv1.NetworkPolicy) bool { return p.Name == "bus" })
	wrong := *o.policies[i].DeepCopy()
	wrong.Spec.Ingress[0].From = nil
	o.policies[i] = wrong
	in, _, err := arrows(o)
	if err != nil {
		t.Fatal(err)
	}
	if !in[arrow{anybody, "bus", "TCP 7402"}] || in[arrow{client, "bus", "TCP 7402"}] {
		t.Errorf("a bus that is open to all is seen as %v", in)
	}
}
