package report

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/peerbus/peerbus/bench/internal/round"
)

// No label begins left of the picture, and each keeps its metric.
func TestLabelsFit(t *testing.T) {
	m := round.Metric{Name: "first message, median", Unit: "ms"}
	pair := round.Pair{Ours: round.Sample{m: 1}, Baseline: round.Sample{m: 2}}
	rows := round.Rows([]round.Pair{pair}, []round.Goal{round.Most(m, 1)})
	r := &Report{Results: []Result{
		{What: "set-up at 50 ms, first post to live; first message while no connection is up", Beside: strings.Repeat("grpc-go relay ", 10), Rows: rows},
		{What: strings.Repeat("ü&", 75), Beside: "pion", Rows: rows},
	}}
	var b bytes.Buffer
	if err := r.WritePlot(&b); err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Texts []struct {
			X      float64 `xml:"x,attr"`
			Anchor string  `xml:"text-anchor,attr"`
			Text   string  `xml:",chardata"`
		} `xml:"text"`
	}
	if err := xml.Unmarshal(b.Bytes(), &svg); err != nil {
		t.Fatal(err)
	}
	labels, metrics := 0, 0
	for _, text := range svg.Texts {
		if text.Anchor != "end" {
			continue
		}
		labels++
		if strings.HasPrefix(text.Text, m.Name) {
			metrics++
		}
		if width := meanTenths * float64(utf8.RuneCountInString(text.Text)) / 10; width > text.X {
			t.Errorf("%q is %.0f px, and has %.0f", text.Text, width, text.X)
		}
	}
	if labels != 4 || metrics != 2 {
		t.Errorf("%d labels, %d of them with the metric, in\n%s", labels, metrics, b.String())
	}
	if !strings.Contains(b.String(), ">set-up at 50 ms, first post to live<") {
		t.Errorf("the case is not in\n%s", b.String())
	}
}
