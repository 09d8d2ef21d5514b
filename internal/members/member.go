package members

import (
	"hash/fnv"
	"net"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
)

// Member is a process that others find.
type Member struct {
	// Kind of service, such as "bus".
	Kind string `json:"kind"`
	// ID is another one after each start.
	ID string `json:"id"`
	// Addr is where others reach it, HOST:PORT.
	Addr string `json:"addr"`
	// ServerName is what its certificate is checked against; empty for the host
	// of Addr.
	ServerName string `json:"serverName,omitempty"`
	// Epoch tells starts of a service apart, where it has such a number.
	Epoch uint64 `json:"epoch,omitempty"`
	// Leaving: it is told to stop, and shall get nothing new.
	Leaving bool `json:"leaving,omitempty"`
}

// isName tells what may be part of a key.
func isName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return s != "" && len(s) <= 128 && strings.Trim(s, allowed) == ""
}

// Check says what is wrong with a member.
func (m Member) Check() error {
	if !isName(m.Kind) {
		return fault.New(fault.BadRequest, "member kind %.80q: want letters, digits, - and _", m.Kind).In("kind")
	}
	if !isName(m.ID) {
		return fault.New(fault.BadRequest, "member id %.80q: want letters, digits, - and _", m.ID).In("id")
	}
	if _, _, err := net.SplitHostPort(m.Addr); err != nil || len(m.Addr) > 300 {
		return fault.New(fault.BadRequest, "member address %.80q: want HOST:PORT", m.Addr).In("addr")
	}
	if len(m.ServerName) > 253 {
		return fault.New(fault.BadRequest, "server name is longer than 253 bytes").In("server_name")
	}
	return nil
}

// Owner is the member that a key belongs to: of those that are not leaving, the one
// with the highest weight for it (rendezvous hashing). When all are leaving, they
// count.
func Owner(all []Member, key string) (owner Member, ok bool) {
	if owner, ok = heaviest(all, key, false); !ok {
		owner, ok = heaviest(all, key, true)
	}
	return owner, ok
}

func heaviest(all []Member, key string, leaving bool) (owner Member, ok bool) {
	var most uint64
	for _, m := range all {
		if m.Leaving && !leaving {
			continue
		}
		if w := weight(m.ID, key); !ok || w > most || w == most && m.ID > owner.ID {
			owner, most, ok = m, w, true
		}
	}
	return owner, ok
}

// weight mixes the hash once more: the low bits of FNV of similar texts are alike.
func weight(id, key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // it does not fail
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(key))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
