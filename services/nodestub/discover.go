package nodestub

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// DescriptorPath is where a domain tells how to reach its Message Node.
const DescriptorPath = "/.well-known/protostub/default"

// endpoint is one way to reach a Message Node: one of grpc and websocket is set.
type endpoint struct {
	grpc      string // a target such as host:port or unix:///path
	at        string // where the target is connected to, when its host has several addresses
	websocket string // a URL with the scheme ws or wss
}

func (e endpoint) String() string {
	switch {
	case e.websocket != "":
		return e.websocket
	case e.at != "":
		return "grpc://" + e.grpc + " at " + e.at
	case strings.HasPrefix(e.grpc, rpc.UnixScheme):
		return e.grpc
	}
	return "grpc://" + e.grpc
}

// kind is the preference of an endpoint's transport.
func (e endpoint) kind() int {
	if e.grpc != "" {
		return 0
	}
	return 1
}

// host of the endpoint, with its port.
func (e endpoint) host() string {
	if e.grpc != "" {
		return e.grpc
	}
	u, err := url.Parse(e.websocket)
	if err != nil {
		return ""
	}
	return u.Host
}

// finder knows where the Message Nodes of domains are: at the address given
// for a domain, else where the domain's descriptor says. The descriptor is read
// over https. Plain http and an endpoint without TLS are for loopback, or for
// allowPlain, since whoever changes them on the way gets all messages.
type finder struct {
	nodes      map[string][]string
	lookUp     func(ctx context.Context, host string) ([]netip.Addr, error)
	client     *http.Client
	allowPlain bool
	secureGRPC bool // gRPC connections have TLS
	timeout    time.Duration
	maxBytes   int
	most       int // endpoints
}

func newFinder(cfg Config, secureGRPC bool) *finder {
	client := *cfg.HTTPClient
	client.CheckRedirect = keepScheme
	return &finder{
		nodes: cfg.Nodes, lookUp: cfg.LookUp, client: &client, allowPlain: cfg.AllowPlain, secureGRPC: secureGRPC,
		timeout: cfg.Limits.ConnectTimeout, maxBytes: cfg.Limits.Descriptor, most: cfg.Limits.Endpoints,
	}
}

// keepScheme follows a few redirects, none of which leaves https.
func keepScheme(req *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("more than 3 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirect from https to " + req.URL.Scheme)
	}
	return nil
}

// find gives the endpoints of a domain's node: one for each replica that it knows. The
// error is NotFound when there is no such domain, or it says that it has no
// Message Node; Unavailable when that cannot be known now.
func (f *finder) find(ctx context.Context, domain string) ([]endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var endpoints []endpoint
	if targets, ok := f.nodes[domain]; ok {
		for _, t := range targets {
			endpoints = append(endpoints, endpoint{grpc: t})
		}
		return f.spread(ctx, endpoints), nil
	}
	endpoints, err := f.ask(ctx, domain)
	return f.spread(ctx, endpoints), err
}

// spread puts one endpoint for each address in the place of a gRPC endpoint whose host
// has several: behind such a name, as behind that of a headless Service, are replicas.
// A name that cannot be looked up stays; dialing it says why.
func (f *finder) spread(ctx context.Context, all []endpoint) []endpoint {
	var out []endpoint
	for _, e := range all {
		addrs := f.addresses(ctx, e)
		for _, at := range addrs {
			out = append(out, endpoint{grpc: e.grpc, at: at})
		}
		if len(addrs) == 0 {
			out = append(out, e)
		}
	}
	return f.bounded(out)
}

// bounded gives the first endpoints, and the last as well where that is the WebSocket:
// it is for when no gRPC gets through, however many replicas there are.
func (f *finder) bounded(all []endpoint) []endpoint {
	if len(all) <= f.most {
		return all
	}
	last := all[len(all)-1]
	all = all[:f.most]
	if last.websocket != "" {
		all[f.most-1] = last
	}
	return all
}

// addresses gives those of a gRPC endpoint's host, with the port; none when there
// are not several.
func (f *finder) addresses(ctx context.Context, e endpoint) []string {
	host, port, err := net.SplitHostPort(e.grpc)
	if err != nil {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	ips, err := f.lookUp(ctx, host)
	if err != nil || len(ips) < 2 {
		return nil
	}
	var out []string
	for _, ip := range ips {
		out = append(out, net.JoinHostPort(ip.Unmap().String(), port))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ask reads a domain's descriptor, wherever it may be.
func (f *finder) ask(ctx context.Context, domain string) ([]endpoint, error) {
	endpoints, err := f.read(ctx, "https", domain)
	if err != nil && f.plain(domain) {
		if plain, plainErr := f.read(ctx, "http", domain); plainErr == nil || fault.CodeOf(plainErr) == fault.NotFound {
			endpoints, err = plain, plainErr
		}
	}
	return endpoints, err
}

// plain tells whether a host, with or without a port, may be spoken to without
// TLS.
func (f *finder) plain(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if f.allowPlain || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// read gets one descriptor.
func (f *finder) read(ctx context.Context, scheme, domain string) ([]endpoint, error) {
	where := scheme + "://" + domain + DescriptorPath
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, fault.New(fault.NotFound, "%q is no domain: %w", domain, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Close = true // a domain is asked seldom; no connection stays behind
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, unreachable(domain, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(f.maxBytes)+1))
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return nil, fault.New(fault.NotFound, "%s has no Message Node: %s answered %s", domain, where, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fault.New(fault.Unavailable, "%s answered %s", where, resp.Status)
	case err != nil:
		return nil, fault.New(fault.Unavailable, "reading %s: %w", where, err)
	case len(body) > f.maxBytes:
		return nil, fault.New(fault.Unavailable, "%s is larger than %d bytes", where, f.maxBytes)
	}
	return f.endpoints(where, body)
}

func unreachable(domain string, err error) error {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fault.New(fault.NotFound, "there is no domain %s: nothing is found at its well-known descriptor (--node %s=HOST:PORT names its Message Node)", domain, domain)
	}
	return fault.New(fault.Unavailable, "the Message Node of %s cannot be looked up: %w", domain, err)
}

// endpoints gives those of a descriptor that may be used.
func (f *finder) endpoints(where string, body []byte) ([]endpoint, error) {
	all, err := parseDescriptor(body)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%s: %w", where, err)
	}
	var usable []endpoint
	for _, e := range all {
		if f.secure(e) || f.plain(e.host()) {
			usable = append(usable, e)
		}
	}
	if len(usable) == 0 {
		return nil, fault.New(fault.Unavailable, "%s has no endpoint with TLS", where)
	}
	return usable, nil
}

// secure tells whether a connection to an endpoint has TLS.
func (f *finder) secure(e endpoint) bool {
	return e.grpc != "" && f.secureGRPC || strings.HasPrefix(e.websocket, "wss:")
}

// configuration is the part of a descriptor that says where the node is.
type configuration struct {
	URL      string   `json:"url"`      // the WebSocket
	GRPC     string   `json:"grpc"`     // host:port of MessageNode.Connect
	Replicas []string `json:"replicas"` // more such
}

// parseDescriptor reads a descriptor: a JSON object with `configuration`, an
// object or, as older catalogues have it, its JSON text in a string.
func parseDescriptor(body []byte) ([]endpoint, error) {
	var d struct {
		Configuration json.RawMessage `json:"configuration"`
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, fault.New(fault.BadRequest, "descriptor is not a JSON object: %w", err)
	}
	raw := []byte(d.Configuration)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	var c configuration
	if len(raw) == 0 {
		return nil, fault.New(fault.BadRequest, "descriptor has no configuration")
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fault.New(fault.BadRequest, "descriptor: configuration: %w", err)
	}
	return c.endpoints()
}

// endpoints gives those that are well-formed; the error is about the last one
// when none is.
func (c configuration) endpoints() ([]endpoint, error) {
	var all []endpoint
	err := fault.New(fault.BadRequest, "descriptor: configuration has neither url nor grpc")
	for i, target := range append([]string{c.GRPC}, c.Replicas...) {
		if i == 0 && target == "" {
			continue
		}
		if host, port, e := net.SplitHostPort(target); e == nil && host != "" && port != "" {
			all = append(all, endpoint{grpc: target})
		} else {
			err = fault.New(fault.BadRequest, "descriptor: configuration: the gRPC endpoint %q is not host:port", target)
		}
	}
	if c.URL != "" {
		u, e := url.Parse(c.URL)
		if e == nil && u.Host != "" && (u.Scheme == "ws" || u.Scheme == "wss") {
			all = append(all, endpoint{websocket: u.String()}) // its scheme in lower case
		} else {
			err = fault.New(fault.BadRequest, "descriptor: configuration.url %q is no WebSocket URL", c.URL)
		}
	}
	if len(all) == 0 {
		return nil, err
	}
	return all, nil
}

// checkDomain takes a host name or IP address, with or without a port.
func checkDomain(domain string) error {
	u, err := url.Parse("https://" + domain)
	if err != nil || domain == "" || len(domain) > 255 || u.Host != domain || u.Hostname() == "" {
		return fault.New(fault.BadRequest, "%.260q is no domain; want a host name, with or without a port", domain)
	}
	return nil
}
