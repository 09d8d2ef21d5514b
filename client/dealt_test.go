package client

import (
	"testing"
	"unsafe"
)

// A name may share its text with a long message, which is not kept for it.
func TestWhatIsDealtWithKeepsNoMessage(t *testing.T) {
	var d dealt
	name := string([]byte("hyperty://example.org/bob"))
	if n := d.add(name, 7); n != 7 || d.name != name || unsafe.StringData(d.name) == unsafe.StringData(name) {
		t.Errorf("%d bytes of %q", n, d.name)
	}
}
