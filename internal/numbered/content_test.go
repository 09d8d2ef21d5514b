package numbered

import (
	"testing"
	"time"
)

func TestContentIsReadAsItWasMade(t *testing.T) {
	for _, size := range []int{0, 1, 64, 64 << 10} {
		text, err := New(7, size, time.Unix(0, 42))
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := Read(text); !ok || c.Number != 7 || c.Sent != 42 || c.Size != size {
			t.Errorf("%d bytes: %d, %d, %d, %v", size, c.Number, c.Sent, c.Size, ok)
		}
	}
}

func TestDamagedContentIsNoContent(t *testing.T) {
	for _, text := range []string{
		"", "[]", `{"value":{"number":1,"size":2,"pad":"bc"}}`, `{"value":{"number":1,"size":2,"pad":"b"}}`,
		`{"value":{"number":1,"size":-1,"pad":""}}`, `{"value":{"number":1,"size":1000000000000}}`, `{"value":{"number":"1"}}`,
		`{"value":{"number":2,"size":1,"pad":"b"}}`, // what number 1 is filled up with
	} {
		if _, ok := Read([]byte(text)); ok {
			t.Errorf("%s is undamaged", text)
		}
	}
	if _, ok := Read([]byte(`{"value":{"number":-1,"size":1,"pad":"z"}}`)); !ok {
		t.Error("a number below 0 is the judge's to refuse")
	}
}

func TestPathOf(t *testing.T) {
	for via, want := range map[string]string{
		"hyperty-runtime://example.org/protostub/alice": Relayed, "runtime://example.org/p2phandler/1": Direct, "": Direct,
	} {
		if got := PathOf(via); got != want {
			t.Errorf("%q: %s", via, got)
		}
	}
}
