// Package sample makes the runtimes of a domain as real ones look to a Message
// Node: the addresses that they hold, and their entries in the domain registry.
package sample

import (
	"fmt"

	"github.com/google/uuid"
)

// Domain of all samples.
const Domain = "example.org"

// Pool is how many addresses a p2pstub allocates ahead (p2pstub.Limits.Pool).
const Pool = 2

// URL of a runtime.
func URL(runtime int) string { return fmt.Sprintf("hyperty-runtime://%s/r%07d", Domain, runtime) }

// id is a uuid that is the same each time.
func id(of string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(of)).String() }

// Handler is a runtime's p2p handler.
func Handler(runtime int) string {
	url := URL(runtime)
	return url + "/p2phandler/" + id(url)
}

// Subscribed are the addresses that a runtime subscribes at its start.
func Subscribed(runtime int) []string {
	url := URL(runtime)
	return []string{url + "/sm", Handler(runtime), url + "/registry", url + "/bus"}
}

// Allocated are the addresses that it allocates ahead.
func Allocated(runtime, number int) []string {
	list := make([]string, number)
	for i := range list {
		list[i] = fmt.Sprintf("connection://%s/%s", Domain, id(fmt.Sprintf("%d/%d", runtime, i)))
	}
	return list
}

// Connected are the addresses that each end of a peer connection holds besides.
func Connected(runtime, connection int) []string {
	own := "connection://" + Domain + "/" + id(fmt.Sprintf("%d/%d", runtime, connection))
	other := "connection://" + Domain + "/" + id(fmt.Sprintf("%d/%d/other", runtime, connection))
	return []string{own, own + "/subscription", other + "/changes", other + "/children/"}
}

// Hyperty is the address of one of its hyperties.
func Hyperty(runtime, number int) string {
	return fmt.Sprintf("hyperty://%s/%s", Domain, id(fmt.Sprintf("%d/h%d", runtime, number)))
}

// Token is one as the node draws them.
func Token(runtime int) string { return fmt.Sprintf("TOKEN%021d", runtime) }

// Entry is what a runtime registers of a hyperty.
func Entry(runtime, number int) []byte {
	return fmt.Appendf(nil, `{"dataSchemes":["comm"],"expires":3600,"flow":["peerbus.v1"],"p2pHandler":%q,`+
		`"resources":["chat"],"runtime":%q,"status":"live","url":%q,"user":"user://%s/u%07d"}`,
		Handler(runtime), URL(runtime), Hyperty(runtime, number), Domain, runtime)
}
