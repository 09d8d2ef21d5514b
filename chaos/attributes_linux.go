package main

import "syscall"

// processAttributes make a process end with this one, however this one ends, and
// keep it from an interrupt at the terminal: it is ended in order.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
