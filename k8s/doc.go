// Package k8s has no code, only tests of the manifests beside it: they build every overlay
// and combination and look at the objects, without a cluster. e2e is the test with one.
//
//	base/        a namespace, a domain, a runtime, NATS: what all overlays are made of
//	components/  what may be added to an overlay
//	overlays/    what is applied
//	monitoring/  dashboard and alerts
//
// It is a module of its own, so that Kubernetes and kustomize are no dependencies of peerbus.
package k8s
