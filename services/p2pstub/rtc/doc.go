// Package rtc makes WebRTC peer connections, each with one data channel. It is
// the one package that imports pion, and no type of pion leaves it, so that
// another major version of it is a change in this place (RFC 8445 ICE, RFC 8831
// data channels).
//
//	Engine ── one UDP socket (mux), one certificate, one pion API
//	  ├── Peer ── Offer / Answer, SetAnswer, AddCandidate ── Channel
//	  ├── Peer …
//
// An Engine is for a process. Its mux tells the connections that share the
// socket apart: a STUN request by the user name in it, a STUN response by its
// transaction, anything else by the remote address, where the newest connection
// wins whose check was answered from there. So a peer that has restarted behind
// the same address can connect again while its old connection still lingers, and
// a peer that names another's address as its own candidate takes nothing away.
//
// What pion reports comes as calls of Events, from goroutines of pion: they must
// not block and must not call back into the Peer.
//
// What is set, and why: acceptance waits of 0 and a DTLS retransmission of
// 100 ms, else a set-up takes a second more now and then; no DTLS hello
// verification, since ICE has checked the peer (a round trip less); with a peer
// that does so too, a path is used before ICE has nominated it (early.go; another); a
// check waits for its candidate (ahead.go; else 200 ms now and then); host
// candidates in the description, so that there is one message each way; 4 MiB
// of receive buffer on the socket, else bursts on a fast link overflow it and
// SCTP waits a second; detached channels read into a buffer that an idle one does not
// have (reader.go).
//
//	pion ── muxConn.WriteTo ──► outbox ── one call for many ──► socket
//	pion ◄── muxConn.ReadFrom ◄── mux ◄── inbox ◄── likewise ── socket
//
// On Linux the datagrams of a connection that follow each other closely are sent and read
// together (offload_linux.go). A datagram alone leaves at once, from pion's goroutine.
//
// Close waits until all of pion's goroutines of a Peer are over, within Config.Close:
// pion ends no request to a TURN server early. A Channel ends with its Peer, also
// where pion has forgotten it.
package rtc
