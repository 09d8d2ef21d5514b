package main

import (
	"crypto/x509"
	"os"
	"slices"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The authorities of the public web, for where the system has none, as in an image
// made FROM scratch: the nodestub reads descriptors of other domains over https.
// Where the system has some, or SSL_CERT_FILE names them, those count, and the others are
// not even read, which would be a tenth of the time that a process takes to start.
func init() {
	if !slices.ContainsFunc(systemRoots(), hasContent) {
		x509.SetFallbackRoots(publicRoots())
	}
}

// systemRoots are the files of which Go reads the first one that is there; of those that
// it knows, the most usual.
func systemRoots() []string {
	usual := []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}
	if named := os.Getenv("SSL_CERT_FILE"); named != "" {
		return []string{named}
	}
	return usual
}

func hasContent(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Size() > 0
}

func publicRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		c, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			continue // the others count
		}
		if root.Constraint == nil {
			pool.AddCert(c)
		} else {
			pool.AddCertWithConstraint(c, root.Constraint)
		}
	}
	return pool
}
