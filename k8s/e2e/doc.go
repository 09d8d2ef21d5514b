// Command e2e tries the manifests on a real cluster, and removes all that it made.
//
//	this machine                             cluster
//	┌───────────────────────────────┐        ┌──────────────────────────────────────────────┐
//	│ e2e ── kubectl ───────────────┼───────►│ peerbus         the domain, Alice's runtime  │
//	│                               │        │ peerbus-bob     Bob's runtime                │
//	│ peerbus runtime (carol):      │        │ peerbus-e2e     traffic: numbers messages    │
//	│ a runtime outside the cluster ┼───────►│                 both ways, and judges        │
//	└───────────────────────────────┘        │                 killer: SIGKILLs processes   │
//	                                         └──────────────────────────────────────────────┘
//
// The steps (steps.go) are those of a table that is printed at the end: each overlay and
// combination is validated by the API server (validate.go); the main job is done between
// two namespaces, and with a runtime outside, in each way to expose WebRTC
// (exposure.go); docs/kubernetes.md is done as it stands, TLS among it (page.go); and the overlay with replicas is killed, replaced and scaled under
// numbered traffic (scaled.go), of which nothing may be lost, doubled or reordered: the
// judge is that of chaos (internal/numbered).
//
// KUBECONFIG names the cluster; without it K8S_UP is a program that brings one up, and
// prints `export KUBECONFIG=FILE`. K8S_LOAD is a program that loads an image: `K8S_LOAD
// --tar FILE` an archive, `K8S_LOAD IMAGE BINARY` a static binary; without it that is
// load-image.sh beside K8S_UP, and without that the images must be in the cluster already.
//
// The same program is in the cluster what traffic and killer are (traffic.go, killer.go).
package main
