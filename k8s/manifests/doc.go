// Package manifests puts overlays and components of this folder together, as a user's own
// kustomization does, and lists the combinations that are meant to work.
package manifests
