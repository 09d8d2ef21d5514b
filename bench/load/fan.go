package load

// Fan is how messages are spread over the listeners of an end.
type Fan struct {
	// Listeners is how many there are; 0 is 1.
	Listeners int
	// Each is how many messages go to one, before the next one has its turn; 0 is 1.
	Each int
}

// Count is how many listeners there are.
func (f Fan) Count() int { return max(1, f.Listeners) }

// To is the listener that a message goes to, by how many were sent before.
func (f Fan) To(sent int) int { return sent / max(1, f.Each) % f.Count() }
