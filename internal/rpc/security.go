package rpc

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/peerbus/peerbus/internal/fault"
)

// Security says how the listeners and connections of a process are protected.
// The zero value is plain text, on loopback only.
type Security struct {
	// CertFile and KeyFile are PEM files of this process's certificate. With
	// them listeners speak TLS, and connections show it when they are asked.
	CertFile, KeyFile string
	// CAFile is a PEM file of the authorities that the other side's
	// certificate must come from. With it listeners want a client's
	// certificate, and connections speak TLS.
	CAFile string
	// Insecure allows a listener beyond loopback without TLS.
	Insecure bool
	// NoAbstract has gRPC on loopback go over TCP alone; see Abstract.
	NoAbstract bool
	// SocketMode is the permissions of unix sockets; 0 for the constant SocketMode.
	SocketMode fs.FileMode
}

// Validate checks what can be checked without opening a file.
func (s Security) Validate() error {
	if (s.CertFile == "") != (s.KeyFile == "") {
		return fault.New(fault.BadRequest, "tls-cert and tls-key go together")
	}
	return nil
}

// ServerTLS gives the TLS settings of a listener; nil for plain text.
func (s Security) ServerTLS() (*tls.Config, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.CertFile == "" {
		if s.CAFile != "" {
			return nil, fault.New(fault.BadRequest, "tls-ca on a listener needs tls-cert and tls-key")
		}
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	if err := s.addCertificate(cfg); err != nil {
		return nil, err
	}
	if s.CAFile != "" {
		pool, err := s.pool()
		if err != nil {
			return nil, err
		}
		cfg.ClientCAs, cfg.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}

// ClientTLS gives the TLS settings of a connection; nil for plain text.
func (s Security) ClientTLS() (*tls.Config, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.CAFile == "" && s.CertFile == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13}
	if s.CAFile != "" {
		pool, err := s.pool()
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	if s.CertFile != "" {
		if err := s.addCertificate(cfg); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

func (s Security) addCertificate(cfg *tls.Config) error {
	cert, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		return fault.New(fault.BadRequest, "tls-cert %s: %w", s.CertFile, err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return nil
}

func (s Security) pool() (*x509.CertPool, error) {
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "tls-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fault.New(fault.BadRequest, "tls-ca %s has no certificate in it", s.CAFile)
	}
	return pool, nil
}

func (s Security) clientCredentials() (credentials.TransportCredentials, error) {
	cfg, err := s.ClientTLS()
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		return insecure.NewCredentials(), nil
	}
	return PlainOnUnix(credentials.NewTLS(cfg)), nil
}

// Listen opens a listener at HOST:PORT or unix:///PATH, without TLS on it. It refuses an
// address that others could reach when there is no TLS, unless s.Insecure is set; Exposed
// tells of such a one.
func Listen(addr string, s Security) (net.Listener, error) {
	path, err := UnixPath(addr)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "listening on %s: %w", addr, err)
	}
	var lis net.Listener
	if path != "" {
		lis, err = listenUnix(path, cmp.Or(s.SocketMode, SocketMode))
	} else {
		lis, err = listenTCP(addr)
	}
	if err != nil {
		return nil, fault.New(fault.Unavailable, "listening on %s: %w", addr, err)
	}
	if Exposed(lis, s) && !s.Insecure {
		_ = lis.Close()
		return nil, fault.New(fault.BadRequest,
			"%s can be reached by others without TLS: give --tls-cert and --tls-key, or --insecure if that is meant", addr)
	}
	return lis, nil
}

// Exposed tells whether others can reach a listener without TLS.
func Exposed(lis net.Listener, s Security) bool { return s.CertFile == "" && !isOwn(lis.Addr()) }

// isOwn tells whether an address is for this machine alone.
func isOwn(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback() || isUnix(a)
}
