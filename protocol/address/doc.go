// Package address parses and builds the addresses of the wire contract,
// section 1.
//
// An address is compared as an opaque string; only resolution looks inside it.
// This package is that look: which kind of address it is, which domain it
// belongs to and, where the address itself says so, which runtime.
package address
