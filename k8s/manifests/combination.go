package manifests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Combination is an overlay with components.
type Combination struct {
	Overlay    string // folder of overlays/
	Namespace  string // of all its objects
	Components []string
}

func (c Combination) String() string {
	return strings.Join(append([]string{c.Overlay}, c.Components...), " + ")
}

// HasDomain tells whether there is a Message Node in it.
func (c Combination) HasDomain() bool { return !strings.HasSuffix(c.Overlay, "runtime") }

// Scaled tells whether there are replicas.
func (c Combination) Scaled() bool { return strings.HasPrefix(c.Overlay, "scaled") }

// Has tells whether a component is in it.
func (c Combination) Has(component string) bool { return slices.Contains(c.Components, component) }

// NATSImage is the image of the official server, in the version of peerbus's own.
const NATSImage = "nats:2.15.3"

// Namespaces of the overlays as they are.
const (
	Alice = "peerbus"
	Bob   = "peerbus-bob"
)

// Overlays are all there are, with their namespaces.
func Overlays() []Combination {
	return []Combination{
		{Overlay: "single", Namespace: Alice}, {Overlay: "scaled", Namespace: Alice},
		{Overlay: "monitoring", Namespace: Alice},
		{Overlay: "runtime", Namespace: Bob}, {Overlay: "scaled-runtime", Namespace: Bob},
	}
}

// Combinations are all that are checked: each overlay with each way to expose WebRTC,
// with and without TLS, and with what else there is.
func Combinations() []Combination {
	var all []Combination
	for _, o := range Overlays() {
		for _, exposure := range []string{"", "node-port", "host-network"} {
			for _, tls := range []string{"", "tls"} {
				all = append(all, o.with(exposure, tls))
			}
		}
		if o.Overlay == "monitoring" {
			continue
		}
		all = append(all, o.with("monitoring"))
		if o.HasDomain() {
			all = append(all, o.with("open-node", "tls"), o.with("open-node", "node-port", "tls", "monitoring"))
		}
	}
	return all
}

func (c Combination) with(components ...string) Combination {
	for _, name := range components {
		if name != "" {
			c.Components = append(slices.Clone(c.Components), name)
		}
	}
	return c
}

// Write makes a kustomization in dir of what is in root, the folder k8s of the repository.
// extra is put at its end.
func (c Combination) Write(root, dir, extra string) error {
	relative, err := filepath.Rel(dir, root)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: %s\nresources:\n  - %s\n",
		c.Namespace, filepath.Join(relative, "overlays", c.Overlay))
	if len(c.Components) > 0 {
		b.WriteString("components:\n")
	}
	for _, name := range c.Components {
		fmt.Fprintf(&b, "  - %s\n", filepath.Join(relative, "components", name))
	}
	b.WriteString(extra)
	return os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(b.String()), 0o600)
}
