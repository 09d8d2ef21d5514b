package olderpeer

import (
	"errors"
	"fmt"
	"time"
)

const (
	inboxSize      = 8192             // messages that wait for the reader of Messages
	attempts       = 3                // how often a request is sent before its 408 or 500 counts
	repeatAfter    = 15 * time.Second // what an older bus waits for a response
	redialAfter    = 50 * time.Millisecond
	closingTime    = 2 * time.Second // what a Message Node has to close its socket
	maxFrame       = 8 << 20         // bytes of a WebSocket frame
	maxDataSize    = 64 << 20        // bytes of one binary content
	leaseSeconds   = 3600            // expires of a registration
	openTransfers  = 64              // binary contents on their way at once, per channel
	requestBacklog = 1               // responses kept for one request; more are repeats
)

// Config says who the peer is and in which way it is old: peers in the field
// differ, and each zero value is what most of them do.
type Config struct {
	RuntimeURL string            // such as hyperty-runtime://a.example/1; required
	Nodes      map[string]string // domain to WebSocket URL (ws://host:port/ws); the own domain is required

	// EmptyInvitation sends invitations without data. Otherwise they have data
	// without a connectionDescription.
	EmptyInvitation bool

	// DescriptionInUpdates answers a subscription before the description exists, and
	// sends that as two updates, connectionDescription.sdp and
	// connectionDescription.type. Otherwise the answer has it.
	DescriptionInUpdates bool

	// RequesterBelowRuntime gives requester stubs addresses below the own runtime
	// URL. Otherwise they are runtime://<domain of the remote runtime>/p2prequester/<id>.
	RequesterBelowRuntime bool

	// PacketIDLength is the length of a uuid on the data channel, in characters. Zero
	// draws 8 to 13 anew for each message. Only with 12 does another older peer
	// understand binary content.
	PacketIDLength int

	// NoCandidates makes a peer that nobody can reach: it gathers no candidate.
	NoCandidates bool

	// RepeatAfter is what a request waits before it is repeated; zero is 15 seconds.
	RepeatAfter time.Duration
}

func (c Config) check() error {
	if c.RuntimeURL == "" {
		return errors.New("olderpeer: Config.RuntimeURL is missing")
	}
	home := domainOf(c.RuntimeURL)
	if c.Nodes[home] == "" {
		return fmt.Errorf("olderpeer: Config.Nodes has no Message Node for the own domain %q", home)
	}
	if c.PacketIDLength < 0 {
		return fmt.Errorf("olderpeer: Config.PacketIDLength is %d", c.PacketIDLength)
	}
	return nil
}
