package registry

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/protocol/status"
)

// path is the way that messages to a remote runtime take, why, and since when.
type path struct {
	Way    pb.Path   `json:"way"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

const (
	direct = pb.Path_PATH_DIRECT
	relay  = pb.Path_PATH_RELAY
	both   = pb.Path_PATH_BOTH
)

// setPath notes the path of an entry after an event.
func (c *connection) setPath(at time.Time, wants Wanted) {
	if !c.exists() {
		return
	}
	way, reason := c.way(wants)
	if way != c.Path.Way {
		c.Path.Since = at
	}
	c.Path.Way, c.Path.Reason = way, reason
}

// way decides which path messages take. It says the same as resolution, in the
// words of whoever asks why.
func (c *connection) way(wants Wanted) (pb.Path, string) {
	switch {
	case c.usable() && c.news.doubt:
		return both, "heartbeats are missing"
	case c.usable():
		return direct, "live"
	case c.Phase == unconfirmed:
		return relay, "the P2P stub has not said whether it is still live"
	case c.Phase == registering:
		return relay, "its address is being registered"
	case c.Phase == settingUp:
		return relay, "setting up"
	case c.Reason != "" && (wants != Never || c.State == status.Disconnected):
		return relay, c.Reason
	case wants == Never:
		return relay, "no connection wanted"
	default:
		return relay, "there is no connection"
	}
}

// pathName is the path in metrics and logs.
func pathName(p pb.Path) string {
	switch p {
	case direct:
		return "direct"
	case both:
		return "both"
	default:
		return "relay"
	}
}
