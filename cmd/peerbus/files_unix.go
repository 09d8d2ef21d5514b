//go:build unix

package main

import "syscall"

// fileLimit is how many files a process may have open. Go has raised it to what the
// system allows at most.
func fileLimit() (most uint64, known bool) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	return uint64(l.Max), true // it is signed on some systems
}
