package gateway

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
)

// checkHandshake refuses what is no handshake in our words.
func checkHandshake(r *http.Request) error {
	switch h := r.Header; {
	case !r.ProtoAtLeast(1, 1) || !hasToken(h, "Connection", "upgrade") || !hasToken(h, "Upgrade", "websocket"):
		return fault.New(http.StatusUpgradeRequired, "/ws is for WebSocket: Connection: Upgrade and Upgrade: websocket are missing").In("Upgrade")
	case h.Get("Sec-WebSocket-Version") != "13":
		return fault.New(fault.BadRequest, "Sec-WebSocket-Version %.20q: want 13", h.Get("Sec-WebSocket-Version")).In("Sec-WebSocket-Version")
	}
	if key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key")); err != nil || len(key) != 16 {
		return fault.New(fault.BadRequest, "Sec-WebSocket-Key is not 16 bytes in base64").In("Sec-WebSocket-Key")
	}
	return nil
}

func hasToken(h http.Header, name, token string) bool {
	for t := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if strings.EqualFold(strings.TrimSpace(t), token) {
			return true
		}
	}
	return false
}

// hijacker remembers the connection below a WebSocket.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack is http.Hijacker's.
func (h *hijacker) Hijack() (conn net.Conn, rw *bufio.ReadWriter, err error) {
	conn, rw, err = http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}
