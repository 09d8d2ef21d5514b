package engine

import (
	"net/url"
	"slices"
	"strings"

	"github.com/peerbus/peerbus/internal/fault"
)

// CheckURL says what is wrong with the URLs of an existing NATS, several with commas
// between them: BadRequest, without the password or the token that one may have.
func CheckURL(urls string) error {
	all := splitURLs(urls)
	if len(all) == 0 && urls != "" {
		return fault.New(fault.BadRequest, "it names no server: want nats://HOST:PORT")
	}
	for _, text := range all {
		if !strings.Contains(text, "://") {
			text = "nats://" + text // as the client has it
		}
		u, err := url.Parse(text)
		if err != nil {
			return fault.New(fault.BadRequest, "one of them is not a URL: want nats://HOST:PORT")
		}
		if !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fault.New(fault.BadRequest, "%q: a NATS has no %s://: want nats://HOST:PORT, or tls, ws or wss", shown(u), u.Scheme)
		}
		if u.Hostname() == "" {
			return fault.New(fault.BadRequest, "%q names no host: want nats://HOST:PORT", shown(u))
		}
	}
	return nil
}

// splitURLs takes several apart.
func splitURLs(urls string) []string {
	var out []string
	for u := range strings.SplitSeq(urls, ",") {
		if u = strings.TrimSpace(u); u != "" {
			out = append(out, u)
		}
	}
	return out
}

// redacted gives URLs that CheckURL takes without their passwords and tokens.
func redacted(urls string) string {
	var out []string
	for _, text := range splitURLs(urls) {
		if strings.Contains(text, "@") && !strings.Contains(text, "://") {
			text = "nats://" + text
		}
		if u, err := url.Parse(text); err == nil {
			text = shown(u)
		}
		out = append(out, text)
	}
	return strings.Join(out, ",")
}

// shown is a URL without its secret: a user without a password is a token.
func shown(u *url.URL) string {
	if _, has := u.User.Password(); u.User != nil && !has {
		u.User = url.User("xxxxx")
	}
	return u.Redacted()
}
