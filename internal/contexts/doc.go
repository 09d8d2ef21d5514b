// Package contexts keeps the contexts of the command line: under a name each, the
// settings that the commands need to reach a runtime.
//
//	~/.config/peerbus/contexts.yaml
//
//	current: alice
//	contexts:
//	  alice:
//	    addr: 127.0.0.1:7401
//	  bob:
//	    bus-addr: bob.example:7402
//	    registry-addr: bob.example:7401
//	    tls-ca: /etc/peerbus/ca.pem
//
// A context has settings under the names of the flags, so a command takes those
// that it has, below all other places (package config). It names the files of
// keys; it never has a key itself. The file is its owner's alone (0600).
//
// A File is a value without a lock of its own. It is written whole beside the old
// one, which it then replaces, so that a reader sees the one or the other. Change holds
// a lock beside it (contexts.yaml.lock), so that of what several programs change at the
// same moment all stays; where there is no flock, the later one's change does.
//
// Bounds: 1 MiB for the file, 64 bytes for a name.
package contexts
