package main

import (
	"bytes"
	"testing"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

func TestPathOfAProbe(t *testing.T) {
	for via, want := range map[string]string{
		"": pathLocal,
		"hyperty-runtime://a.example/r/protostub/b.example": pathRelay,
		"hyperty-runtime://a.example/r/p2phandler/1":        pathDirect,
		"hyperty-runtime://a.example/r/p2prequester/1":      pathDirect,
	} {
		if got := probePath(&pb.Message{Via: via}); got != want {
			t.Errorf("via %q: %s, want %s", via, got, want)
		}
	}
}

func TestProbesAreCountedAndPrinted(t *testing.T) {
	const remote = "hyperty-runtime://b.example/r"
	for _, tc := range []struct {
		json bool
		want string
	}{
		{false, `hyperty-runtime://b.example/r  1  relay   4.000 ms
hyperty-runtime://b.example/r  2  lost    time ran out
hyperty-runtime://b.example/r  3  direct  1.500 ms
3 sent, 2 came back: 1 direct, 1 by relay, 0 local
round trip: least 1.500 ms, average 2.750 ms, most 4.000 ms
`},
		{true, `{"sequence":1,"path":"relay","round_trip_ms":4}
{"sequence":2,"error":"time ran out"}
{"sequence":3,"path":"direct","round_trip_ms":1.5}
{"sent":3,"received":2,"direct":1,"relay":1,"local":0,"min_ms":1.5,"avg_ms":2.75,"max_ms":4}
`},
	} {
		var out bytes.Buffer
		printer, sum := probePrinter{w: &out, json: tc.json}, probeSummary{}
		for _, p := range []probe{
			{Sequence: 1, Path: pathRelay, Millis: 4},
			{Sequence: 2, Error: "time ran out"},
			{Sequence: 3, Path: pathDirect, Millis: 1.5},
		} {
			sum.add(p)
			if err := printer.probe(remote, p); err != nil {
				t.Fatal(err)
			}
		}
		if err := printer.summary(sum); err != nil {
			t.Fatal(err)
		}
		if out.String() != tc.want {
			t.Errorf("printed\n%swant\n%s", &out, tc.want)
		}
	}
}
