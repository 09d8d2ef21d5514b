package datasync

import (
	"encoding/json"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// Object is a data object as it travels.
type Object struct {
	URL          string         `json:"url"`
	Name         string         `json:"name"`
	Schema       string         `json:"schema"`
	Reporter     string         `json:"reporter"`
	Runtime      string         `json:"runtime"`
	Created      string         `json:"created"`
	LastModified string         `json:"lastModified"`
	Status       string         `json:"status"`
	Resources    []string       `json:"resources"`
	Version      int            `json:"version"`
	Data         map[string]any `json:"data"`
}

// CreatedAt is when the object was made; zero when it does not say.
func (o Object) CreatedAt() time.Time { return parseTime(o.Created) }

// formatTime keeps the nanoseconds, so that two objects of one process always
// differ.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// tree is a value as JSON sees it: maps, lists, numbers, texts.
func tree(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "value is no JSON: %w", err)
	}
	var out any
	err = json.Unmarshal(raw, &out)
	return out, err
}

// treeOf is the tree of a struct or map.
func treeOf(v any) (map[string]any, error) {
	t, err := tree(v)
	if err != nil {
		return nil, err
	}
	m, ok := t.(map[string]any)
	if !ok {
		return nil, fault.New(fault.BadRequest, "data is not a JSON object")
	}
	return m, nil
}

// snapshot reads an object as a peer sent it. What is missing or of another
// type is left empty: only the data and the version matter to an observer.
func snapshot(raw json.RawMessage) (o Object, hasVersion bool, err error) {
	if len(raw) > maxData {
		return o, false, fault.New(fault.TooLarge, "data object has %d bytes, more than %d", len(raw), maxData)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return o, false, fault.New(fault.BadRequest, "value is no data object")
	}
	for name, to := range map[string]any{
		"url": &o.URL, "name": &o.Name, "schema": &o.Schema, "reporter": &o.Reporter, "runtime": &o.Runtime,
		"created": &o.Created, "lastModified": &o.LastModified, "status": &o.Status, "resources": &o.Resources,
		"data": &o.Data,
	} {
		if text, ok := fields[name]; ok {
			_ = json.Unmarshal(text, to) // of another type: stays empty
		}
	}
	var version message.Whole
	if hasVersion = json.Unmarshal(fields["version"], &version) == nil && version >= 0; hasVersion {
		o.Version = int(version)
	}
	if o.Data == nil {
		o.Data = map[string]any{}
	}
	return o, hasVersion, nil
}
