// Package web has what a browser gets from a gateway.
package web

import _ "embed"

// Module is the browser's client, an ES module.
//
//go:embed peerbus.js
var Module []byte
