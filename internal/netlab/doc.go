// Package netlab makes networks on this machine that are slow, lossy or cut: network
// namespaces, and a link between two of them that passes packets on late, or not at all.
// Linux and root, and the programs ip and nft.
//
//	namespace ── tun device ── Link ── tun device ── namespace
//
// Namespaces carry the id of the process that made them in their names; Sweep removes
// those of processes that are gone.
package netlab
