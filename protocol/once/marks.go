package once

import "encoding/binary"

// MaxOrigin is the longest origin, in bytes.
const MaxOrigin = 64

// Marks remembers the last number taken in each conversation: of an origin, the `from` that
// it sends as, and a listener address. Its methods must not be called at the same time.
// Each costs O(1), and allocates only for a new conversation.
type Marks struct {
	limit int
	slots map[string]int32 // into marks, by key
	marks []mark           // marks[0] is the head of the ring: newest is next
	key   []byte           // of the call under way
}

// mark is one conversation, in a ring from the one used last to the one not used for
// longest.
type mark struct {
	key         string
	number      uint64
	newer, next int32
}

// New makes Marks that keep at most limit conversations, and at least one.
func New(limit int) *Marks {
	return &Marks{limit: max(limit, 1), slots: map[string]int32{}, marks: make([]mark, 1)}
}

// Seen marks a message as taken for the listener that has an address, and tells whether it
// had been taken before. A message without a key is always new.
func (m *Marks) Seen(from, address string, origin []byte, number uint64) bool {
	if number == 0 {
		return false
	}
	return m.SeenIn(m.Conversation(from, address, origin), number)
}

// Conversation is where the numbers of messages with the same origin, `from` and listener
// address are marked. It is valid for SeenIn and TakeIn until Conversation is called for
// another one. For messages without a key it is none.
type Conversation int32

const nowhere Conversation = 0

// Conversation gives the conversation that a message belongs to.
func (m *Marks) Conversation(from, address string, origin []byte) Conversation {
	if len(origin) == 0 || len(origin) > MaxOrigin {
		return nowhere
	}
	if last := m.marks[0].next; isKey(m.marks[last].key, from, address, origin) { // as it mostly is
		return Conversation(last)
	}
	slot, known := m.find(from, address, origin)
	if !known {
		return Conversation(m.add())
	}
	m.use(slot)
	return Conversation(slot)
}

// SeenIn is Seen for a message whose conversation is known.
func (m *Marks) SeenIn(in Conversation, number uint64) bool {
	if in == nowhere || number == 0 {
		return false
	}
	kept := &m.marks[in]
	if number <= kept.number {
		return true
	}
	kept.number = number
	return false
}

// TakeIn marks all numbers from first to last as taken, if none of them was before;
// otherwise it returns false, and marks none.
func (m *Marks) TakeIn(in Conversation, first, last uint64) bool {
	kept := &m.marks[in]
	if in == nowhere || first <= kept.number || last < first {
		return false
	}
	kept.number = last
	return true
}

// Forget takes the mark of a message back that was not handed over after all, unless a
// later number has been taken since. The message then counts as new when it comes again.
func (m *Marks) Forget(from, address string, origin []byte, number uint64) bool {
	if number == 0 || len(origin) == 0 || len(origin) > MaxOrigin {
		return false
	}
	slot, known := m.find(from, address, origin)
	if !known || m.marks[slot].number != number {
		return false
	}
	m.marks[slot].number = number - 1
	return true
}

// find gives the place of a conversation, and leaves its key in m.key.
func (m *Marks) find(from, address string, origin []byte) (slot int32, known bool) {
	m.key = append(append(m.key[:0], byte(len(origin))), origin...)
	m.key = append(append(binary.AppendUvarint(m.key, uint64(len(from))), from...), address...)
	slot, known = m.slots[string(m.key)]
	return slot, known
}

// isKey tells whether it is the key of a conversation, whose sender has a short name.
func isKey(key, from, address string, origin []byte) bool {
	n := 1 + len(origin)
	if len(from) >= 0x80 || len(key) != n+1+len(from)+len(address) || key[0] != byte(len(origin)) || key[n] != byte(len(from)) {
		return false
	}
	rest := key[n+1:]
	return rest[len(from):] == address && rest[:len(from)] == from && key[1:n] == string(origin)
}

// Len is how many conversations are kept.
func (m *Marks) Len() int { return len(m.slots) }

// add keeps the pair of m.key, in the place of the oldest one if need be.
func (m *Marks) add() (slot int32) {
	if len(m.slots) < m.limit {
		slot = int32(len(m.marks)) // one more than the pairs, of which there are not 2^31
		m.marks = append(m.marks, mark{})
	} else {
		slot = m.marks[0].newer // the ring's last
		m.unlink(slot)
		delete(m.slots, m.marks[slot].key)
	}
	key := string(m.key)
	m.slots[key] = slot
	m.marks[slot] = mark{key: key}
	m.link(slot)
	return slot
}

// use makes a pair the newest.
func (m *Marks) use(slot int32) {
	if m.marks[0].next != slot {
		m.unlink(slot)
		m.link(slot)
	}
}

func (m *Marks) link(slot int32) {
	first := m.marks[0].next
	m.marks[slot].newer, m.marks[slot].next = 0, first
	m.marks[first].newer = slot
	m.marks[0].next = slot
}

func (m *Marks) unlink(slot int32) {
	newer, next := m.marks[slot].newer, m.marks[slot].next
	m.marks[newer].next, m.marks[next].newer = next, newer
}
