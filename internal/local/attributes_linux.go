package local

import "syscall"

// processAttributes make a process end with the one that started it, however
// that one ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
