package config

import (
	"errors"
	"time"

	"testudo/internal/ossecxml"
)

// Auth is the section <auth> of ossec.conf, the enrolment of agents, with the
// internal options auth.* (docs/enrolment.md §14). It is looked at only where
// enrolment is not another program's; see EnrolmentEmbedded.
type Auth struct {
	Present          bool // false: there is no such section, and nobody enrols here
	Disabled         bool
	Port             int  // 1 to 65535
	RemoteEnrollment bool // false: no port, only the local socket
	IPv6             bool // the port takes IPv6 as well
	UseSourceIP      bool // an agent that names no address is registered with its own
	Purge            bool // removed agents leave no line in client.keys
	UsePassword      bool // that of etc/authd.pass
	Ciphers          string
	AgentCA          string // certificate of who signs agents' certificates; empty: agents need none
	VerifyHost       bool   // an agent's certificate must be for its address
	Certificate      string // of the node, a path below the home or an absolute one
	CertificateKey   string // the same
	AutoNegotiate    bool   // TLS older than 1.2 is let in
	HigherVersions   bool   // agents may be newer than their manager
	Force            AuthForce
	KeyRequest       AuthKeyRequest
	Wait             time.Duration // auth.timeout_seconds
	WaitMore         int           // auth.timeout_microseconds
}

// AuthForce is <force>: when an agent may take the place of another of its name
// or address (docs/enrolment.md §6).
type AuthForce struct {
	Enabled             bool
	KeyMismatch         bool
	DisconnectedEnabled bool
	Disconnected        time.Duration
	AfterRegistration   time.Duration
}

// AuthKeyRequest is <key_request>. A node of ours tells it to who asks for its
// settings and does not do it.
type AuthKeyRequest struct {
	Present   bool
	Enabled   bool
	ExecPath  string
	Socket    string
	Timeout   int // seconds
	Threads   int
	QueueSize int
}

// ReadTime is how long an agent may take to send its request.
func (a *Auth) ReadTime() time.Duration {
	return a.Wait + time.Duration(a.WaitMore)*time.Microsecond
}

// DefaultCiphers is what <ciphers> is where it is not given.
const DefaultCiphers = "HIGH:!ADH:!EXP:!MD5:!RC4:!3DES:!CAMELLIA:@STRENGTH"

// Where the certificate for agents and its key are, if nothing else is said.
const (
	AuthCertificatePath = "etc/sslmanager.cert"
	AuthKeyPath         = "etc/sslmanager.key"
)

func defaultAuth() Auth {
	return Auth{
		Port: 1515, RemoteEnrollment: true, Ciphers: DefaultCiphers,
		Certificate: AuthCertificatePath, CertificateKey: AuthKeyPath,
		Force: AuthForce{
			Enabled: true, KeyMismatch: true, DisconnectedEnabled: true, Disconnected: time.Hour, AfterRegistration: time.Hour,
		},
		KeyRequest: AuthKeyRequest{Enabled: true, Timeout: 60, Threads: 1, QueueSize: 1024},
		Wait:       time.Second,
	}
}

// EnrolmentEmbedded says whether agents enrol at this node itself: it serves the
// port, unless RemoteEnrollment is off, and the local socket.
func (c *Config) EnrolmentEmbedded() bool {
	return c.Testudo.Services.Enrolment != External && c.Auth.Present && !c.Auth.Disabled
}

// authFields are the options of <auth>.
func authFields() []field {
	return []field{
		{path: "auth.disabled", at: func(c *Config) any { return &c.Auth.Disabled }},
		{path: "auth.port", min: 1, max: 65535, at: func(c *Config) any { return &c.Auth.Port }},
		{path: "auth.ipv6", at: func(c *Config) any { return &c.Auth.IPv6 }},
		{path: "auth.remote_enrollment", at: func(c *Config) any { return &c.Auth.RemoteEnrollment }},
		{path: "auth.use_source_ip", at: func(c *Config) any { return &c.Auth.UseSourceIP }},
		{path: "auth.purge", at: func(c *Config) any { return &c.Auth.Purge }},
		{path: "auth.use_password", at: func(c *Config) any { return &c.Auth.UsePassword }},
		{path: "auth.ciphers", check: given, at: func(c *Config) any { return &c.Auth.Ciphers }},
		{path: "auth.ssl_agent_ca", check: anyText, at: func(c *Config) any { return &c.Auth.AgentCA }},
		{path: "auth.ssl_verify_host", at: func(c *Config) any { return &c.Auth.VerifyHost }},
		{path: "auth.ssl_manager_cert", check: given, at: func(c *Config) any { return &c.Auth.Certificate }},
		{path: "auth.ssl_manager_key", check: given, at: func(c *Config) any { return &c.Auth.CertificateKey }},
		{path: "auth.ssl_auto_negotiate", at: func(c *Config) any { return &c.Auth.AutoNegotiate }},
		{path: "auth.force.enabled", at: func(c *Config) any { return &c.Auth.Force.Enabled }},
		{path: "auth.force.key_mismatch", at: func(c *Config) any { return &c.Auth.Force.KeyMismatch }},
		{path: disconnectedEnabled, at: func(c *Config) any { return &c.Auth.Force.DisconnectedEnabled }},
		{path: disconnectedTime, max: 100 * year, at: func(c *Config) any { return &c.Auth.Force.Disconnected }},
		{path: "auth.force.after_registration_time", max: 100 * year, at: func(c *Config) any { return &c.Auth.Force.AfterRegistration }},
		{path: "auth.agents.allow_higher_versions", at: func(c *Config) any { return &c.Auth.HigherVersions }},
	}
}

const (
	disconnectedTime    = "auth.force.disconnected_time"
	disconnectedEnabled = disconnectedTime + ".enabled"
	keyRequest          = "auth.key_request"
)

// keyRequestFields are the options of <key_request>.
func keyRequestFields() []field {
	return []field{
		{path: keyRequest + ".enabled", at: func(c *Config) any { return &c.Auth.KeyRequest.Enabled }},
		{path: keyRequest + ".exec_path", check: anyText, at: func(c *Config) any { return &c.Auth.KeyRequest.ExecPath }},
		{path: keyRequest + ".socket", check: anyText, at: func(c *Config) any { return &c.Auth.KeyRequest.Socket }},
		{path: keyRequest + ".timeout", min: 1, max: 3600, at: func(c *Config) any { return &c.Auth.KeyRequest.Timeout }},
		{path: keyRequest + ".threads", min: 1, max: 32, at: func(c *Config) any { return &c.Auth.KeyRequest.Threads }},
		{path: keyRequest + ".queue_size", min: 1, max: 220000, at: func(c *Config) any { return &c.Auth.KeyRequest.QueueSize }},
	}
}

// authOptionFields are the internal options of enrolment.
func authOptionFields() []field {
	return []field{
		{path: readSeconds, max: hour, at: func(c *Config) any { return &c.Auth.Wait }},
		{path: readMicroseconds, max: 999999, at: func(c *Config) any { return &c.Auth.WaitMore }},
	}
}

const (
	readSeconds      = "auth.timeout_seconds"
	readMicroseconds = "auth.timeout_microseconds"
)

// auth reads a section <auth>. Of several, each option's last counts.
func (d *daemonReader) auth(section *ossecxml.Element) {
	auth := &d.config.Auth
	auth.Present = true
	at := tableOf(append(authFields(), keyRequestFields()...))
	for _, option := range section.Children {
		path := "auth." + option.Name
		switch option.Name {
		case "force":
			d.force(option, at)
		case "agents":
			d.part(option, path, at)
		case "key_request":
			auth.KeyRequest.Present = true
			d.part(option, path, at)
			if auth.KeyRequest.Enabled {
				d.warnf(option.Line, path, "this node asks no other program for keys of agents that it does not know; the section has no effect")
			}
		case "force_insert", "force_time":
			d.oldForce = append(d.oldForce, option)
		case "limit_maxagents":
			d.warnf(option.Line, path, "is deprecated and has no effect: the number of agents has no limit")
		default:
			d.one(option, path, at)
		}
	}
}

// part reads the options of a part of <auth>.
func (d *daemonReader) part(part *ossecxml.Element, path string, at map[string]*field) {
	for _, option := range part.Children {
		d.one(option, path+"."+option.Name, at)
	}
}

func (d *daemonReader) one(option *ossecxml.Element, path string, at map[string]*field) {
	if f := at[path]; f != nil {
		d.set(f, option.Text, option.Line)
		return
	}
	d.warnf(option.Line, printable(path), "there is no such option; it is passed over")
}

// force reads <force>. Its time of disconnection says with an attribute whether
// it counts.
func (d *daemonReader) force(part *ossecxml.Element, at map[string]*field) {
	d.newForce = true
	for _, option := range part.Children {
		if option.Name == "disconnected_time" {
			enabled, ok := option.Attr("enabled")
			if !ok {
				d.errorf(option.Line, disconnectedTime, "needs an attribute: enabled=\"yes\" or enabled=\"no\"")
				continue
			}
			d.set(at[disconnectedEnabled], enabled, option.Line)
		}
		d.one(option, "auth.force."+option.Name, at)
	}
}

// authDone takes over what there was before <force>, unless that is there.
func (d *daemonReader) authDone() {
	at := tableOf(authFields())
	for _, option := range d.oldForce {
		path := "auth." + option.Name
		if d.newForce {
			d.warnf(option.Line, path, "is deprecated and has no effect beside <force>")
			continue
		}
		if option.Name == "force_insert" {
			d.warnf(option.Line, path, "is deprecated; write <force><enabled> instead")
			d.set(at["auth.force.enabled"], option.Text, option.Line)
			continue
		}
		d.warnf(option.Line, path, "is deprecated; write <force><disconnected_time> instead")
		if d.set(at[disconnectedTime], option.Text, option.Line) {
			force := &d.config.Auth.Force
			force.DisconnectedEnabled = force.Disconnected > 0
			d.config.sources[disconnectedEnabled] = d.config.sources[disconnectedTime]
		}
	}
}

// authRelations looks at settings of enrolment that do not fit others.
func (c *Config) authRelations() []Problem {
	if !c.EnrolmentEmbedded() {
		return nil
	}
	var problems []Problem
	a := &c.Auth
	if a.ReadTime() <= 0 {
		r, line := c.place(0, readMicroseconds, readSeconds)
		r.errorf(line, readSeconds, "is 0, and so is "+readMicroseconds+": agents would have no time for their request")
		problems = append(problems, r.problems...)
	}
	if a.VerifyHost && a.AgentCA == "" {
		r, line := c.place(0, "auth.ssl_verify_host")
		r.warnf(line, "auth.ssl_verify_host", "has no effect without <ssl_agent_ca>: agents show no certificate")
		problems = append(problems, r.problems...)
	}
	if a.RemoteEnrollment && a.Port == c.Cluster.Port && c.Cluster.Role == Master {
		r, line := c.place(0, "auth.port", "cluster.port")
		r.errorf(line, "auth.port", "%d is the port of the cluster as well", a.Port)
		problems = append(problems, r.problems...)
	}
	return problems
}

// given wants a text that is not empty.
func given(text string) error {
	if text == "" {
		return errors.New("is empty")
	}
	return nil
}

func anyText(string) error { return nil }
