//go:build !unix

package main

// fileLimit is not known where there is none.
func fileLimit() (most uint64, known bool) { return 0, false }
