package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// killPod sends SIGKILL to the processes of a pod of this node, but for the one that holds
// its namespaces. It runs in a pod that sees all processes of its node: from within a pod
// nobody can kill its first process.
func killPod(args []string) error {
	if len(args) != 1 {
		return errors.New("kill: want the uid of a pod")
	}
	pids, err := processesOf(args[0])
	if err != nil {
		return err
	}
	if len(pids) == 0 {
		return fmt.Errorf("kill: pod %s has no process here", args[0])
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

func processesOf(uid string) ([]int, error) {
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, path := range groups {
		group, err := os.ReadFile(path)
		if err != nil || !isOfPod(group, uid) {
			continue // it has ended, or is somebody else's
		}
		dir := filepath.Dir(path)
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil || strings.TrimSpace(string(name)) == "pause" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// isOfPod reads a control group, in which systemd writes a pod's uid with underscores.
func isOfPod(group []byte, uid string) bool {
	return bytes.Contains(group, []byte("pod"+uid)) || bytes.Contains(group, []byte("pod"+strings.ReplaceAll(uid, "-", "_")))
}
