package gateway

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/peerbus/peerbus/gen/openapi"
)

// ownPart describes what is not in api/http.yaml, and says of the rest what the
// protos cannot.
//
//go:embed openapi.json
var ownPart []byte

// description is an OpenAPI document, as far as it is put together here.
type description struct {
	Swagger     string                          `json:"swagger"`
	Info        any                             `json:"info"`
	Tags        any                             `json:"tags"`
	Consumes    []string                        `json:"consumes"`
	Produces    []string                        `json:"produces"`
	Paths       map[string]map[string]operation `json:"paths"` // by path and method
	Definitions map[string]map[string]any       `json:"definitions"`
}

type operation map[string]any

// describe is /openapi.json: what is generated from api/, with our own part over it,
// operation by operation and definition by definition, key by key.
func describe() ([]byte, error) {
	var doc, own description
	for text, into := range map[*[]byte]*description{&openapi.JSON: &doc, &ownPart: &own} {
		if err := json.Unmarshal(*text, into); err != nil {
			return nil, fmt.Errorf("openapi: %w", err)
		}
	}
	doc.Info, doc.Tags = own.Info, own.Tags
	for name, d := range own.Definitions {
		if doc.Definitions[name] == nil {
			doc.Definitions[name] = map[string]any{}
		}
		maps.Copy(doc.Definitions[name], d)
	}
	for path, operations := range own.Paths {
		if doc.Paths[path] == nil {
			doc.Paths[path] = map[string]operation{}
		}
		for method, o := range operations {
			if doc.Paths[path][method] == nil {
				doc.Paths[path][method] = operation{}
			}
			maps.Copy(doc.Paths[path][method], o)
		}
	}
	for _, operations := range doc.Paths {
		for _, o := range operations {
			addRefusal(o)
		}
	}
	return json.Marshal(doc)
}

// addRefusal says what an operation answers when it refuses.
func addRefusal(o operation) {
	responses, ok := o["responses"].(map[string]any)
	if !ok {
		return
	}
	responses["default"] = map[string]any{
		"description": "It is refused; `code` is the status.",
		"schema":      map[string]string{"$ref": "#/definitions/Error"},
	}
}
