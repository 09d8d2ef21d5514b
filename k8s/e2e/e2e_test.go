package main

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/peerbus/peerbus/internal/numbered"
)

func TestCountsAreThoseOfAllListeners(t *testing.T) {
	at, j := time.Unix(1000, 0), newJudge()
	for _, pair := range []int{0, 0, 0, 1, 1} {
		j.Told(pair, j.Posted(pair, at), nil)
	}
	j.Told(2, j.Posted(2, at), errors.New("no"))
	j.Handed(0, 1, numbered.Direct, at)
	j.Handed(1, 2, numbered.Relayed, at.Add(time.Second)) // ends no pause of the other listener
	j.Handed(0, 2, numbered.Direct, at.Add(2*time.Second))
	j.Handed(0, 2, numbered.Direct, at.Add(2*time.Second))
	j.Handed(1, 1, numbered.Relayed, at.Add(2*time.Second))
	j.Broken()
	want := counts{
		Accepted: 5, Handed: 4, Direct: 3, Lost: 1, Doubled: 1, Reordered: 1, Damaged: 1,
		Refused: map[string]int{"no": 1}, Pause: 2,
	}
	if got := count(j.Findings()); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// The kill must find its pod, and no other.
func TestControlGroupOfAPod(t *testing.T) {
	const uid = "6a9c5ae3-7a3f-4bb9-8cde-1d6a0a4a7d10"
	for group, want := range map[string]bool{
		"0::/kubepods/burstable/pod" + uid + "/abc":                                        true,
		"0::/../../pod6a9c5ae3_7a3f_4bb9_8cde_1d6a0a4a7d10.slice/cri-containerd-abc.scope": true,
		"0::/kubepods/burstable/pod6a9c5ae3-7a3f-4bb9-8cde-000000000000/abc":               false,
		"0::/": false,
	} {
		if got := isOfPod([]byte(group), uid); got != want {
			t.Errorf("%s: %v", group, got)
		}
	}
}

func TestKubeconfigIn(t *testing.T) {
	if got, err := kubeconfigIn("ready\nexport KUBECONFIG=/a/b\n"); err != nil || got != "/a/b" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := kubeconfigIn("ready\n"); err == nil {
		t.Error("no file is none")
	}
}

// Complaints stand between the reports.
func TestLastLine(t *testing.T) {
	l, err := lastLine("{\"accepted\":1}\n{\"accepted\":2,\"final\":true}\n12:00:00: x waited 4 s for number 3\n")
	if err != nil || l.Accepted != 2 || !l.Final {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := lastLine("nothing\n"); err == nil {
		t.Error("a log without a report has one")
	}
}
