package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/local"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/testcert"
)

// With mutual TLS on every listener and every connection the main job works,
// and who has no certificate gets in nowhere.
func TestMutualTLSEverywhere(t *testing.T) {
	t.Parallel()
	authority := testcert.New(t, "authority")
	cert, key := authority.Issue(t, "peerbus")
	security := rpc.Security{CertFile: cert, KeyFile: key, CAFile: authority.File}
	p := newPairWith(t, newSecureSystem(t, security), local.Separate, local.AllInOne)
	in := listen(t, p.bob, p.bobURL)
	post(t, p.alice, pingOf(p.aliceURL, p.bobURL, 1))
	in.next()
	waitConnection(t, p.alice, p.bob.URL, live)

	tls := []string{"--tls-cert", cert, "--tls-key", key, "--tls-ca", authority.File}
	if code, _, errs := command(t, nil, append([]string{"status", "--registry-addr", p.alice.RegistryAddr}, tls...)...); code != 0 {
		t.Errorf("with a certificate: exit %d, %s", code, errs)
	}
	for _, addr := range []string{p.alice.RegistryAddr, p.bob.RegistryAddr} {
		if code, _, _ := command(t, nil, "status", "--registry-addr", addr); code == 0 {
			t.Errorf("%s lets in a client without TLS", addr)
		}
		if code, _, _ := command(t, nil, "status", "--registry-addr", addr, "--tls-ca", authority.File); code == 0 {
			t.Errorf("%s lets in a client without a certificate", addr)
		}
	}
	gatewaysWantCertificates(t, p, cert, key, authority.File)
}

// gatewaysWantCertificates asks a gateway of its own and one of an all-in-one, over HTTP/2
// as curl does.
func gatewaysWantCertificates(t *testing.T, p *pair, cert, key, ca string) {
	t.Helper()
	if err := p.system.StartGateway(p.alice); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*local.Runtime{p.alice, p.bob} {
		if err := p.system.GatewayReady(testContext(t), r); err != nil {
			t.Fatal(err)
		}
		url := "https://" + r.HTTPAddr + "/v1/runtime"
		out, err := exec.CommandContext(testContext(t), "curl", "-sS", "--fail", "--cert", cert, "--key", key, "--cacert", ca, url).CombinedOutput()
		if err != nil || !strings.Contains(string(out), r.URL) {
			t.Errorf("with a certificate: %v, %s", err, out)
		}
		if out, err := exec.CommandContext(testContext(t), "curl", "-sS", "--fail", "--cacert", ca, url).CombinedOutput(); err == nil {
			t.Errorf("without a certificate: %s", out)
		}
	}
}
