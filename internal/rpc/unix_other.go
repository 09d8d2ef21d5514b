//go:build !unix

package rpc

import (
	"io/fs"
	"syscall"
)

func lockDir(string) (unlock func(), err error) { return func() {}, nil }

func withMode(fs.FileMode) func(network, addr string, c syscall.RawConn) error { return nil }
