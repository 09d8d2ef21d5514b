package msgnode

import (
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
)

// query is what the `resource` of a read asks for (wire contract, section 6).
//
//	<url>, /<scheme>/<url>, /<scheme>/url/<url>   one entry
//	/<scheme>/user/<userURL>                      all of a user
//	/<scheme>/guid/<guid>                         all of a guid
//	/<scheme>/idp-identifier/<user>               all of a user, known by the provider's name
//	/<scheme>                                     all of a scheme
//	<userURL>                                     all of a user
type query struct {
	url    string // one entry; with no scheme it may be a user's URL as well
	scheme string // of the entries; empty: any
	by     field  // what value is compared with
	value  string
}

// field is one by which entries are found.
type field string

const (
	byScheme     field = "scheme"
	byUser       field = "user"
	byGUID       field = "guid"
	byIdentifier field = "idp-identifier"
	byName       field = "name"
)

// schemeDataObject stands for every scheme but hyperty: older peers search
// data objects so.
const schemeDataObject = "dataObject"

// parseQuery reads a resource.
func parseQuery(resource string) (query, error) {
	switch {
	case resource == "":
		return query{}, fault.New(fault.BadRequest, "resource is missing")
	case len(resource) > 2*address.MaxLength:
		return query{}, fault.New(fault.BadRequest, "resource is longer than %d bytes", 2*address.MaxLength)
	case resource[0] != '/':
		return query{url: resource, by: byUser, value: resource}, nil
	}
	scheme, rest, _ := strings.Cut(resource[1:], "/")
	if scheme == "" {
		return query{}, fault.New(fault.BadRequest, "resource %.80q names no scheme", resource)
	}
	if rest == "" {
		return query{scheme: scheme, by: byScheme, value: scheme}, nil
	}
	kind, value, _ := strings.Cut(rest, "/")
	switch field(kind) {
	case byUser, byGUID, byIdentifier:
		if value == "" {
			return query{}, fault.New(fault.BadRequest, "resource %.80q names no %s", resource, kind)
		}
		return query{scheme: scheme, by: field(kind), value: value}, nil
	}
	if kind == "url" && value != "" {
		rest = value
	}
	return query{scheme: scheme, url: rest}, nil
}

// entryURL is the one entry that the `resource` of a write names.
func entryURL(resource string) (string, error) {
	q, err := parseQuery(resource)
	if err == nil && q.url == "" {
		err = fault.New(fault.BadRequest, "resource %.80q is not one entry", resource)
	}
	return q.url, err
}

// criteria narrow a search down: an entry matches when it has one of each list
// that is not empty.
type criteria struct {
	Resources   textList `json:"resources"`
	DataSchemes textList `json:"dataSchemes"`
}
