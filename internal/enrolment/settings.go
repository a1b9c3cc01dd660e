package enrolment

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Settings is everything that a node's section <auth> says
// (docs/enrolment.md §14).
type Settings struct {
	Port             int
	Disabled         bool
	RemoteEnrollment bool // serve the port; else the local socket only
	IPv6             bool
	UseSourceIP      bool // without an address in the request: that of the peer, not "any"
	Purge            bool // of a removed agent no line stays
	UsePassword      bool

	VerifyHost    bool
	AutoNegotiate bool // versions of TLS before 1.2 as well
	Ciphers       string
	AgentCA       string // path; "" when no certificate is asked for
	Certificate   string // path
	Key           string // path

	KeyRequest          KeyRequest
	Force               Force
	AllowHigherVersions bool
}

// KeyRequest is the block <key_request>, which is told but not served.
type KeyRequest struct {
	Enabled   bool
	ExecPath  string
	Socket    string
	Timeout   int // seconds
	Threads   int
	QueueSize int
}

// DefaultCiphers is the list of ciphers of a node that was told nothing.
const DefaultCiphers = "HIGH:!ADH:!EXP:!MD5:!RC4:!3DES:!CAMELLIA:@STRENGTH"

// DefaultPort is where nodes listen for agents that want a key.
const DefaultPort = 1515

// DefaultSettings is what an empty section <auth> means.
func DefaultSettings() Settings {
	return Settings{
		Port: DefaultPort, RemoteEnrollment: true,
		Ciphers:     DefaultCiphers,
		Certificate: "etc/sslmanager.cert",
		Key:         "etc/sslmanager.key",
		Force:       DefaultForce(),
	}
}

// yesNo is how the original writes a bool.
type yesNo bool

func (y yesNo) MarshalText() ([]byte, error) {
	if y {
		return []byte("yes"), nil
	}
	return []byte("no"), nil
}

// The structs below fix the order of the members.
type settingsJSON struct {
	Auth authJSON `json:"auth"`
}

type authJSON struct {
	Port             int            `json:"port"`
	Disabled         yesNo          `json:"disabled"`
	RemoteEnrollment yesNo          `json:"remote_enrollment"`
	IPv6             yesNo          `json:"ipv6"`
	UseSourceIP      yesNo          `json:"use_source_ip"`
	Purge            yesNo          `json:"purge"`
	UsePassword      yesNo          `json:"use_password"`
	VerifyHost       yesNo          `json:"ssl_verify_host"`
	AutoNegotiate    yesNo          `json:"ssl_auto_negotiate"`
	Ciphers          string         `json:"ciphers,omitempty"`
	AgentCA          string         `json:"ssl_agent_ca,omitempty"`
	Certificate      string         `json:"ssl_manager_cert,omitempty"`
	Key              string         `json:"ssl_manager_key,omitempty"`
	KeyRequest       keyRequestJSON `json:"key_request"`
	Force            forceShown     `json:"force"`
	Agents           struct {
		AllowHigherVersions yesNo `json:"allow_higher_versions"`
	} `json:"agents"`
}

type keyRequestJSON struct {
	Enabled   yesNo  `json:"enabled"`
	ExecPath  string `json:"exec_path,omitempty"`
	Socket    string `json:"socket,omitempty"`
	Timeout   int    `json:"timeout,omitempty"`
	Threads   int    `json:"threads,omitempty"`
	QueueSize int    `json:"queue_size,omitempty"`
}

type forceShown struct {
	Enabled      yesNo `json:"enabled"`
	KeyMismatch  yesNo `json:"key_mismatch"`
	Disconnected struct {
		Enabled yesNo `json:"enabled"`
		Value   int64 `json:"value,omitempty"`
	} `json:"disconnected_time"`
	AfterRegistration int64 `json:"after_registration_time,omitempty"`
}

// JSON is the settings as administrators ask for them, on one line.
func (s Settings) JSON() []byte {
	a := authJSON{
		Port: s.Port, Disabled: yesNo(s.Disabled), RemoteEnrollment: yesNo(s.RemoteEnrollment),
		IPv6: yesNo(s.IPv6), UseSourceIP: yesNo(s.UseSourceIP), Purge: yesNo(s.Purge), UsePassword: yesNo(s.UsePassword),
		VerifyHost: yesNo(s.VerifyHost), AutoNegotiate: yesNo(s.AutoNegotiate),
		Ciphers: s.Ciphers, AgentCA: s.AgentCA, Certificate: s.Certificate, Key: s.Key,
		KeyRequest: keyRequestJSON{
			yesNo(s.KeyRequest.Enabled), s.KeyRequest.ExecPath, s.KeyRequest.Socket,
			s.KeyRequest.Timeout, s.KeyRequest.Threads, s.KeyRequest.QueueSize,
		},
	}
	a.Force.Enabled, a.Force.KeyMismatch = yesNo(s.Force.Enabled), yesNo(s.Force.KeyMismatch)
	a.Force.Disconnected.Enabled = yesNo(s.Force.DisconnectedEnabled)
	a.Force.Disconnected.Value = seconds(s.Force.Disconnected)
	a.Force.AfterRegistration = seconds(s.Force.AfterRegistration)
	a.Agents.AllowHigherVersions = yesNo(s.AllowHigherVersions)
	return compact(settingsJSON{a})
}

// Answer is the answer to a message of the local socket that is no JSON: the
// settings, for "getconfig auth".
func (s Settings) Answer(command string) []byte {
	command, _, _ = strings.Cut(command, "\x00")
	word, section, some := strings.Cut(command, " ")
	switch {
	case word != "getconfig":
		return []byte("err Unrecognized command") //nolint:misspell // the original's spelling
	case !some:
		return []byte("err AUTHCOM getconfig needs arguments")
	case section != "auth":
		return []byte("err Could not get requested section")
	}
	return append([]byte("ok "), s.JSON()...)
}

// compact encodes without what JSON in web pages needs. What is given to it here
// can be encoded.
func compact(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("enrolment: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
