package rtc

import (
	"testing"

	"github.com/pion/webrtc/v3"
)

// WebRTC takes what is usable.
func TestUsableServers(t *testing.T) {
	for _, s := range []struct {
		server ICEServer
		usable bool
	}{
		{ICEServer{URL: "stun:h"}, true},
		{ICEServer{URL: "stuns:h:1"}, true},
		{ICEServer{URL: "stun:[::1]:1"}, true},
		{ICEServer{URL: "turn:h:1", User: "u", Secret: "s"}, true},
		{ICEServer{URL: "turns:h:1?transport=tcp", User: "u", Secret: "s"}, true},
		{ICEServer{URL: "turn:h:1"}, false},
		{ICEServer{URL: "turns:h:1", User: "u"}, false},
		{ICEServer{URL: "turn:h:1", Secret: "s"}, false},
		{ICEServer{URL: "turn:h:1?transport=pigeon", User: "u", Secret: "s"}, false},
		{ICEServer{URL: "stun:h:port"}, false},
		{ICEServer{URL: "stun:"}, false},
		{ICEServer{URL: "h:1"}, false},
		{ICEServer{}, false},
	} {
		c, err := webrtc.NewPeerConnection(webrtc.Configuration{ICEServers: iceServers([]ICEServer{s.server})})
		if err == nil {
			_ = c.Close()
		}
		if s.server.Usable() != s.usable || s.usable && err != nil {
			t.Errorf("%+v: usable %v, want %v; WebRTC says %v", s.server, s.server.Usable(), s.usable, err)
		}
	}
}
