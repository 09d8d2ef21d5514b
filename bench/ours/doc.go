// Package ours has peerbus as one side of a comparison: its processes as they ship
// (domain.go), and the programs of their users (end.go), which use package client as
// anybody does who counts and keeps nothing: handlers borrow their messages, unless a case
// says that they keep them.
//
//	sender ─► bus ─► receiver                                       Local
//	sender ─► bus ─► p2pstub ═ data channel ═ p2pstub ─► bus ─► receiver    Direct
//	sender ─► bus ─► nodestub ─► msgnode ─► nodestub ─► bus ─► receiver     Relayed
package ours
