//go:build !linux

package main

import (
	"errors"
	"os"
	"syscall"
)

var errNeedsLinux = errors.New("network namespaces need Linux")

func inNamespace(string, func() error) error { return errNeedsLinux }

func openTun(string, string) (*os.File, error) { return nil, errNeedsLinux }

func processAttributes() *syscall.SysProcAttr { return nil }
