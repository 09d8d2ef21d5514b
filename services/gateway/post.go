package gateway

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/message"
)

// postMessage is POST /v1/messages. The body is a message in JSON; or, with another
// media type, content that goes along with the message that the query describes.
func (g *Gateway) postMessage(w http.ResponseWriter, r *http.Request) {
	req, err := g.postRequest(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	// The bus ends first, so that its own word on a time-out is heard.
	ctx, cancel := context.WithTimeout(r.Context(), req.Timeout.AsDuration()+time.Second)
	defer cancel()
	select {
	case g.posts <- struct{}{}:
		defer func() { <-g.posts }()
	default:
		writeError(w, fault.New(fault.TooMany, "%d posts wait already, which is the bound", cap(g.posts)))
		return
	}
	resp, err := g.bus.Post(ctx, req)
	if err != nil {
		writeError(w, err)
		return
	}
	writePosted(w, req, resp)
}

// writePosted answers with the response, whose code is the status; or with what the
// request waited for.
func writePosted(w http.ResponseWriter, req *pb.PostRequest, resp *pb.PostResponse) {
	w.Header().Set("Content-Type", "application/json")
	if resp.Response == nil {
		_, _ = w.Write(append(outcome(req.Wait, req.Message.Id), '\n'))
		return
	}
	text, err := message.ApplicationJSON(resp.Response)
	if err != nil {
		writeError(w, err)
		return
	}
	if code, err := message.Result(resp.Response); err != nil && code >= fault.BadRequest && code < 600 {
		w.WriteHeader(int(code))
	}
	_, _ = w.Write(append(text, '\n'))
}

// outcome is what is known of a message without a response.
func outcome(wait pb.Wait, id string) []byte {
	text, _ := json.Marshal(struct {
		Accepted  bool            `json:"accepted"`
		Delivered bool            `json:"delivered,omitempty"`
		ID        json.RawMessage `json:"id"`
	}{true, wait == pb.Wait_WAIT_DELIVERED, json.RawMessage(id)})
	return text
}

// postRequest reads a request.
func (g *Gateway) postRequest(w http.ResponseWriter, r *http.Request) (*pb.PostRequest, error) {
	natural, kind, err := mediaType(r)
	if err != nil {
		return nil, err
	}
	names := []string{"wait", "timeout", "idempotency_key"}
	if !natural {
		names = append(names, "to", "from", "type", "id", "p2p")
	}
	q, err := query(r, names...)
	if err != nil {
		return nil, err
	}
	req, err := g.waiting(q.Get("wait"), q.Get("timeout"))
	if err != nil {
		return nil, err
	}
	if req.IdempotencyKey = q.Get("idempotency_key"); req.IdempotencyKey == "" {
		req.IdempotencyKey = r.Header.Get("Idempotency-Key")
	}
	body, err := g.readBody(w, r)
	switch {
	case fault.CodeOf(err) == fault.TooLarge && natural:
		return nil, message.TooLarge("body")
	case fault.CodeOf(err) == fault.TooLarge:
		return nil, message.TooLarge("resource")
	case err != nil:
		return nil, err
	}
	if natural {
		req.Message, err = readMessage(body)
	} else {
		req.Message, err = wrapContent(q, body, kind)
	}
	if err == nil {
		err = message.CheckText(req.Message)
	}
	if err == nil {
		err = message.CheckUTF8("Idempotency-Key", req.IdempotencyKey)
	}
	if err == nil {
		complete(req.Message, req.IdempotencyKey)
		trace(req.Message, r.Header)
	}
	return req, err
}

// mediaType tells a message from content. What curl says when it is told nothing is
// taken for a message.
func mediaType(r *http.Request) (natural bool, kind string, err error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return true, "", nil
	}
	kind, _, err = mime.ParseMediaType(header)
	if err != nil {
		return false, "", fault.New(fault.BadRequest, "Content-Type %q is no media type", header).In("Content-Type")
	}
	if err := message.CheckUTF8("Content-Type", header); err != nil {
		return false, "", err
	}
	return kind == "application/json" || kind == "application/x-www-form-urlencoded", header, nil
}

// query reads parameters, and refuses what is none.
func query(r *http.Request, names ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "query: %w", err).In("query")
	}
	for name, v := range q {
		if !slices.Contains(names, name) {
			return nil, fault.New(fault.BadRequest, "there is no parameter %s", name).In(name)
		}
		for _, value := range v {
			if err := message.CheckUTF8(name, value); err != nil {
				return nil, err
			}
		}
		if len(v) > 1 && name != "address" {
			return nil, fault.New(fault.BadRequest, "%s is given %d times", name, len(v)).In(name)
		}
	}
	return q, nil
}

// waiting is what a post waits for, and how long.
func (g *Gateway) waiting(wait, timeout string) (*pb.PostRequest, error) {
	w := pb.Wait_WAIT_ACCEPTED
	d := g.limits.Call
	var err error
	if wait != "" {
		if w, err = message.ParseWait(wait); err != nil {
			return nil, err
		}
	}
	if timeout != "" {
		if d, err = message.ParseTimeout(timeout); err != nil {
			return nil, err
		}
	}
	return &pb.PostRequest{Wait: w, Timeout: durationpb.New(d)}, nil
}

// fields of a message. What peerbus itself adds to one is not for those who post, but
// for the trace: an answer carries that of its request on.
var fields = []string{"id", "type", "from", "to", "body", "trace"}

// readMessage reads a message that may leave out `id` and `from`.
func readMessage(text []byte) (*pb.Message, error) {
	m, err := message.ParseDraft(text)
	if err != nil {
		return nil, err
	}
	var have map[string]json.RawMessage
	_ = json.Unmarshal(text, &have) // ParseDraft has read it
	for name := range have {
		if !slices.Contains(fields, name) {
			return nil, fault.New(fault.BadRequest, "a message has no field %s", name).In(name)
		}
	}
	message.TakeResource(m)
	return m, message.CheckSize(m)
}

// wrapContent makes a message around content.
func wrapContent(q url.Values, content []byte, kind string) (*pb.Message, error) {
	m := &pb.Message{
		Type: q.Get("type"), From: q.Get("from"), To: q.Get("to"),
		Resource: &pb.Resource{Content: content, MimeType: kind},
	}
	if m.Type == "" {
		m.Type = message.Create
	}
	if id := q.Get("id"); id != "" {
		m.Id = message.StringID(id)
	}
	switch p2p := q.Get("p2p"); p2p {
	case "true":
		m.P2P = true
	case "", "false":
	default:
		return nil, fault.New(fault.BadRequest, "p2p %q: want true or false", p2p).In("p2p")
	}
	return m, message.CheckSize(m)
}

// complete gives a message an id. What is posted again with the same key is the same
// message, so it has the same id.
func complete(m *pb.Message, key string) {
	switch {
	case m.Id != "":
	case key != "":
		m.Id = message.KeyedID(key)
	default:
		m.Id = message.StringID(uuid.NewString())
	}
}
