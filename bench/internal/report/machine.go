package report

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	// Load is the number of processes that wanted to run at the beginning, on average
	// of a minute: above some tenths something else ran too.
	Load string `json:"load"`
}

// ThisMachine tells what can be known.
func ThisMachine() Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version()}
	for line := range strings.Lines(file("/proc/cpuinfo")) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	if release := strings.TrimSpace(file("/proc/sys/kernel/osrelease")); release != "" {
		m.Kernel = "Linux " + release
	}
	m.Load, _, _ = strings.Cut(file("/proc/loadavg"), " ")
	return m
}

// file is empty where there is none.
func file(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

func (m Machine) String() string {
	about := fmt.Sprintf("%s, %d cores, %s, %s", m.CPU, m.Cores, m.Kernel, m.Go)
	if m.Load == "" {
		return about
	}
	return about + ", load " + m.Load + " at the beginning"
}
