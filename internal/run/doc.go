// Package run starts and stops the parts of a process.
//
// All runs equals side by side. A Tree runs a hierarchy: what is used first is
// started first and stopped last, so that a part can rely on what it uses until
// its very end.
//
//	t.Add("engine", …)    started first, stopped last
//	t.Add("registry", …)
//	t.Add("listener", …)  started last, stopped first
//
// Keys lists the keys of the log of all parts.
package run
