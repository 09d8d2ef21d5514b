// Package fulldisk makes the disk of a test full, on unix. A test that does so must not run
// in parallel with others: the files of the whole process are concerned.
package fulldisk
