package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"testudo/internal/certificate"
	"testudo/internal/config"
	"testudo/internal/enrolport"
	"testudo/internal/home"
)

// CheckEnrolment finds what would keep a node from opening the port at which
// agents enrol: certificate, key, authority, password, ciphers, the port itself. It
// makes nothing. The port of a node that runs in this home is not looked at.
func CheckEnrolment(ctx context.Context, cfg *config.Config) []config.Problem {
	if cfg.Cluster.Disabled || !cfg.EnrolmentEmbedded() || !cfg.Auth.RemoteEnrollment {
		return nil
	}
	c := enrolmentCheck{cfg: cfg}
	c.certificates(time.Now())
	c.ciphers()
	c.password()
	c.port(ctx)
	return c.problems
}

// enrolmentCheck gathers problems.
type enrolmentCheck struct {
	cfg      *config.Config
	problems []config.Problem
}

// add tells of a problem at the line that sets something, or of the file itself
// when no line does.
func (c *enrolmentCheck) add(severity config.Severity, setting, file, text string) {
	p := config.Problem{Severity: severity, File: filepath.Join(c.cfg.Home, config.ConfPath), Path: setting, Text: text}
	if file != "" {
		p.File = certificate.Path(c.cfg.Home, file)
	}
	for _, s := range c.cfg.Explain() {
		if colon := strings.LastIndexByte(s.Source, ':'); s.Path == setting && colon > 0 {
			p.File = s.Source[:colon]
			p.Line, _ = strconv.Atoi(s.Source[colon+1:])
		}
	}
	c.problems = append(c.problems, p)
}

func (c *enrolmentCheck) certificates(now time.Time) {
	auth := &c.cfg.Auth
	chain, err := certificate.ReadChain(c.cfg.Home, auth.Certificate)
	if err != nil {
		c.add(config.SeverityError, "auth.ssl_manager_cert", auth.Certificate, err.Error())
	} else {
		if _, err := certificate.ReadPair(c.cfg.Home, auth.Certificate, auth.CertificateKey); err != nil {
			c.add(config.SeverityError, "auth.ssl_manager_key", auth.CertificateKey, err.Error())
		}
		if until := chain[0].NotAfter; now.After(until) {
			c.add(config.SeverityWarning, "auth.ssl_manager_cert", auth.Certificate,
				fmt.Sprintf("certificate %s has expired on %s: agents that check it do not enrol", auth.Certificate, until.UTC().Format(time.DateOnly)))
		}
	}
	if auth.AgentCA == "" {
		return
	}
	if _, err := certificate.ReadChain(c.cfg.Home, auth.AgentCA); err != nil {
		c.add(config.SeverityError, "auth.ssl_agent_ca", auth.AgentCA, "authority of agents' certificates: "+err.Error())
	}
}

func (c *enrolmentCheck) ciphers() {
	if suites, _ := enrolport.Ciphers(c.cfg.Auth.Ciphers); len(suites) == 0 {
		c.add(config.SeverityError, "auth.ciphers", "", "the list leaves no cipher that this program has")
	}
}

func (c *enrolmentCheck) password() {
	if !c.cfg.Auth.UsePassword {
		return
	}
	root, err := os.OpenRoot(c.cfg.Home)
	if err == nil {
		defer root.Close()
		_, err = enrolport.ReadPassword(root)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return // a node without makes one
	}
	p := config.Problem{Severity: config.SeverityError, File: filepath.Join(c.cfg.Home, enrolport.PasswordPath), Path: "auth.use_password", Text: err.Error()}
	if errors.Is(err, enrolport.ErrPassword) {
		p.Line = 1
	}
	c.problems = append(c.problems, p)
}

func (c *enrolmentCheck) port(ctx context.Context) {
	settings := portOf(c.cfg)
	err := enrolport.Free(ctx, settings)
	if err == nil || c.running() {
		return
	}
	setting := "auth.port"
	if len(settings.Addresses) > 0 && !enrolport.Taken(err) {
		setting = "enrolment.address"
	}
	c.add(config.SeverityError, setting, "", err.Error())
}

// running tells whether a node runs in this home.
func (c *enrolmentCheck) running() bool {
	if _, err := os.Stat(filepath.Join(c.cfg.Home, home.LockPath)); err != nil {
		return false // and none is made
	}
	hold, err := home.Lock(c.cfg.Home)
	if err != nil {
		return errors.Is(err, home.ErrInUse)
	}
	_ = hold.Release()
	return false
}
