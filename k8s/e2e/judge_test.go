package main

import (
	"errors"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		name string
		play func(j *judge)
		want counts
	}{
		{"all is well", func(j *judge) {
			accept(j, 0, 2)
			j.handed(0, 1, true, at)
			j.handed(0, 2, false, at.Add(time.Second))
		}, counts{Accepted: 2, Handed: 2, Direct: 1, Pause: 1}},
		{"lost", func(j *judge) { accept(j, 0, 2); j.handed(0, 2, true, at) }, counts{Accepted: 2, Handed: 1, Direct: 1, Lost: 1}},
		{"handed over before the poster is told", func(j *judge) {
			n := j.posted(0)
			j.handed(0, n, true, at)
			j.told(0, n, nil)
		}, counts{Accepted: 1, Handed: 1, Direct: 1}},
		{"doubled", func(j *judge) {
			accept(j, 0, 1)
			j.handed(0, 1, true, at)
			j.handed(0, 1, true, at)
		}, counts{Accepted: 1, Handed: 1, Direct: 2, Doubled: 1}},
		{"reordered", func(j *judge) {
			accept(j, 0, 2)
			j.handed(0, 2, true, at)
			j.handed(0, 1, true, at)
		}, counts{Accepted: 2, Handed: 2, Direct: 2, Reordered: 1}},
		{"of two posters", func(j *judge) {
			accept(j, 0, 1)
			accept(j, 1, 2)
			j.handed(1, 2, true, at)
			j.handed(0, 1, true, at)
		}, counts{Accepted: 3, Handed: 2, Direct: 2, Lost: 1}},
		{"never posted", func(j *judge) { j.handed(0, 1, true, at); j.damaged() }, counts{Damaged: 2}},
		{"refused", func(j *judge) { j.told(0, j.posted(0), errors.New("no")) }, counts{}},
	} {
		j := newJudge(2)
		c.play(j)
		got, _ := j.now()
		if c.name == "refused" && got.Refused["no"] != 1 {
			t.Errorf("refused: %v", got.Refused)
		}
		got.Refused = nil
		if !equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func equal(a, b counts) bool {
	a.Refused, b.Refused = nil, nil
	return a.Accepted == b.Accepted && a.Handed == b.Handed && a.Direct == b.Direct && a.Lost == b.Lost &&
		a.Doubled == b.Doubled && a.Reordered == b.Reordered && a.Damaged == b.Damaged && a.Pause == b.Pause
}

func accept(j *judge, pair, messages int) {
	for range messages {
		j.told(pair, j.posted(pair), nil)
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
