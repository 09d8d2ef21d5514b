// Package cases lists what is compared with what, and the ratio to reach. Each file has
// the cases of one way or one part; All has them in the order of the table.
package cases
