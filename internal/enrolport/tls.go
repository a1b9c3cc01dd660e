package enrolport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"testudo/internal/certificate"
)

// errNoTLS is returned when a connection does not begin as TLS does.
var errNoTLS = errors.New("what came is not TLS")

// serverTLS makes the server's half of the handshake of what is configured.
func serverTLS(cfg Config, report *reporter) (*tls.Config, certificate.Info, error) {
	pair, err := certificate.ReadPair(cfg.Home, cfg.Certificate, cfg.Key)
	if err != nil {
		return nil, certificate.Info{}, err
	}
	info := certificate.Describe(pair.Leaf)
	if time.Now().After(info.NotAfter) {
		report.expired(cfg.Certificate, info.NotAfter)
	}
	suites, unknown := Ciphers(cfg.Ciphers)
	if len(unknown) > 0 {
		report.unknownCiphers(unknown)
	}
	if len(suites) == 0 {
		return nil, info, fmt.Errorf("list of ciphers %q: it leaves no cipher that this program has", cfg.Ciphers)
	}
	t := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: suites,
		// Agents come once: a ticket would only cost.
		SessionTicketsDisabled: true,
		// A text is one record, however long: agents take it for one.
		DynamicRecordSizingDisabled: true,
	}
	if cfg.AutoNegotiate {
		t.MinVersion = tls.VersionTLS10
	}
	if !usable(pair.Leaf, suites) {
		report.uselessCiphers()
	}
	if cfg.ClientCA != "" {
		authorities, err := certificate.ReadChain(cfg.Home, cfg.ClientCA)
		if err != nil {
			return nil, info, fmt.Errorf("authority of agents' certificates: %w", err)
		}
		t.ClientAuth, t.ClientCAs = tls.RequireAndVerifyClientCert, pool(authorities)
	}
	return t, info, nil
}

func pool(authorities []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range authorities {
		p.AddCert(a)
	}
	return p
}

// errOtherHost is returned when a certificate is for somebody else.
var errOtherHost = errors.New("the certificate is for another host")

// checkPeer finds the peer's address among the names of its certificate.
func checkPeer(state tls.ConnectionState, peer netip.Addr) error {
	if len(state.PeerCertificates) == 0 {
		return errOtherHost
	}
	return checkName(state.PeerCertificates[0], peer.String())
}

// checkName finds a name or an address among those of a certificate. A
// certificate made by hand for an address often has it in the wrong place: as a
// name, or as the common name.
func checkName(c *x509.Certificate, name string) error {
	if c.VerifyHostname(name) == nil || sameHost(c.Subject.CommonName, name) {
		return nil
	}
	for _, n := range c.DNSNames {
		if sameHost(n, name) {
			return nil
		}
	}
	return errOtherHost
}

func sameHost(a, b string) bool {
	addressA, errA := netip.ParseAddr(a)
	addressB, errB := netip.ParseAddr(b)
	if errA == nil && errB == nil {
		return addressA.Unmap() == addressB.Unmap()
	}
	return a != "" && strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
