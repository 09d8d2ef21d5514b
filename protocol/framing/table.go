package framing

import pb "github.com/peerbus/peerbus/gen/peerbus/v1"

// transfer is a message under reassembly.
type transfer struct {
	size    int // bytes, or UTF-16 units of split text, that it will have
	data    []byte
	seen    uint64      // when it last grew, in packets
	message *pb.Message // older framing: what came with the opening packet
	percent int         // older framing: last progress
	text    bool        // older framing: its content comes as text
}

// table holds the transfers of a channel within their bounds.
type table[K comparable] struct {
	limits    Limits
	transfers map[K]*transfer
	bytes     int
	clock     uint64
}

// victim is a transfer that had to make room.
type victim[K comparable] struct {
	name K
	*transfer
}

func newTable[K comparable](l Limits) *table[K] {
	return &table[K]{limits: l, transfers: map[K]*transfer{}}
}

func (t *table[K]) get(k K) *transfer { return t.transfers[k] }

// open adds a transfer. When the table is full, the one that has been still for
// longest has to go.
func (t *table[K]) open(k K, tr *transfer) (dropped []victim[K]) {
	if len(t.transfers) >= t.limits.Transfers {
		dropped = t.dropStillest(k, dropped)
	}
	t.clock++
	tr.seen = t.clock
	t.transfers[k] = tr
	return dropped
}

// grow adds bytes to a transfer, and gives those that had to go for it. The
// transfer itself stays: the largest message fits into the bound.
func (t *table[K]) grow(k K, data []byte) (dropped []victim[K]) {
	tr := t.transfers[k]
	t.clock++
	tr.seen = t.clock
	for t.bytes+len(data) > t.limits.Reassembly && len(t.transfers) > 1 {
		dropped = t.dropStillest(k, dropped)
	}
	tr.data = append(tr.data, data...)
	t.bytes += len(data)
	return dropped
}

// dropStillest drops the transfer, other than one, that grew longest ago.
func (t *table[K]) dropStillest(except K, dropped []victim[K]) []victim[K] {
	var oldest victim[K]
	for k, tr := range t.transfers {
		if k != except && (oldest.transfer == nil || tr.seen < oldest.seen) {
			oldest = victim[K]{k, tr}
		}
	}
	if oldest.transfer == nil {
		return dropped
	}
	t.drop(oldest.name)
	return append(dropped, oldest)
}

func (t *table[K]) drop(k K) {
	if tr := t.transfers[k]; tr != nil {
		t.bytes -= len(tr.data)
		delete(t.transfers, k)
	}
}
