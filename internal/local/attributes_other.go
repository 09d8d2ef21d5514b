//go:build !linux

package local

import "syscall"

func processAttributes() *syscall.SysProcAttr { return nil }
