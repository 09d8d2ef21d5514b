package proc

import (
	"os"
	"testing"
	"time"
)

func TestCPUOfThisProcess(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 20*time.Millisecond; {
	}
	after, err := CPU(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("%v after %v, %v", after, before, err)
	}
}

func TestOfNoProcess(t *testing.T) {
	const none = 1 << 22 // above every process id
	if _, err := CPU(none); err == nil {
		t.Error("it has CPU time")
	}
	if _, err := MemoryOf(none); err == nil {
		t.Error("it has memory")
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	m, err := MemoryOf(os.Getpid())
	if err != nil || m.Resident <= 0 || m.Peak < m.Resident/2 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestParseStatus(t *testing.T) {
	for _, tc := range []struct {
		status string
		want   Memory
		fails  bool
	}{
		{"Name:\tx\nVmHWM:\t     200 kB\nVmRSS:\t      100 kB\n", Memory{100 << 10, 200 << 10}, false},
		{"VmHWM:\t 200 kB\n", Memory{}, true},
		{"VmHWM:\t 200 kB\nVmRSS:\t many kB\n", Memory{}, true},
		{"VmHWM:\t 200 kB\nVmRSS:\t 100 MB\n", Memory{}, true},
	} {
		got, err := parseStatus([]byte(tc.status))
		if got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%q: %+v, %v", tc.status, got, err)
		}
	}
}
