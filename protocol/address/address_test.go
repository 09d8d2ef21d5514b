package address_test

import (
	"strings"
	"testing"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		text            string
		kind            address.Kind
		domain, runtime string
	}{
		{"hyperty-runtime://b.example/r1", address.Runtime, "b.example", "hyperty-runtime://b.example/r1"},
		{"runtime://b.example/r1/registry/", address.Runtime, "b.example", "runtime://b.example/r1"},
		{"runtime:/b.example/r1/sm", address.Runtime, "b.example", "runtime:/b.example/r1"},
		{"hyperty-runtime://b.example/r1/p2phandler/7", address.P2PStub, "b.example", "hyperty-runtime://b.example/r1"},
		{"hyperty-runtime://b.example/r1/p2prequester/7/status", address.P2PStub, "b.example", "hyperty-runtime://b.example/r1"},
		{"runtime://b.example/p2prequester/7", address.P2PStub, "b.example", ""},
		{"hyperty-runtime://b.example/r1/protostub/a.example", address.NodeStub, "b.example", "hyperty-runtime://b.example/r1"},
		{"hyperty-runtime://b.example/r1/p2pconnection/7", address.P2PConnection, "b.example", "hyperty-runtime://b.example/r1"},
		{"hyperty://b.example/7", address.Hyperty, "b.example", ""},
		{"connection://b.example/7/changes", address.ConnectionData, "b.example", ""},
		{"comm://b.example/7", address.DataObject, "b.example", ""},
		{"domain://msg-node.b.example/sm", address.Backend, "b.example", ""},
		{"domain://registry.b.example", address.Backend, "b.example", ""},
		{"domain-idp://b.example/x", address.Backend, "b.example", ""},
		{"global://registry/", address.Backend, "registry", ""},
		{"mn:/session", address.Opaque, "", ""},
		{"publisher", address.Opaque, "", ""},
		{"hyperty-runtime://", address.Opaque, "", ""},
		{"hyperty-runtime://b.example/", address.Opaque, "b.example", ""},
		{"://x", address.Opaque, "", ""},
	} {
		u, err := address.Parse(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		if u.Kind != tc.kind || u.Domain != tc.domain || u.Runtime != tc.runtime {
			t.Errorf("%s: %s, domain %q, runtime %q; want %s, %q, %q",
				tc.text, u.Kind, u.Domain, u.Runtime, tc.kind, tc.domain, tc.runtime)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", strings.Repeat("a", address.MaxLength+1)} {
		if _, err := address.Parse(text); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("an address of %d bytes: %v", len(text), err)
		}
	}
}

func TestParseRuntime(t *testing.T) {
	u, err := address.ParseRuntime("hyperty-runtime://b.example/r1/")
	if err != nil || u.Runtime != "hyperty-runtime://b.example/r1" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []string{"", "bob", "hyperty://b.example/r1", "hyperty-runtime://b.example/r1/sm", "hyperty-runtime://b.example"} {
		if _, err := address.ParseRuntime(bad); fault.CodeOf(err) != fault.BadRequest {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		address, parent string
		want            bool
	}{
		{"a://b/c", "a://b/c", true},
		{"a://b/c/d", "a://b/c", true},
		{"a://b/cd", "a://b/c", false},
		{"a://b", "a://b/c", false},
	} {
		if got := address.Within(tc.address, tc.parent); got != tc.want {
			t.Errorf("Within(%q, %q) = %v", tc.address, tc.parent, got)
		}
	}
}

func TestWhatIsBuiltParses(t *testing.T) {
	const runtime, domain = "hyperty-runtime://a.example/r", "a.example"
	for text, want := range map[string]address.Kind{
		address.Registry(runtime):                 address.Runtime,
		address.RegistryChanges(runtime):          address.Runtime,
		address.SyncManager(runtime):              address.Runtime,
		address.UserAgent(runtime):                address.Runtime,
		address.Bus(runtime):                      address.Runtime,
		address.Handler(runtime, "1"):             address.P2PStub,
		address.Requester(runtime, "1"):           address.P2PStub,
		address.P2PConnectionURL(runtime, "1"):    address.P2PConnection,
		address.NodeStubURL(runtime, domain):      address.NodeStub,
		address.Object("connection", domain, "1"): address.ConnectionData,
		address.SubscriptionManager(domain):       address.Backend,
		address.AddressAllocation(domain):         address.Backend,
		address.HypertyAllocation(domain):         address.Backend,
		address.ObjectAllocation(domain):          address.Backend,
		address.DomainRegistry(domain):            address.Backend,
	} {
		u, err := address.Parse(text)
		if err != nil || u.Kind != want || u.Domain != domain {
			t.Errorf("%s: %+v, %v", text, u, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("hyperty-runtime://b.example/r1/p2phandler/7")
	f.Add("runtime:/b/r")
	f.Add("domain://msg-node.")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := address.Parse(text)
		if err != nil {
			return
		}
		if u.Text != text {
			t.Errorf("%q became %q", text, u.Text)
		}
		if u.Runtime != "" && !address.Within(text, u.Runtime) {
			t.Errorf("%q is not within its runtime %q", text, u.Runtime)
		}
	})
}
