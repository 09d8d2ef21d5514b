// Command image makes peerbus's container image, and what is in it, without a registry
// or a daemon; the Makefile calls it.
//
//	make image-files   bin/linux-amd64/{peerbus,sbom.json}   image sbom
//	make image         bin/peerbus-image.tar                 image archive
//
// It is a Go module of its own, so that the program does not depend on what it uses.
package main
