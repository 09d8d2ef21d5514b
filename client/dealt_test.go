package client

import (
	"testing"
	"unsafe"
)

// A name may share its text with a long message, which is not kept for it.
func TestWhatIsDealtWithKeepsNoMessage(t *testing.T) {
	var d dealt
	name := string([]byte("hyperty://example.org/bob"))
	if d.begin(0, name); d.own.listener != name || unsafe.StringData(d.own.listener) == unsafe.StringData(name) {
		t.Errorf("the name is %q", d.own.listener)
	}
}
