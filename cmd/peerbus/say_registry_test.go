package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
)

// registering is a wish to register a hyperty or a data object.
type registering struct {
	kind, url, scheme, user, guid, descriptor, expires string
	dataSchemes, resources                             []string
}

func (r registering) grpc(ctx context.Context, d doors) error {
	reg := &pb.Registration{
		Url: r.url, Kind: parseKind(r.kind), Scheme: r.scheme, User: r.user, Guid: r.guid, DescriptorUrl: r.descriptor,
		DataSchemes: r.dataSchemes, Resources: r.resources,
	}
	if r.expires != "" {
		reg.Expires = protoDuration(r.expires)
	}
	_, err := d.registry.Register(ctx, &pb.RegisterRequest{Registration: reg})
	return err
}

func (r registering) rest(doors) (method, path, contentType, body string) {
	m := map[string]any{}
	for name, value := range map[string]string{
		"url": r.url, "scheme": r.scheme, "user": r.user, "guid": r.guid, "descriptor_url": r.descriptor, "expires": jsonDuration(r.expires),
	} {
		if value != "" {
			m[name] = value
		}
	}
	if r.dataSchemes != nil {
		m["data_schemes"] = r.dataSchemes
	}
	if r.resources != nil {
		m["resources"] = r.resources
	}
	path = "/v1/hyperties"
	switch r.kind {
	case "object":
		path = "/v1/dataobjects"
	case "hyperty":
	default:
		m["kind"] = 99
	}
	text, _ := json.Marshal(m)
	return "POST", path, "application/json", string(text)
}

// jsonDuration is a duration as protobuf writes it in JSON, or what is none.
func jsonDuration(text string) string {
	if d, err := time.ParseDuration(text); err == nil {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return text
}

func (r registering) cli(_ *testing.T, d doors) []string {
	args := []string{
		"hyperties", "add", "--registry-addr=" + d.runtime.RegistryAddr,
		"--kind=" + r.kind, "--scheme=" + r.scheme, "--user=" + r.user, "--guid=" + r.guid, "--descriptor=" + r.descriptor,
	}
	for _, s := range r.dataSchemes {
		args = append(args, "--data-scheme="+s)
	}
	for _, s := range r.resources {
		args = append(args, "--resources="+s)
	}
	if r.expires != "" {
		args = append(args, "--expires="+r.expires)
	}
	if r.url != "" {
		args = append(args, r.url)
	}
	return args
}

// asking is what takes one text alone: an address, or a connection.
type asking struct {
	text    string
	call    func(ctx context.Context, r pb.RegistryClient, text string) error
	method  string
	path    string
	name    string // of the parameter
	inBody  bool
	command []string
}

func (a asking) grpc(ctx context.Context, d doors) error { return a.call(ctx, d.registry, a.text) }

func (a asking) rest(doors) (method, path, contentType, body string) {
	if a.inBody {
		text, _ := json.Marshal(map[string]string{a.name: a.text})
		return a.method, a.path, "application/json", string(text)
	}
	return a.method, a.path + "?" + url.Values{a.name: {a.text}}.Encode(), "", ""
}

func (a asking) cli(_ *testing.T, d doors) []string {
	return append(append([]string{}, a.command...), a.text, "--registry-addr="+d.runtime.RegistryAddr)
}

func unregistering(url string) asking {
	return asking{
		text: url, method: "DELETE", path: "/v1/hyperties", name: "url", command: []string{"hyperties", "remove"},
		call: func(ctx context.Context, r pb.RegistryClient, url string) error {
			_, err := r.Unregister(ctx, &pb.UnregisterRequest{Url: url})
			return err
		},
	}
}

func connecting(address string) asking {
	return asking{
		text: address, method: "POST", path: "/v1/connections", name: "address", inBody: true,
		command: []string{"connections", "open"},
		call: func(ctx context.Context, r pb.RegistryClient, address string) error {
			_, err := r.Connect(ctx, &pb.ConnectRequest{Address: address})
			return err
		},
	}
}

func disconnecting(connection string) asking {
	return asking{
		text: connection, method: "DELETE", path: "/v1/connections", name: "connection", command: []string{"connections", "close"},
		call: func(ctx context.Context, r pb.RegistryClient, connection string) error {
			_, err := r.Disconnect(ctx, &pb.DisconnectRequest{Connection: connection})
			return err
		},
	}
}

func resolving(address string) asking {
	return asking{
		text: address, method: "GET", path: "/v1/resolve", name: "address", command: []string{"resolve"},
		call: func(ctx context.Context, r pb.RegistryClient, address string) error {
			_, err := r.Resolve(ctx, &pb.ResolveRequest{Address: address})
			return err
		},
	}
}
