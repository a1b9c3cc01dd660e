package enrolport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/enrolment"
)

const (
	// DefaultTimeout is what one enrolment may take: a worker asks its master for
	// up to ten seconds.
	DefaultTimeout = 30 * time.Second

	// mostReply is what a server may say, in bytes; mostTexts how many errors of
	// it are told.
	mostReply = 64 << 10
	mostTexts = 8
)

// ClientConfig says where an agent enrols and who it is.
type ClientConfig struct {
	Address string // host, or host:port; the port is enrolment.DefaultPort unless given

	CA          string // file: the server must have a certificate of one of these authorities, for the host of Address; empty for any server
	Certificate string // file: what the agent shows, with Key; empty for nothing
	Key         string // file

	Request  enrolment.Request
	Password agent.Secret // empty for none

	Timeout time.Duration // for all of it; DefaultTimeout unless set
}

// RefusedError is the answer of a server that gives no key.
type RefusedError struct {
	Texts []string // as sent, without enrolment.ErrorPrefix; the last is mostly "Unable to add agent"
}

// Error gives the texts, safe for a terminal.
func (e *RefusedError) Error() string {
	quoted := make([]string, len(e.Texts))
	for i, text := range e.Texts {
		quoted[i] = strings.Trim(strconv.Quote(text), `"`)
	}
	return "the server refuses: " + strings.Join(quoted, "; ")
}

// Reason is the text that says why, the first one.
func (e *RefusedError) Reason() string {
	if len(e.Texts) == 0 {
		return ""
	}
	return e.Texts[0]
}

// ErrNoAnswer is in an error when the server closed the connection and had given
// neither a key nor a reason.
var ErrNoAnswer = errors.New("the server closed the connection without an answer")

// Client enrols agents, one after the other or many at once.
type Client struct {
	cfg  ClientConfig
	host string
	port string
	tls  *tls.Config
}

// NewClient reads the files that cfg names. cfg.Request and cfg.Password are what
// Enrol takes.
func NewClient(cfg ClientConfig) (*Client, error) {
	cfg.Timeout = orTime(cfg.Timeout, DefaultTimeout)
	c := &Client{cfg: cfg}
	if c.host, c.port = splitAddress(cfg.Address); c.host == "" {
		return nil, fmt.Errorf("enrol: %q is no address of a server", cfg.Address)
	}
	c.tls = &tls.Config{
		ServerName: c.host,
		MinVersion: tls.VersionTLS12,
		// What agents offer, so that a server meets with what it will meet.
		CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384},
		// Servers take the first short record for the whole request.
		DynamicRecordSizingDisabled: true,
		// Certificates are checked by verify, which takes those without alternative
		// names as well; without an authority every server will do, as for agents.
		InsecureSkipVerify: true, //nolint:gosec // see above
	}
	if cfg.CA != "" {
		authorities, err := certificate.ReadChain("", cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("enrol: authority of the server's certificate: %w", err)
		}
		roots := pool(authorities)
		c.tls.VerifyConnection = func(s tls.ConnectionState) error { return verify(s, roots, c.host) }
	}
	if cfg.Certificate != "" {
		pair, err := certificate.ReadPair("", cfg.Certificate, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("enrol: %w", err)
		}
		c.tls.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// splitAddress takes host:port, host, or an IPv6 address with or without brackets.
func splitAddress(text string) (host, port string) {
	if host, port, err := net.SplitHostPort(text); err == nil && port != "" {
		return host, port
	}
	return strings.Trim(strings.TrimSuffix(text, "]:"), "[]"), strconv.Itoa(enrolment.DefaultPort)
}

// verify checks a server's certificate.
func verify(s tls.ConnectionState, roots *x509.CertPool, host string) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return err
	}
	if err := checkName(s.PeerCertificates[0], host); err != nil {
		return fmt.Errorf("%w: for %s, not for %s", err, namesOf(s.PeerCertificates[0]), host)
	}
	return nil
}

// namesOf tells for whom a certificate is.
func namesOf(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, address := range c.IPAddresses {
		names = append(names, address.String())
	}
	if len(names) == 0 {
		names = append(names, c.Subject.CommonName)
	}
	return fmt.Sprintf("%.200q", strings.Join(names, ", "))
}

// Enrol asks the server of cfg for a key. A refusal is a *RefusedError.
func Enrol(ctx context.Context, cfg ClientConfig) (agent.Key, error) {
	c, err := NewClient(cfg)
	if err != nil {
		return agent.Key{}, err
	}
	return c.Enrol(ctx, cfg.Request, cfg.Password)
}

// Enrol asks the server for a key for one agent, on a connection of its own. A
// refusal is a *RefusedError.
func (c *Client) Enrol(ctx context.Context, r enrolment.Request, password agent.Secret) (agent.Key, error) {
	if err := r.Check(); err != nil {
		return agent.Key{}, fmt.Errorf("enrol: %w", err)
	}
	answer, err := c.Exchange(ctx, r.Line(password))
	if err != nil {
		return agent.Key{}, err
	}
	key, err := enrolment.ParseAccepted(answer)
	if err != nil {
		return agent.Key{}, fmt.Errorf("enrol at %s: %w", c.cfg.Address, err)
	}
	return key, nil
}

// Exchange sends a request line as it is and returns the reply that holds a key.
// A refusal is a *RefusedError.
func (c *Client) Exchange(ctx context.Context, line []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", net.JoinHostPort(c.host, c.port))
	if err != nil {
		return nil, fmt.Errorf("enrol at %s: %w", c.cfg.Address, err)
	}
	defer nc.Close()
	unhook := context.AfterFunc(ctx, func() { nc.Close() })
	defer unhook()
	answer, err := exchange(tls.Client(nc, c.tls), line)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in time: %w", context.Cause(ctx))
		}
		return nil, fmt.Errorf("enrol at %s: %w", c.cfg.Address, err)
	}
	return answer, nil
}

func exchange(secured *tls.Conn, line []byte) ([]byte, error) {
	if err := secured.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if _, err := secured.Write(line); err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	return readReply(secured)
}

// readReply reads until there is a key or the connection closes. Each record is a
// text of its own.
func readReply(r io.Reader) ([]byte, error) {
	refused := &RefusedError{}
	var accepted []byte // of a reply with a key, what is there
	record := make([]byte, 16<<10)
	for total := 0; total < mostReply; {
		n, err := r.Read(record)
		total += n
		text := record[:n]
		switch {
		case len(accepted) > 0 || bytes.HasPrefix(text, []byte(enrolment.AcceptedPrefix)):
			accepted = append(accepted, text...)
			if bytes.IndexByte(accepted[len(enrolment.AcceptedPrefix):], '\'') >= 0 {
				return accepted, nil
			}
		case bytes.HasPrefix(text, []byte(enrolment.ErrorPrefix)) && len(refused.Texts) < mostTexts:
			refused.Texts = append(refused.Texts, string(text[len(enrolment.ErrorPrefix):]))
		}
		switch {
		case err == nil:
		case len(refused.Texts) > 0:
			return nil, refused
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, ErrNoAnswer
		default:
			return nil, fmt.Errorf("wait for the answer: %w", err)
		}
	}
	return nil, errors.New("the server says too much")
}
