package registry

import (
	"encoding/json"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

const (
	hypertyKind = pb.RegistrationKind_REGISTRATION_KIND_HYPERTY
	objectKind  = pb.RegistrationKind_REGISTRATION_KIND_DATA_OBJECT
)

// registration is a hyperty or a data object that runs here.
type registration struct {
	what      *pb.Registration // is not changed once it is in the table
	allocated bool             // by our node, which frees it again
	flow      bool             // its entry in the domain registry announces flows; Registry.mu guards it
	due       time.Time        // of the next keep-alive; Registry.mu guards it
	failures  int              // of keep-alives since one worked; likewise
}

func (g *registration) url() string { return g.what.Url }

func (g *registration) kind() string {
	if g.what.Kind == hypertyKind {
		return kindHyperty
	}
	return kindObject
}

// addresses are what others send to: an object is subscribed below its own.
func (g *registration) addresses() []string {
	if g.what.Kind == hypertyKind {
		return []string{g.url()}
	}
	return []string{g.url(), g.url() + address.SubscriptionSuffix}
}

// refreshAfter is the time between keep-alives: two may be lost.
func (g *registration) refreshAfter() time.Duration { return g.what.Expires.AsDuration() / 3 }

// savedRegistration is one in the store.
type savedRegistration struct {
	Registration json.RawMessage `json:"registration"`
	Allocated    bool            `json:"allocated"`
	Flow         bool            `json:"flow"`
}

func (g *registration) encode() ([]byte, error) {
	what, err := protojson.Marshal(g.what)
	if err != nil {
		return nil, err
	}
	return json.Marshal(savedRegistration{what, g.allocated, g.flow})
}

func decodeRegistration(value []byte) (*registration, error) {
	var s savedRegistration
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, err
	}
	g := &registration{what: &pb.Registration{}, allocated: s.Allocated, flow: s.Flow}
	if err := protojson.Unmarshal(s.Registration, g.what); err != nil {
		return nil, err
	}
	if g.url() == "" {
		return nil, errors.New("a registration without its address")
	}
	return g, nil
}

// complete checks a request and fills in what it leaves open. The result has no
// URL when one must be allocated.
func complete(in *pb.Registration, k *knowledge, l Limits) (*pb.Registration, error) {
	if in == nil {
		return nil, fault.New(fault.BadRequest, "registration is missing").In("registration")
	}
	if err := checkFields(in); err != nil {
		return nil, err
	}
	out := proto.CloneOf(in)
	if out.Expires == nil {
		out.Expires = durationpb.New(l.Expires)
	}
	if out.Url != "" {
		u, err := checkURL(out.Url, k)
		if err != nil {
			return nil, err
		}
		if out.Scheme != "" && out.Scheme != u.Scheme {
			return nil, fault.New(fault.BadRequest, "scheme %q is not that of %s", out.Scheme, out.Url).In("scheme")
		}
		out.Scheme = u.Scheme
	}
	if out.Kind == pb.RegistrationKind_REGISTRATION_KIND_UNSPECIFIED {
		out.Kind = objectKind
		if out.Scheme == "" || out.Scheme == "hyperty" {
			out.Kind = hypertyKind
		}
	}
	switch {
	case out.Scheme == "" && out.Kind == objectKind:
		return nil, fault.New(fault.BadRequest, "scheme is missing: an address for a data object needs one, such as comm").In("scheme")
	case out.Scheme == "":
		out.Scheme = "hyperty"
	case (out.Scheme == "hyperty") != (out.Kind == hypertyKind):
		return nil, fault.New(fault.BadRequest, "scheme %q is not that of a %s", out.Scheme, (&registration{what: out}).kind()).In("scheme")
	}
	return out, nil
}

// checkURL takes only what may be registered in this runtime.
func checkURL(url string, k *knowledge) (address.URL, error) {
	u, err := address.Parse(url)
	switch {
	case err != nil:
		return u, err
	case address.Within(url, k.own):
		return u, fault.New(fault.BadRequest, "%s is below the runtime's own URL, and needs no registration", url).In("url")
	case u.Runtime != "":
		return u, fault.New(fault.Forbidden, "%s is of the runtime %s, not of this one", url, u.Runtime).In("url")
	case u.Kind != address.Hyperty && u.Kind != address.DataObject:
		return u, fault.New(fault.BadRequest, "%s is no hyperty and no data object", url).In("url")
	case u.Domain != k.domain:
		return u, fault.New(fault.Forbidden, "%s is of the domain %s; this runtime registers addresses of %s alone", url, u.Domain, k.domain).In("url")
	case entity(url) != url || !isLookedUp(u):
		return u, fault.New(fault.BadRequest, "%s is no address of the form <scheme>://<domain>/<id>", url).In("url")
	}
	return u, nil
}
