// Package openapi is the description of the REST interface.
package openapi

import _ "embed"

// JSON is OpenAPI 2.0.
//
//go:embed peerbus.swagger.json
var JSON []byte
