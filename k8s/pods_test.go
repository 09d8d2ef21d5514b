package k8s

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// No pod has more rights than it needs, which is none.
func TestPodsHaveNoRights(t *testing.T) {
	eachWorkload(t, func(t *testing.T, o objects, w workload) {
		pod, c := w.template.Spec, w.container()
		if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
			t.Fatal("there is more than one container")
		}
		p, s := pod.SecurityContext, c.SecurityContext
		for what, ok := range map[string]bool{
			"runs as root":                 p != nil && isTrue(p.RunAsNonRoot) && p.RunAsUser != nil && *p.RunAsUser == 65532,
			"has no seccomp profile":       p != nil && p.SeccompProfile != nil && p.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
			"may escalate":                 s != nil && s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation,
			"may write to its root":        s != nil && isTrue(s.ReadOnlyRootFilesystem),
			"has capabilities":             s != nil && s.Capabilities != nil && slices.Contains(s.Capabilities.Drop, "ALL") && len(s.Capabilities.Add) == 0,
			"has a token of the API":       pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken,
			"gets Services as environment": pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks,
			"is in its node's network":     pod.HostNetwork == (w.name() == "p2pstub" && o.combination.Has("host-network")),
		} {
			if !ok {
				t.Error("the pod " + what)
			}
		}
	})
}

func isTrue(b *bool) bool { return b != nil && *b }

// A namespace says what its pods may be. Only hostNetwork needs more.
func TestNamespacesAreRestricted(t *testing.T) {
	each(t, func(t *testing.T, o objects) {
		if len(o.namespaces) != 1 {
			t.Fatalf("there are %d namespaces", len(o.namespaces))
		}
		want := "restricted"
		if o.combination.Has("host-network") {
			want = "privileged"
		}
		if got := o.namespaces[0].Labels["pod-security.kubernetes.io/enforce"]; got != want {
			t.Errorf("the namespace enforces %q, want %q", got, want)
		}
	})
}

// Go collects garbage before the kernel kills: GOMEMLIMIT is nine tenths of the limit.
func TestMemoryHasALimit(t *testing.T) {
	eachWorkload(t, func(t *testing.T, _ objects, w workload) {
		c := w.container()
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := c.Resources.Requests[name], c.Resources.Limits[name]
			if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
				t.Errorf("%s: request %s, limit %s", name, request.String(), limit.String())
			}
		}
		limit := float64(c.Resources.Limits.Memory().Value())
		soft, err := resource.ParseQuantity(strings.TrimSuffix(environment(c)["GOMEMLIMIT"], "B"))
		if err != nil {
			t.Fatalf("GOMEMLIMIT: %v", err)
		}
		if part := float64(soft.Value()) / limit; part < 0.85 || part > 0.92 {
			t.Errorf("GOMEMLIMIT is %.0f %% of the limit", 100*part)
		}
	})
}

func environment(c corev1.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

// Each probe asks what is its own: liveness nothing but the process.
func TestProbes(t *testing.T) {
	eachWorkload(t, func(t *testing.T, _ objects, w workload) {
		c := w.container()
		live, ready := "/livez", "/readyz"
		if w.name() == "nats" {
			live, ready = "/healthz?js-enabled-only=true", "/healthz?js-server-only=true"
		}
		for what, p := range map[string]struct {
			probe *corev1.Probe
			path  string
		}{"startup": {c.StartupProbe, live}, "readiness": {c.ReadinessProbe, ready}, "liveness": {c.LivenessProbe, live}} {
			if w.name() == "nats" && what == "startup" {
				p.path = ready
			}
			if p.probe == nil || p.probe.HTTPGet == nil || p.probe.HTTPGet.Path != p.path {
				t.Errorf("%s: %+v", what, p.probe)
				continue
			}
			port := portOf(c, p.probe.HTTPGet.Port)
			if port == 0 {
				t.Errorf("%s: there is no port %v", what, p.probe.HTTPGet.Port)
			}
			if w.name() != "nats" && !hasArgument(c, "--probe-addr", port) {
				t.Errorf("%s: nothing serves port %d: %v", what, port, c.Args)
			}
		}
		if c.StartupProbe.FailureThreshold*c.StartupProbe.PeriodSeconds < 60 {
			t.Error("a store may take a minute to open, and a start less")
		}
	})
}

// portOf gives the number of a port.
func portOf(c corev1.Container, port intstr.IntOrString) int32 {
	for _, p := range c.Ports {
		if port.StrVal == p.Name || port.IntVal == p.ContainerPort {
			return p.ContainerPort
		}
	}
	return 0
}

func hasArgument(c corev1.Container, flag string, port int32) bool {
	return slices.ContainsFunc(c.Args, func(a string) bool {
		return strings.HasPrefix(a, flag+"=") && strings.HasSuffix(a, ":"+strconv.Itoa(int(port)))
	})
}

// A Service leads to pods that there are, at a port that they have.
func TestServicesLeadToPods(t *testing.T) {
	each(t, func(t *testing.T, o objects) {
		for _, s := range o.services {
			i := slices.IndexFunc(o.workloads, func(w workload) bool { return covers(s.Spec.Selector, w.template.Labels) })
			if i < 0 {
				t.Errorf("%s leads nowhere: %v", s.Name, s.Spec.Selector)
				continue
			}
			for _, p := range s.Spec.Ports {
				if portOf(o.workloads[i].container(), p.TargetPort) == 0 {
					t.Errorf("%s: the pod has no port %v", s.Name, p.TargetPort)
				}
			}
		}
	})
}

// covers tells whether a selector selects what has labels.
func covers(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

// What there is several of may not go all at once, and is spread; what there is one of
// makes room for the next before it.
func TestReplicas(t *testing.T) {
	eachWorkload(t, func(t *testing.T, o objects, w workload) {
		budgets := 0
		for _, b := range o.disruptions {
			if covers(b.Spec.Selector.MatchLabels, w.template.Labels) {
				budgets++
				if b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.IntVal != 1 {
					t.Error("more than one may be away")
				}
			}
		}
		scaler := slices.IndexFunc(o.autoscalings, func(h autoscalingv2.HorizontalPodAutoscaler) bool { return h.Spec.ScaleTargetRef.Name == w.meta.Name })
		if !w.several() {
			if budgets != 0 || scaler >= 0 {
				t.Error("there is one, and a budget or a scaler for it")
			}
			if one := w.name() != "gateway"; one && w.strategy != "Recreate" {
				t.Error("two are there at once while it is replaced")
			}
			return
		}
		if budgets != 1 {
			t.Errorf("it has %d PodDisruptionBudgets", budgets)
		}
		if (w.replicas == nil) != (scaler >= 0) {
			t.Error("both set the number of replicas, or nobody")
		}
		spread := w.template.Spec.TopologySpreadConstraints
		if len(spread) != 2 {
			t.Errorf("it has %d topologySpreadConstraints", len(spread))
		}
		for _, s := range spread {
			if !covers(s.LabelSelector.MatchLabels, w.template.Labels) || s.WhenUnsatisfiable != corev1.ScheduleAnyway {
				t.Errorf("%+v", s)
			}
		}
		if w.kind == "Deployment" && w.strategy != "RollingUpdate" {
			t.Errorf("strategy %s", w.strategy)
		}
	})
}

// What is kept is on a volume of one process, or in the common NATS; never both.
func TestStores(t *testing.T) {
	each(t, func(t *testing.T, o objects) {
		for _, w := range o.workloads {
			claimed := slices.ContainsFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil })
			stores := w.name() == "registry" || w.name() == "msgnode"
			if claimed != (stores && !o.combination.Scaled()) {
				t.Errorf("%s: has a claim: %v", w.name(), claimed)
			}
		}
		for _, m := range o.configMaps {
			if !strings.HasPrefix(m.Name, "runtime-") && !strings.HasPrefix(m.Name, "domain-") {
				continue
			}
			if url := m.Data["PEERBUS_NATS_URL"]; (url != "") != o.combination.Scaled() {
				t.Errorf("%s: NATS is %q", m.Name, url)
			}
			tls := o.combination.Has("tls")
			if (m.Data["PEERBUS_INSECURE"] == "true") == tls || (m.Data["PEERBUS_TLS_CA"] != "") != tls {
				t.Errorf("%s: security is %v", m.Name, m.Data)
			}
		}
	})
}

// The UDP port is the same for the process, for its pod and at the nodes.
func TestThePortOfWebRTC(t *testing.T) {
	each(t, func(t *testing.T, o objects) {
		i := slices.IndexFunc(o.workloads, func(w workload) bool { return w.name() == "p2pstub" })
		c := o.workloads[i].container()
		port := portOf(c, intstr.FromString("webrtc"))
		if got := environment(c)["PEERBUS_UDP_PORT"]; got != strconv.Itoa(int(port)) {
			t.Errorf("the process has %s, its pod %d", got, port)
		}
		open := 0
		for _, s := range o.services {
			for _, p := range s.Spec.Ports {
				if p.Protocol != corev1.ProtocolUDP {
					continue
				}
				open++
				if p.NodePort != port || p.Port != port || s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
					t.Errorf("%s: %+v, want %d", s.Name, p, port)
				}
			}
		}
		if (open == 1) != o.combination.Has("node-port") {
			t.Errorf("%d Services are open", open)
		}
	})
}
