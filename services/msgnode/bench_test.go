package msgnode

import (
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkMayUse shows what the check of a source costs for each message, with
// as many addresses as a busy domain has.
func BenchmarkMayUse(b *testing.B) {
	d := newDirectory()
	for i := range 100_000 {
		rt := fmt.Sprintf("hyperty-runtime://d/r%d", i)
		s, _ := json.Marshal(Session{Runtime: rt, Token: rt, Socket: "me/1"})
		h, _ := json.Marshal(Hold{Address: fmt.Sprintf("hyperty://d/h%d", i), Runtime: rt, Token: rt})
		if _, _, err := d.apply(sessionKey(rt), s); err != nil {
			b.Fatal(err)
		}
		if _, _, err := d.apply(ownerKey(rt), h); err != nil {
			b.Fatal(err)
		}
	}
	for name, from := range map[string]string{
		"own runtime": "hyperty-runtime://d/r7/sm",
		"own hyperty": "hyperty://d/h7",
		"free object": "comm://d/x/changes",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := d.mayUse("hyperty-runtime://d/r7", from); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
