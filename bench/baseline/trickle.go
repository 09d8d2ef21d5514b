package baseline

import (
	"encoding/json"
	"net"
	"sync"

	"github.com/pion/webrtc/v3"
)

// lines writes signals. write may be called by several goroutines.
type lines struct {
	mu  sync.Mutex
	out *json.Encoder
}

func newLines(conn net.Conn) *lines { return &lines{out: json.NewEncoder(conn)} }

// write fails when the connection has ended, which who reads sees.
func (l *lines) write(s signalLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.out.Encode(s)
}

// trickling is a peer connection at pion's defaults. One goroutine uses it.
type trickling struct {
	pc    *webrtc.PeerConnection
	out   *lines
	early []webrtc.ICECandidateInit // came before the description
}

func newTrickling(out *lines) (*trickling, error) {
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			init := c.ToJSON()
			out.write(signalLine{Candidate: &init})
		}
	})
	return &trickling{pc: pc, out: out}, nil
}

// describe sends our description; what it is called with is what pion gives.
func (p *trickling) describe(d webrtc.SessionDescription, err error) error {
	if err != nil {
		return err
	}
	p.out.write(signalLine{Description: &d})
	return p.pc.SetLocalDescription(d)
}

// take takes what the other side says.
func (p *trickling) take(l signalLine) error {
	switch {
	case l.Description != nil:
		return p.described(*l.Description)
	case l.Candidate == nil:
		return nil
	case p.pc.RemoteDescription() == nil:
		p.early = append(p.early, *l.Candidate)
		return nil
	default:
		return p.pc.AddICECandidate(*l.Candidate)
	}
}

func (p *trickling) described(d webrtc.SessionDescription) error {
	if err := p.pc.SetRemoteDescription(d); err != nil {
		return err
	}
	for _, c := range p.early {
		if err := p.pc.AddICECandidate(c); err != nil {
			return err
		}
	}
	if d.Type == webrtc.SDPTypeOffer {
		return p.describe(p.pc.CreateAnswer(nil))
	}
	return nil
}

// answerAll answers whoever connects.
func answerAll(lis net.Listener) {
	for {
		conn, err := lis.Accept()
		if err != nil {
			return
		}
		go answerOne(conn)
	}
}

// answerOne answers one offer after the other. What goes wrong ends it, and the other
// side hears of that.
func answerOne(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	out := newLines(conn)
	var p *trickling
	for d := json.NewDecoder(conn); ; {
		var l signalLine
		if d.Decode(&l) != nil {
			return
		}
		var err error
		switch {
		case l.Echo:
			out.write(l)
			continue
		case l.Over && p != nil:
			_ = p.pc.Close()
			p = nil
			continue
		case p == nil && l.Description != nil:
			p, err = newTrickling(out)
		}
		if err == nil && p != nil {
			err = p.take(l)
		}
		if err != nil {
			return
		}
	}
}
