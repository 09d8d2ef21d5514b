package main

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/peerbus/peerbus/internal/config"
	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/internal/fault"
	"github.com/peerbus/peerbus/internal/rpc"
)

// checkAddresses looks at the form of all settings that are addresses, wherever they are
// from, before anything is started with them.
func checkAddresses(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		switch {
		case err != nil:
		case f.Name == flagAddr || strings.HasSuffix(f.Name, "-"+flagAddr):
			err = checkAddress(f)
		case f.Name == flagNATSURL:
			if wrong := engine.CheckURL(f.Value.String()); wrong != nil {
				err = fault.New(fault.BadRequest, "%s: %w%s", f.Name, wrong, config.Hint(f.Value.String())).In(f.Name)
			}
		}
	})
	return err
}

// checkAddress wants HOST:PORT or unix:///PATH, or several; what has an address by default
// cannot do without, but HTTP.
func checkAddress(f *pflag.Flag) error {
	value := f.Value.String()
	if value == "" {
		if f.DefValue != "" && f.Name != flagHTTPAddr {
			return fault.New(fault.BadRequest, "%s is empty: want HOST:PORT", f.Name).In(f.Name)
		}
		return nil
	}
	check := hostPorts
	if f.Name != flagReplicaAddr { // which is for other machines
		check = endpoints
	}
	if _, err := check(value); err != nil {
		return fault.New(fault.BadRequest, "%s %q: %w%s", f.Name, value, err, config.Hint(value)).In(f.Name)
	}
	return nil
}

// hostPorts takes `HOST:PORT[,HOST:PORT]` apart.
func hostPorts(list string) ([]string, error) { return listed(list, checkHostPort) }

// endpoints takes a list apart of which each is HOST:PORT or unix:///PATH.
func endpoints(list string) ([]string, error) {
	return listed(list, func(addr string) error {
		if path, err := rpc.UnixPath(addr); err != nil || path != "" {
			return err
		}
		return checkHostPort(addr)
	})
}

func listed(list string, check func(string) error) (all []string, err error) {
	for addr := range strings.SplitSeq(list, ",") {
		addr = strings.TrimSpace(addr)
		if err := check(addr); err != nil {
			return nil, err
		}
		all = append(all, addr)
	}
	return all, nil
}

// tcpOf gives the first HOST:PORT of a list; empty when there is none.
func tcpOf(list string) string {
	for addr := range strings.SplitSeq(list, ",") {
		if addr = strings.TrimSpace(addr); !strings.HasPrefix(addr, rpc.UnixScheme) {
			return addr
		}
	}
	return ""
}

// checkHostPort says what is wrong with a HOST:PORT; HOST may be empty, which is this
// machine, or all of its addresses.
func checkHostPort(addr string) error {
	if scheme, _, ok := strings.Cut(addr, "://"); ok {
		return errors.New("want HOST:PORT, without " + scheme + "://")
	}
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil || strings.ContainsAny(host, "/@ \t"):
		return errors.New("want HOST:PORT")
	case port == "":
		return errors.New("the port is missing: want HOST:PORT")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("port " + port + " is no number up to 65535: want HOST:PORT")
	}
	return nil
}
