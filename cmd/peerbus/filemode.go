package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// fileMode is a setting for permissions, in octal.
type fileMode fs.FileMode

func (m *fileMode) String() string { return fmt.Sprintf("%04o", uint32(*m)) }

// Set takes what chmod takes as a number, without special bits.
func (m *fileMode) Set(text string) error {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return errors.New("want an octal number of permissions, 0001 to 0777")
	}
	*m = fileMode(n)
	return nil
}

// Type is for pflag.
func (m *fileMode) Type() string { return "mode" }
