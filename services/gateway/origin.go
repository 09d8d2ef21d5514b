package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
)

// guard lets through the requests of no page, of the gateway's own pages, and of
// pages that are allowed; and answers what a browser asks before it sends one.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.checkHost(r); err != nil {
			writeError(w, err)
			return
		}
		w.Header().Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		allowed := g.allows(origin)
		if err := checkOrigin(r, origin, allowed); err != nil {
			writeError(w, err)
			return
		}
		if allowed {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", "Allow, Retry-After")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				preflight(w)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// preflightSeconds is how long a browser need not ask again.
const preflightSeconds = "600"

func preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Accept, Content-Type, Idempotency-Key, Last-Event-ID, Traceparent, Tracestate")
	h.Set("Access-Control-Max-Age", preflightSeconds)
	w.WriteHeader(http.StatusNoContent)
}

func (g *Gateway) allows(origin string) bool {
	return origin != "" && (slices.Contains(g.cfg.Origins, origin) || slices.Contains(g.cfg.Origins, "*"))
}

// checkOrigin refuses the pages of others. A browser sends Origin with all that
// could change something, and Sec-Fetch-Site with everything.
func checkOrigin(r *http.Request, origin string, allowed bool) error {
	if allowed {
		return nil
	}
	if origin != "" {
		if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
			return nil
		}
		return fault.New(fault.Forbidden, "pages of %s may not use this gateway: --cors-origin allows them", origin).In("Origin")
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "" || site == "same-origin" || site == "none" || isLink(r) {
		return nil
	}
	return fault.New(fault.Forbidden, "pages of other sites may not use this gateway: --cors-origin allows them").In("Origin")
}

// isLink tells whether somebody follows a link to the documentation, which nobody
// else's page can read or frame.
func isLink(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" &&
		(r.URL.Path == "/docs" || r.URL.Path == "/docs/")
}

// checkHost refuses a loopback listener's requests for a name that is none of its
// host: a page of that name has been made to lead here (DNS rebinding). The names of
// allowed origins are its own too, as a proxy of this host has them. What has no name
// (HTTP/1.0) is from no browser.
func (g *Gateway) checkHost(r *http.Request) error {
	if isOwnHost(r) || g.isAllowedHost(r.Host) {
		return nil
	}
	return fault.New(fault.Forbidden, "%.80q is no name of this host", r.Host).In("Host")
}

func isOwnHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || r.Host == "" {
		return true
	}
	addr, err := netip.ParseAddrPort(local.String())
	return err != nil || !addr.Addr().Unmap().IsLoopback() || isLoopback(r.Host)
}

// OwnHost protects a handler on loopback as the gateway does itself: from pages whose own
// host name has been made to lead here. What serves profiles or metrics is no business of
// theirs.
func OwnHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOwnHost(r) {
			writeError(w, fault.New(fault.Forbidden, "%.80q is no name of this host", r.Host).In("Host"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *Gateway) isAllowedHost(host string) bool {
	return slices.ContainsFunc(g.cfg.Origins, func(origin string) bool {
		_, own, _ := strings.Cut(origin, "://")
		return origin == "*" || strings.EqualFold(own, host)
	})
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
