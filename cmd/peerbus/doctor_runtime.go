package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/peerbus/peerbus/client"
	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
	"github.com/peerbus/peerbus/internal/run"
	"github.com/peerbus/peerbus/services/nodestub"
)

// runtimeThere is the runtime that is checked, as far as it answers.
type runtimeThere struct {
	*doctorSettings
	runtime *pb.GetRuntimeResponse // nil: the registry does not answer
}

func (s *runtimeThere) registry(ctx context.Context) []finding {
	err := s.withRegistry(ctx, func(ctx context.Context, r pb.RegistryClient) (err error) {
		s.runtime, err = r.GetRuntime(ctx, &pb.GetRuntimeRequest{})
		return err
	})
	if err != nil {
		s.runtime = nil
		return []finding{judgeReached("registry", "", s.isHere(ctx, s.registryAddr), err)}
	}
	found := []finding{judgeReached("registry", s.runtime.RuntimeUrl+" answers at "+s.registryAddr, true, nil)}
	found = append(found, judgeNATS(natsOf(s.runtime))...)
	return append(found, judgeComponents(s.runtime), judgeSession(s.runtime))
}

// bus attaches, as an application does.
func (s *runtimeThere) bus(ctx context.Context) []finding {
	url, err := s.attachOnce(ctx)
	f := judgeReached("bus", url+" answers at "+s.busAddr, s.isHere(ctx, s.busAddr), err)
	if err == nil && s.runtime != nil && s.runtime.RuntimeUrl != url {
		f = finding{"bus", isFail, "the bus is of " + url + ", the registry of " + s.runtime.RuntimeUrl, "see --bus-addr and --registry-addr"}
	}
	return []finding{f}
}

func (s *runtimeThere) attachOnce(ctx context.Context) (url string, err error) {
	conn, err := rpc.Dial(s.busAddr, s.security, rpc.Spread())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	bus, err := client.New(client.Config{Conn: conn, Name: "doctor", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	ctx, over := context.WithTimeout(ctx, s.timeout)
	defer over()
	err = run.All(ctx, bus.Run, func(ctx context.Context) error {
		url, _ = bus.Ready(ctx) // empty where ctx is over
		over()
		return nil
	})
	if err == nil && url == "" {
		err = fault.New(fault.Unavailable, "nothing answers at %s", s.busAddr)
	}
	return url, err
}

// node reaches for the Message Node as the runtime does.
func (s *runtimeThere) node(ctx context.Context) []finding {
	endpoint := sessionOf(s.runtime).GetEndpoint()
	if endpoint == "" {
		return nil // session has said what is wrong
	}
	u, at, err := parseEndpoint(endpoint)
	if err != nil {
		return []finding{judgeEndpoint(endpoint, false, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cfg, err := s.security.ClientTLS()
	switch {
	case err != nil:
		return []finding{judgeEndpoint(endpoint, true, err)}
	case u.Scheme == "wss" && cfg == nil:
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	case u.Scheme == "ws", u.Scheme == "unix":
		cfg = nil
	}
	if cfg != nil {
		cfg = cfg.Clone()
		cfg.ServerName = u.Hostname()
	}
	return []finding{judgeEndpoint(endpoint, cfg != nil, reach(ctx, at, cfg))}
}

// hostPort is where a URL leads.
func hostPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "wss":
		return net.JoinHostPort(u.Hostname(), "443")
	default:
		return net.JoinHostPort(u.Hostname(), "80")
	}
}

// reach connects, with TLS where cfg is not nil, and leaves again.
func reach(ctx context.Context, addr string, cfg *tls.Config) error {
	if cfg == nil {
		conn, err := rpc.DialAddr(ctx, addr)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"h2", "http/1.1"}
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close() // the other side may be first
	}
	return err
}

// nodeURL is where the Message Node serves HTTP: as it was given, or as its endpoint
// tells. guessed is a default address, where something else may be.
func (s *runtimeThere) nodeURL() (base string, guessed bool) {
	if s.nodeHTTP != "" {
		return givenURL(s.nodeHTTP, s.security.CAFile != ""), false
	}
	u, _, err := parseEndpoint(sessionOf(s.runtime).GetEndpoint())
	if err != nil {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	switch here := u.Scheme == "unix" || ip != nil && ip.IsLoopback(); {
	case u.Scheme == "ws":
		return "http://" + u.Host, false
	case u.Scheme == "wss":
		return "https://" + u.Host, false
	case here && s.security.CAFile != "":
		return "https://" + defaultNodeHTTPAddr, true
	case here:
		return "http://" + defaultNodeHTTPAddr, true
	}
	return "", false
}

// givenURL takes a URL, or HOST:PORT, of which security says whether it has TLS.
func givenURL(given string, secure bool) string {
	switch {
	case strings.Contains(given, "://"):
	case secure:
		given = "https://" + given
	default:
		given = "http://" + given
	}
	return strings.TrimSuffix(given, "/")
}

// clock compares ours with the Message Node's, asks whether it is ready, and reads its
// descriptor.
func (s *runtimeThere) clock(ctx context.Context) []finding {
	base, guessed := s.nodeURL()
	if base == "" {
		return []finding{{"clock", isSkip, "there is nothing to compare it with", "give --node-http"}, s.nodeReady(ctx, "")}
	}
	asked := time.Now()
	_, date, err := s.get(ctx, base+"/healthz")
	answered := time.Now()
	other, parseErr := http.ParseTime(date)
	switch {
	case err != nil && guessed:
		return []finding{{"clock", isSkip, "the Message Node does not serve HTTP at " + base, "give --node-http"}, s.nodeReady(ctx, "")}
	case err != nil:
		return []finding{{"clock", isFail, base + "/healthz: " + err.Error(), "see whether the Message Node runs, and --node-http"}, s.nodeReady(ctx, "")}
	case parseErr != nil:
		return []finding{{"clock", isSkip, base + "/healthz says no time", "is --node-http that of a Message Node?"}, s.nodeReady(ctx, "")}
	}
	found := []finding{judgeClock(other, asked, answered), s.nodeReady(ctx, base)}
	if s.runtime != nil {
		found = append(found, s.descriptor(ctx, base))
	}
	return found
}

func (s *runtimeThere) descriptor(ctx context.Context, base string) finding {
	where := base + nodestub.DescriptorPath
	body, _, err := s.get(ctx, where)
	var d struct {
		Configuration struct {
			Domain string `json:"domain"`
		} `json:"configuration"`
	}
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	return judgeDescriptor(where, s.runtime.Domain, d.Configuration.Domain, err)
}

// dialer connects as a transport does.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// overSocket gives the URL of a page, and how it is reached where --node-http is a unix
// socket; else as it is, and nil.
func (s *runtimeThere) overSocket(where string) (url string, dial dialer) {
	page, ours := strings.CutPrefix(where, s.nodeHTTP)
	if !ours || !strings.HasPrefix(s.nodeHTTP, rpc.UnixScheme) {
		return where, nil
	}
	return "http://localhost" + page, func(ctx context.Context, _, _ string) (net.Conn, error) {
		return rpc.DialAddr(ctx, s.nodeHTTP)
	}
}

// maxPage bounds what is read of an answer, in bytes.
const maxPage = 64 << 10

func (s *runtimeThere) get(ctx context.Context, where string) (body []byte, date string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	cfg, err := s.security.ClientTLS()
	if err != nil {
		return nil, "", err
	}
	url, dial := s.overSocket(where)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DialContext: dial, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err == nil && resp.StatusCode != http.StatusOK {
		why, _, _ := strings.Cut(string(body), "\n")
		why = printable(why)
		return nil, "", fault.New(fault.Unavailable, "it answers %s: %s", resp.Status, why)
	}
	return body, resp.Header.Get("Date"), err
}
