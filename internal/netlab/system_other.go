//go:build !linux

package netlab

import (
	"errors"
	"os"
)

var errNeedsLinux = errors.New("network namespaces need Linux")

func inNamespace(string, func() error) error { return errNeedsLinux }

// OpenTun needs Linux.
func OpenTun(string, string) (*os.File, error) { return nil, errNeedsLinux }
