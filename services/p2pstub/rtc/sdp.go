package rtc

import (
	"net/netip"
	"strconv"
	"strings"
)

// Limits of a message on a data channel, in bytes: what holds where the other
// side states none (RFC 8841, section 6.1), and what pion sends at most.
const (
	defaultMaxMessage = 64 << 10
	largestMessage    = 64 << 10
)

// firstCandidates gives a description with no more than so many candidates, and
// how many it has then. pion writes each for two components, of which a data
// channel has one.
func firstCandidates(sdp string, most int) (string, int) {
	var out strings.Builder
	n := 0
	for line := range strings.Lines(sdp) {
		if strings.HasPrefix(line, "a=candidate:") {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[1] != "1" || n >= most {
				continue
			}
			n++
		}
		out.WriteString(line)
	}
	return out.String(), n
}

// addressesIn gives the UDP addresses of the candidates in a description. A name of
// multicast DNS is none.
func addressesIn(sdp string) (all []netip.AddrPort) {
	for line := range strings.Lines(sdp) {
		fields := strings.Fields(line) // a=candidate:FOUNDATION COMPONENT PROTOCOL PRIORITY ADDRESS PORT …
		if !strings.HasPrefix(line, "a=candidate:") || len(fields) < 6 || !strings.EqualFold(fields[2], "udp") {
			continue
		}
		ip, err := netip.ParseAddr(fields[4])
		port, portErr := strconv.ParseUint(fields[5], 10, 16)
		if err == nil && portErr == nil {
			all = append(all, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
		}
	}
	return all
}

// maxMessageIn reads how long a message the sender of a description takes.
func maxMessageIn(sdp string) int {
	_, rest, ok := strings.Cut(sdp, "\na=max-message-size:")
	if !ok {
		return defaultMaxMessage
	}
	digits, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || n <= 0 || n > largestMessage { // 0: any length
		return largestMessage
	}
	return n
}
