package registry

import (
	"time"

	pb "github.com/peerbus/peerbus/gen/peerbus/v1"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/protocol/address"
	"github.com/peerbus/peerbus/protocol/message"
)

// Bounds of what a registration says, which the domain registry keeps and tells to
// whoever looks it up.
const (
	// minExpires is the shortest keep-alive time that is taken: less is a load on the
	// domain registry and helps nobody. maxExpires is the longest: what is gone for
	// a month is not coming back.
	minExpires = 3 * time.Second
	maxExpires = 31 * 24 * time.Hour
	// maxList is how many data schemes, and how many resources, there may be, and
	// maxWord how many bytes each may have.
	maxList = 64
	maxWord = 256
)

// checkFields tells of the first field that is wrong by itself.
func checkFields(in *pb.Registration) error {
	for _, f := range []struct{ name, value string }{
		{"url", in.Url}, {"descriptor_url", in.DescriptorUrl}, {"user", in.User}, {"guid", in.Guid},
	} {
		if len(f.value) > address.MaxLength {
			return address.TooLong(f.name)
		}
	}
	if err := checkKind(in.Kind); err != nil {
		return err
	}
	if err := checkWords("scheme", in.Scheme); err != nil {
		return err
	}
	if err := checkList("data_schemes", in.DataSchemes); err != nil {
		return err
	}
	if err := checkList("resources", in.Resources); err != nil {
		return err
	}
	return checkExpires(in)
}

func checkKind(k pb.RegistrationKind) error {
	if _, known := pb.RegistrationKind_name[int32(k)]; !known {
		return fault.New(fault.BadRequest, "kind is neither hyperty nor data object").In("kind")
	}
	return nil
}

func checkList(field string, list []string) error {
	if len(list) > maxList {
		return fault.New(fault.BadRequest, "%s has %d elements, more than %d", field, len(list), maxList).In(field)
	}
	return checkWords(field, list...)
}

func checkWords(field string, words ...string) error {
	for _, w := range words {
		if len(w) > maxWord {
			return fault.New(fault.BadRequest, "%s has a text of more than %d bytes", field, maxWord).In(field)
		}
	}
	return nil
}

func checkExpires(in *pb.Registration) error {
	if in.Expires == nil {
		return nil
	}
	if !in.Expires.IsValid() {
		return message.NoDuration("expires")
	}
	if d := in.Expires.AsDuration(); d < minExpires || d > maxExpires {
		return fault.New(fault.BadRequest, "expires is %s; want %s to %s", d, minExpires, maxExpires).In("expires")
	}
	return nil
}
