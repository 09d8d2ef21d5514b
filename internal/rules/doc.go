// Package rules holds the architecture's rules as tests: which package may
// import which, and that each one says what it is.
//
//	cmd → services, client → protocol → internal/fault, gen
package rules
