package registry

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/peerbus/peerbus/internal/engine"
	"github.com/peerbus/peerbus/protocol/status"
)

// cluster runs three servers of NATS on loopback, and gives where they are.
func cluster(t *testing.T) (urls string) {
	t.Helper()
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		_ = l.Close()
	}
	var where []string
	for i, port := range ports {
		where = append(where, serveNATS(t, &natsserver.Options{
			ServerName: fmt.Sprint("n", i), Routes: routes,
			Cluster: natsserver.ClusterOpts{Name: "peerbus", Host: "127.0.0.1", Port: port},
		}))
	}
	return strings.Join(where, ",")
}

// serveNATS runs a server of NATS with JetStream on loopback, and gives where it is.
func serveNATS(t *testing.T, o *natsserver.Options) (url string) {
	t.Helper()
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", natsserver.RANDOM_PORT, true, true
	o.JetStream, o.StoreDir, o.MaxPayload = true, t.TempDir(), engine.MaxPayload
	s, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("a server does not start")
	}
	return s.ClientURL()
}

// In a cluster, where the servers agree on each write, the writes of one term do not
// refuse one another, and those of the term before are refused.
func TestTermsInACluster(t *testing.T) {
	var e *engine.Engine
	urls, err := cluster(t), error(nil)
	for e == nil { // until the servers have chosen one that leads
		if e, err = engine.Open(t.Context(), engine.Config{URL: urls, Name: t.Name(), Replicas: 3, Log: slog.New(slog.DiscardHandler)}); t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(e.Close)
	open := func() *store {
		t.Helper()
		for {
			s, err := openStore(t.Context(), e, runtimeA)
			if err == nil {
				s.deposed = func() {}
				if err = s.begin(t.Context(), time.Now()); err == nil {
					return s
				}
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	one := open()
	save := func(s *store, i int) error {
		return s.saveConnection(t.Context(), connection{ID: "1", Remote: fmt.Sprintf("hyperty-runtime://b.example/%d", i), State: status.Created})
	}
	errs := make(chan error)
	for i := range 40 {
		go func() { errs <- save(one, i) }()
	}
	for range 40 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	two := open()
	all, err := two.load(t.Context())
	if err != nil || len(all.connections) != 40 {
		t.Errorf("%d entries are read: %v", len(all.connections), err)
	}
	// Both write at once: the first writes nothing, and is in the way of nothing.
	for i := range 40 {
		go func() { errs <- save(one, 100+i) }()
		go func() { errs <- save(two, i) }()
	}
	refused := 0
	for range 80 {
		if err := <-errs; err != nil {
			refused++
		}
	}
	if refused != 40 {
		t.Errorf("%d writes were refused, want the 40 of the first", refused)
	}
	if n := len(storedEntries(t, two)); n != 40 {
		t.Errorf("the store has %d entries", n)
	}
}
