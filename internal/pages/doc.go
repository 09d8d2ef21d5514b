//go:build unix

// Package pages runs the documentation, so that it says what is so. Its tests read
// the Markdown as a newcomer does, from the top, and do what it says:
//
//	page.md ── Parse ──► blocks ── Run ──► a shell in a fresh copy of the repository
//	                                 ├───► further terminals
//	                                 └───► a tab of a browser
//
// What is done with a block stands in the info string of its fence:
//
//	```sh                    commands; each must succeed
//	```console               `$ ` and a command, and below it what it prints
//	```sh terminal=NAME      commands in a terminal of their own, which go on; a later
//	                         block of that terminal begins with Ctrl-C
//	```text terminal=NAME    what that terminal prints next, sooner or later
//	```js                    a script for the console of a browser, on a page of the
//	                         gateway at 127.0.0.1:7490; it prints to terminal=browser
//	```text terminal=browser page=URL
//	                         the browser opens that page, which prints this next
//	```go from=FILE          an excerpt: its lines stand in FILE, in this order
//	```mermaid               a diagram, whose syntax is looked at
//	```text, ```json, ```    shown alone
//
// In what is printed, … stands for anything in a line, and alone for any lines. White
// space counts as one space, blank lines not at all. A command of a console block may
// fail when the next one is `echo $?`.
//
// A page has a shell, a home and a copy of the repository with bin/peerbus of its own.
// What it leaves running in the background ends with it. Pages use the default ports,
// so they run one after another.
package pages
