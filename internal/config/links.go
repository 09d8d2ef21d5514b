package config

import "regexp"

// Kubernetes shows a pod each Service of its namespace in the environment, unless it is
// told not to: one with the name peerbus-udp is PEERBUS_UDP_SERVICE_HOST and
// PEERBUS_UDP_PORT=tcp://10.96.0.7:3478, of which the second is the name of a setting.

const advice = "; is it of a Service of Kubernetes? Then the pod needs enableServiceLinks: false"

// linkName is what the names of such variables end in, where they are no settings.
var linkName = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// linkValue is what their values are, where they are.
var linkValue = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// ofService says of a name that is no setting where it may be from; empty when that is
// not known.
func ofService(name string) string {
	if linkName.MatchString(name) {
		return advice
	}
	return ""
}

// Hint says of a value that makes no sense where it may be from; empty when that is not
// known.
func Hint(value string) string {
	if linkValue.MatchString(value) {
		return advice
	}
	return ""
}
