// Package worker runs parts of this program as processes of their own, and calls them. It
// imports the standard library alone, as it is in a program whose memory is measured.
//
//	bench ── bench worker ROLE CONFIG
//	  │  stdin   {"id":1,"do":"send","args":{…}}      a call
//	  │  stdout  {"id":0}                             it is ready, or "error" says why not
//	  │          {"id":1,"result":{…}} or "error"     what became of the call
//	  └  stderr  goes to that of this process
//
// A line is one call or one answer, in JSON. Calls may be under way side by side, and
// are answered as they end. A worker ends when its standard input does, and so never
// outlives who has started it.
package worker
