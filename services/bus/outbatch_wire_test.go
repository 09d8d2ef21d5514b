package bus

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/peerbus/peerbus/protocol/codec"
)

// A stub that takes no rows is sent the same bytes, whether posts went in batches or one by one.
func TestBytesAbroadAreTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent [2][][]byte
		for i := range 2 {
			a := newAbroad(t, Limits{}, 1<<20, connURL, i == 0)
			a.stubs[overDirect].rows = false
			for _, n := range []int{10, 64, 4} {
				a.post(a.sender, n, bob, strings.Repeat("x", 3*n), false)
				a.post(a.sender, n, dave, "", false)
			}
			s := a.stubs[overDirect]
			s.frame.Leaves = &s.leaves
			for f, _ := s.take(); f != nil; f, _ = s.take() {
				parts, err := codec.GRPC{}.Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				sent[i] = append(sent[i], bytes.Clone(parts.Materialize()))
				parts.Free()
			}
			a.end()
		}
		if len(sent[0]) == 0 || len(sent[0]) != len(sent[1]) {
			t.Fatalf("%d frames, and %d", len(sent[0]), len(sent[1]))
		}
		for i := range sent[0] {
			if !bytes.Equal(sent[0][i], sent[1][i]) {
				t.Errorf("frame %d is %d bytes\n%q\nand %d one by one\n%q", i, len(sent[0][i]), sent[0][i], len(sent[1][i]), sent[1][i])
			}
		}
	})
}
