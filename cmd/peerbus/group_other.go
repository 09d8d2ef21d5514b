//go:build !unix

package main

import "os/exec"

// ownGroup does nothing where there are no process groups: the command alone ends.
func ownGroup(*exec.Cmd) {}

// endGroup does nothing likewise.
func endGroup(*exec.Cmd) error { return nil }
