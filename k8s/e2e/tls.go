package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"github.com/peerbus/peerbus/k8s/manifests"
)

// mutualTLS does the main job with certificates of one authority.
func (t *test) mutualTLS(ctx context.Context) (string, error) {
	ca, err := newAuthority()
	if err != nil {
		return "", err
	}
	for _, namespace := range []string{manifests.Alice, manifests.Bob} {
		if err := t.makeNamespace(ctx, namespace, "restricted"); err != nil {
			return "", err
		}
		secret, err := ca.secret(namespace)
		if err != nil {
			return "", err
		}
		if _, err := t.with(ctx, secret, "apply", "-f", "-"); err != nil {
			return "", err
		}
	}
	tls := []string{"tls"}
	alice, bob, err := t.start(ctx,
		manifests.Combination{Overlay: "single", Namespace: manifests.Alice, Components: tls},
		manifests.Combination{Overlay: "runtime", Namespace: manifests.Bob, Components: tls})
	if err != nil {
		return "", err
	}
	return "between namespaces " + direct, mainJob(ctx, alice, bob, direct)
}

// certificateTime is how long a certificate holds: longer than a run.
const certificateTime = 24 * time.Hour

// authority issues the certificates of a run.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateTime), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err = x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

// secret is what the component tls mounts, for the services of a namespace.
func (a *authority) secret(namespace string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: namespace},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"registry", "bus", "p2pstub", "nodestub", "gateway", "localhost", "msgnode." + namespace + ".svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]string{"name": "peerbus-tls", "namespace": namespace},
		"data": map[string][]byte{
			"tls.crt": text("CERTIFICATE", der), "tls.key": text("PRIVATE KEY", private), "ca.crt": text("CERTIFICATE", a.cert.Raw),
		},
	})
}
