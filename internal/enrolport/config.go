package enrolport

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"testudo/internal/certificate"
	"testudo/internal/enrolment"
	"testudo/internal/metrics"
)

// Registrar decides who gets a key.
type Registrar interface {
	// Register takes an agent in, or not: the error is then an
	// *enrolment.Refusal, or something that broke and is not the agent's to know.
	// from is the address of the agent. It is called for many agents at once.
	Register(ctx context.Context, r enrolment.Request, from string) (Registration, error)
}

// Registration is one agent that was taken in and waits for its key. Of Delivered
// and Lost at most one is called, at most once. Neither is when nobody can know
// whether the answer arrived.
type Registration interface {
	Answer() []byte           // what the agent is told, enrolment.Accepted
	Delivered()               // the agent has its key
	Lost(ctx context.Context) // the agent has no key: not a byte of the answer left this node
}

// What applies where Config says nothing.
const (
	DefaultReadTime      = time.Second
	DefaultHandshakeTime = 10 * time.Second
	DefaultConnections   = 16384
	DefaultRate          = 1000 // a second
	DefaultBurst         = 4000

	defaultGrace = 5 * time.Second
)

// Config says where a server listens, with what, and for whom.
type Config struct {
	Addresses []string // where to listen; all of this machine's unless given
	Port      int      // of all of them; 0 for one that is free
	IPv6      bool     // without Addresses: IPv6 as well as IPv4

	Home        string // the directory below which the files are whose names are not absolute
	Certificate string // file; certificate.DefaultCertificate unless set
	Key         string // file; certificate.DefaultKey unless set
	ClientCA    string // file; who enrols must have a certificate of one of these authorities; empty for anybody
	VerifyHost  bool   // with ClientCA: the certificate must be for the address the connection comes from
	// AutoNegotiate takes versions of TLS before 1.2, too.
	AutoNegotiate bool
	Ciphers       string // for TLS 1.2 and before, as OpenSSL writes it; enrolment.DefaultCiphers unless set

	Line enrolment.LineOptions

	ReadTime      time.Duration // from the handshake to the end of the request; DefaultReadTime unless set
	HandshakeTime time.Duration // from the connection to the end of the handshake; DefaultHandshakeTime unless set
	Grace         time.Duration // for registrations under way when the server ends; 5 s unless set

	Connections int // at once; DefaultConnections unless set
	// Rate and Burst bound the connections of one address (of one /64 in IPv6), a
	// second and at once; DefaultRate and DefaultBurst unless set. A negative Rate
	// is no bound.
	Rate  float64
	Burst int

	Registrar Registrar
	Log       *slog.Logger // may be nil
	Metrics   *metrics.Set // may be nil
}

func (c Config) withDefaults() Config {
	c.Certificate = orText(c.Certificate, certificate.DefaultCertificate)
	c.Key = orText(c.Key, certificate.DefaultKey)
	c.Ciphers = orText(c.Ciphers, enrolment.DefaultCiphers)
	c.ReadTime = orTime(c.ReadTime, DefaultReadTime)
	c.HandshakeTime = orTime(c.HandshakeTime, DefaultHandshakeTime)
	c.Grace = orTime(c.Grace, defaultGrace)
	if c.Connections <= 0 {
		c.Connections = DefaultConnections
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Burst <= 0 {
		c.Burst = DefaultBurst
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func orText(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

func orTime(v, otherwise time.Duration) time.Duration {
	if v <= 0 {
		return otherwise
	}
	return v
}

// endpoint is one place to listen at.
type endpoint struct{ network, address string }

// endpoints gives the places to listen at.
func (c Config) endpoints() ([]endpoint, error) {
	port := strconv.Itoa(c.Port)
	if len(c.Addresses) == 0 {
		if c.IPv6 {
			return []endpoint{{"tcp", net.JoinHostPort("::", port)}}, nil // IPv4 as well
		}
		return []endpoint{{"tcp4", net.JoinHostPort("0.0.0.0", port)}}, nil
	}
	list := make([]endpoint, 0, len(c.Addresses))
	for _, text := range c.Addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("listen for agents that enrol: %q is no address", text)
		}
		network := "tcp4"
		if a.Is6() {
			network = "tcp6"
		}
		list = append(list, endpoint{network, net.JoinHostPort(text, port)})
	}
	return list, nil
}
