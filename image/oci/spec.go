// Package oci writes the container image: an OCI image layout in a tar, with an index
// of one image for each platform. The same files give the same bytes.
//
//	image.tar ─ index.json ─► index ─► manifest of linux/amd64 ─► config, layer: /peerbus, /sbom.json, …
//	                                └► manifest of linux/arm64 ─► …
package oci

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// What the image is, wherever it is built: the Dockerfile says the same, which a test
// of this module holds it to.
const (
	// User is nobody's, so that Kubernetes sees by the number that it is not root.
	User = "65532:65532"
	uid  = 65532
	// StateDir is where the program keeps what must outlive it, if no --data-dir is
	// given; the place to mount a volume.
	StateDir = "/var/lib/peerbus"
	// stateMode is what the program itself makes such directories with.
	stateMode = 0o700
)

var (
	// Entrypoint is the program; its arguments are the container's.
	Entrypoint = []string{"/peerbus"}
	// Env names the parent of StateDir, which is below it by the program's default.
	Env = []string{"XDG_STATE_HOME=/var/lib"}
	// Programs are the files of each platform, by their names in the image's root.
	Programs = map[string]int64{"peerbus": 0o755, "sbom.json": 0o644}
)

// About is what is written of an image into it.
type About struct {
	Name    string // with a tag, such as peerbus:v1
	Version string
	Commit  string    // may be empty
	Time    time.Time // of the commit; every time in the archive is this one
}

// annotations are those that the image specification defines.
func (a About) annotations(source string) map[string]string {
	out := map[string]string{
		"org.opencontainers.image.title":   "peerbus",
		"org.opencontainers.image.version": a.Version,
		"org.opencontainers.image.source":  source,
		"org.opencontainers.image.created": a.Time.Format(time.RFC3339),
	}
	if a.Commit != "" {
		out["org.opencontainers.image.revision"] = a.Commit
	}
	return out
}

// config is that of one platform.
func (a About) config(p v1.Platform, source string) *v1.ConfigFile {
	return &v1.ConfigFile{
		Architecture: p.Architecture, OS: p.OS, Variant: p.Variant,
		Created: v1.Time{Time: a.Time},
		RootFS:  v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User: User, Entrypoint: Entrypoint, Env: Env, WorkingDir: "/",
			Labels: a.annotations(source),
		},
	}
}
