// Package drive makes sides to compare out of processes: it has the ends of a way send
// or ask, and reads what all processes of that side use for it.
package drive
