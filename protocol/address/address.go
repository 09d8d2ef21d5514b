package address

import (
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
)

// MaxLength bounds an address, in bytes: longer ones are refused before any
// table holds them.
const MaxLength = 2048

// Kind is what an address stands for, as far as its text tells.
type Kind int

// Kinds of addresses.
const (
	Opaque         Kind = iota // any other non-empty string, such as `publisher`
	Runtime                    // a runtime, or something below it
	P2PStub                    // a handler or requester stub, or something below it
	NodeStub                   // a Message Node stub, or something below it
	P2PConnection              // a p2p connection
	Backend                    // a backend service of a domain, or `global://…`
	Hyperty                    // a hyperty
	ConnectionData             // a Connection data object, or something below it
	DataObject                 // another data object, or something below it
)

func (k Kind) String() string {
	return [...]string{
		"opaque", "runtime", "p2p stub", "node stub", "p2p connection", "backend service",
		"hyperty", "connection object", "data object",
	}[k]
}

// URL is an address taken apart. The zero value is no address.
type URL struct {
	Text   string // as it was written
	Kind   Kind
	Scheme string // without `://`; empty for an Opaque one
	Domain string // host part, without the prefix of a backend service
	// Runtime is the URL of the runtime that the address itself names; empty
	// where only a registry can know.
	Runtime string
}

// Check checks a field that is an address: it must be there, and not be too long.
func Check(field, text string) error {
	switch {
	case text == "":
		return Missing(field)
	case len(text) > MaxLength:
		return TooLong(field)
	}
	return nil
}

// Missing is the error for a field that must be an address and is empty.
func Missing(field string) *fault.Error {
	return fault.New(fault.BadRequest, "%s is missing", field).In(field)
}

// TooLong is the error for a field with an address longer than MaxLength.
func TooLong(field string) *fault.Error {
	return fault.New(fault.BadRequest, "%s is longer than %d bytes", field, MaxLength).In(field)
}

// Parse takes an address apart. Empty and over-long ones are refused.
func Parse(text string) (URL, error) {
	if err := Check("address", text); err != nil {
		return URL{}, err
	}
	u := URL{Text: text}
	scheme, rest, ok := cutScheme(text)
	if !ok {
		return u, nil
	}
	u.Scheme = scheme
	host, path, _ := strings.Cut(rest, "/")
	if host == "" {
		return u, nil
	}
	u.Domain = host
	switch {
	case scheme == "hyperty-runtime" || scheme == "runtime":
		u.parseRuntime(path)
	case scheme == "domain" || strings.HasPrefix(scheme, "domain-"):
		u.Kind = Backend
		u.Domain = backendDomain(host)
	case scheme == "global":
		u.Kind = Backend
	case scheme == "hyperty":
		u.Kind = Hyperty
	case scheme == "connection":
		u.Kind = ConnectionData
	default:
		u.Kind = DataObject
	}
	return u, nil
}

// cutScheme splits at `://`, or at the `runtime:/` of older peers.
func cutScheme(text string) (scheme, rest string, ok bool) {
	if scheme, rest, ok = strings.Cut(text, "://"); ok {
		return scheme, rest, scheme != "" && !strings.Contains(scheme, "/")
	}
	if rest, ok = strings.CutPrefix(text, "runtime:/"); ok {
		return "runtime", rest, true
	}
	return "", "", false
}

// parseRuntime looks below `<scheme>://<domain>/`. The requester stub of an
// older runtime stands right below the domain; it names no runtime.
func (u *URL) parseRuntime(path string) {
	first, below, _ := strings.Cut(path, "/")
	if first == "" {
		return
	}
	if isP2PStub(first) {
		u.Kind = P2PStub
		return
	}
	u.Kind = Runtime
	prefix := len(u.Text) - len(path)
	u.Runtime = u.Text[:prefix+len(first)]
	part, _, _ := strings.Cut(below, "/")
	switch {
	case isP2PStub(part):
		u.Kind = P2PStub
	case part == "protostub":
		u.Kind = NodeStub
	case part == "p2pconnection":
		u.Kind = P2PConnection
	}
}

func isP2PStub(segment string) bool { return segment == "p2phandler" || segment == "p2prequester" }

// backendDomain takes the name of the service off `msg-node.<domain>` and
// `registry.<domain>`. Any other host is the domain itself.
func backendDomain(host string) string {
	for _, prefix := range []string{"msg-node.", "registry."} {
		if d, ok := strings.CutPrefix(host, prefix); ok && d != "" {
			return d
		}
	}
	return host
}

// ParseRuntime takes the URL of a runtime, and nothing below it. A closing
// slash, which older runtimes write, is taken off.
func ParseRuntime(text string) (URL, error) {
	u, err := Parse(strings.TrimSuffix(text, "/"))
	if err != nil {
		return URL{}, err
	}
	if u.Kind != Runtime || u.Runtime != u.Text {
		return URL{}, fault.New(fault.BadRequest, "%q is no runtime address; want hyperty-runtime://<domain>/<id>", text)
	}
	return u, nil
}

// Within tells whether an address is parent itself or stands below it.
func Within(address, parent string) bool {
	rest, ok := strings.CutPrefix(address, parent)
	return ok && (rest == "" || rest[0] == '/')
}
