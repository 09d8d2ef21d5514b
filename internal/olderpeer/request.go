package olderpeer

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

// sendFunc is a way out: a session or a data channel.
type sendFunc func(context.Context, Message) error

// request sends m and waits for the final response. When none comes in time, or one
// with 408 or 500, it sends m again with the same id, as older buses do (section 3),
// and in the end returns that answer, a 408 of its own included.
func (p *Peer) request(ctx context.Context, m Message, send sendFunc) (Message, error) {
	if len(m.ID) == 0 {
		m.ID = p.number()
	}
	answers := p.expect(m)
	defer p.forget(m)
	last := m.Response(408, Body{"desc": "no response"})
	for range attempts {
		if err := send(ctx, m); err != nil {
			return Message{}, err
		}
		answer, final, err := p.await(ctx, answers)
		if err != nil || final {
			return answer, err
		}
		if answer.Type != "" {
			last = answer
		}
	}
	return last, nil
}

// await waits for a response until it is time to send the request again.
func (p *Peer) await(ctx context.Context, answers <-chan Message) (answer Message, final bool, err error) {
	timer := time.NewTimer(p.config.RepeatAfter)
	defer timer.Stop()
	for {
		select {
		case answer = <-answers:
			if code := answer.Code(); code != 408 && code != 500 {
				return answer, true, nil
			}
		case <-timer.C:
			return answer, false, nil
		case <-ctx.Done():
			return Message{}, false, ctx.Err()
		case <-p.ctx.Done():
			return Message{}, false, errClosed
		}
	}
}

func (p *Peer) number() json.RawMessage {
	return json.RawMessage(strconv.FormatInt(p.numbers.Add(1), 10))
}

func pendingKey(requester string, id json.RawMessage) string {
	return requester + " " + string(id)
}

func (p *Peer) expect(request Message) <-chan Message {
	answers := make(chan Message, requestBacklog)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending[pendingKey(request.From, request.ID)] = answers
	return answers
}

func (p *Peer) forget(request Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, pendingKey(request.From, request.ID))
}

// answered hands a response to the request that waits for it and reports whether
// one does. A provisional one is taken and means nothing.
func (p *Peer) answered(m Message) bool {
	p.mu.Lock()
	answers, ok := p.pending[pendingKey(m.To, m.ID)]
	p.mu.Unlock()
	if !ok || m.Code() < 200 {
		return ok
	}
	select {
	case answers <- m:
	default: // a repeat of what was answered already
	}
	return true
}
