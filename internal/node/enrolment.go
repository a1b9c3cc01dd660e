package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
	"testudo/internal/certificate"
	"testudo/internal/config"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
	"testudo/internal/keystore"
	"testudo/internal/logging"
	"testudo/internal/registrar"
	"testudo/internal/sendsync"
	"testudo/internal/session"
	"testudo/internal/unixsock"
)

// enroller is what gives agents their keys, where that is done by the node
// itself. A master decides, a worker has its master do so (docs/enrolment.md).
type enroller struct {
	keys   *keystore.Store   // of a master
	master *registrar.Master // of a master
	worker *registrar.Worker // of a worker
	local  *keystore.Local   // of a worker
	socket *registrar.Socket
	port   *enrolport.Server // nil also where nobody enrols from elsewhere
}

// authd is the name under which workers ask for keys.
const authd = "authd"

// keysRemoved says whether agents have no keys because they were removed as they
// should be.
func (e *enroller) keysRemoved() bool { return e.keys != nil && e.keys.Emptied() }

// addKeys makes the part of a master that decides. It comes before the cluster,
// whose workers ask it.
func (n *Node) addKeys(o Options) (err error) {
	if !n.cfg.EnrolmentEmbedded() {
		return nil
	}
	e := &n.enrol
	e.keys, err = keystore.Open(n.home, keystore.Options{Purge: n.cfg.Auth.Purge, UID: o.UID, GID: o.GID, Log: n.log})
	if err != nil {
		return fmt.Errorf("open agents' keys: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		n.log.Warn("The name of this machine is not known: an agent may enrol under it", "error", err)
	}
	e.master = registrar.NewMaster(registrar.MasterConfig{
		Keys: e.keys, Agents: n.enrolRows(), Home: n.home, HostName: host, Settings: n.authSettings(),
		InCluster: !n.cfg.Cluster.Disabled, Log: n.log, Metrics: n.metrics, Health: n.board,
	})
	n.group.Add("agents' keys", e.keys.Run)
	n.group.Add("enrolment", e.master.Run)
	return nil
}

// embedded are the daemons in this process that workers ask, with the features
// that go with them.
func (e *enroller) embedded() (daemons map[string]sendsync.Embedded, features []string) {
	if e.master == nil {
		return nil, nil
	}
	return map[string]sendsync.Embedded{authd: e.master.AnswerWorker}, []string{session.FeatureEnrol}
}

// addForwarding makes the part of a worker that asks the master. It comes after
// the cluster, through which it asks until its end.
func (n *Node) addForwarding() {
	if !n.cfg.EnrolmentEmbedded() {
		return
	}
	local := keystore.OpenLocal(n.home)
	local.Log = n.log
	n.enrol.local = local
	n.enrol.worker = registrar.NewWorker(registrar.WorkerConfig{
		Ask: n.api.keys.Ask, PeerHas: n.api.daemons.PeerHas, Learn: local.Learn,
		Settings: n.authSettings(), Log: n.log, Metrics: n.metrics,
	})
	n.group.Add("new keys", func(ctx context.Context) error { return n.keepNewKeys(ctx, local) })
	n.group.Add("enrolment", n.enrol.worker.Run)
}

// expected gives the agents that have got a key here which the master's file may
// not have yet.
func (e *enroller) expected() map[agent.ID]bool {
	if e.local == nil {
		return nil
	}
	return e.local.Expected()
}

// ahead tells whether client.keys is the master's with new keys added.
func (e *enroller) ahead() bool { return e.local != nil && e.local.Ahead() }

// keepNewKeys puts keys that were learnt back when a client.keys comes that is
// older than they are. It hears of that where the node watches the file, and
// looks each second elsewhere.
func (n *Node) keepNewKeys(ctx context.Context, local *keystore.Local) error {
	changed := make(chan struct{}, 1)
	if n.agents.hints == nil {
		return local.Run(ctx, nil)
	}
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if err := n.agents.hints.Watch(ctx, changed); err != nil && ctx.Err() == nil {
			n.log.Warn("client.keys is not watched for new keys", "error", err)
		}
	}()
	err := local.Run(ctx, changed)
	<-watching
	return err
}

// addEnrolment opens the local socket and the port. It comes after all that they
// need, so that they end before it.
func (n *Node) addEnrolment(ctx context.Context, o Options) (err error) {
	if !n.cfg.EnrolmentEmbedded() {
		return nil
	}
	e := &n.enrol
	e.socket, err = registrar.Listen(registrar.SocketConfig{
		Path: filepath.Join(n.cfg.Home, registrar.SocketPath), UID: o.UID, GID: o.GID,
		Answer: e.answer, ReadTime: n.cfg.Auth.ReadTime(), Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("serve enrolment on the local socket: %w%s", err, n.enrolHint(err))
	}
	n.group.Add("enrolment socket", e.socket.Serve)
	if !n.cfg.Auth.RemoteEnrollment {
		return nil
	}
	settings, err := n.portConfig(o)
	if err == nil {
		e.port, err = enrolport.Listen(ctx, settings)
	}
	if err != nil {
		return fmt.Errorf("serve enrolment: %w%s", err, n.enrolHint(err))
	}
	n.group.Add("enrolment port", e.port.Serve)
	return nil
}

func (e *enroller) answer(ctx context.Context, message []byte) []byte {
	if e.worker != nil {
		return e.worker.Answer(ctx, message)
	}
	return e.master.Answer(ctx, message)
}

// enrolHint is what can be done about an error of the start, behind a semicolon.
func (n *Node) enrolHint(err error) string {
	switch _, missing := os.Stat(certificate.Path(n.cfg.Home, n.cfg.Auth.Certificate)); {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, unixsock.ErrInUse):
		return "; if that is the wazuh-authd of the installation, set services.enrolment to external in " + config.SettingsPath
	case errors.Is(missing, fs.ErrNotExist):
		return "; testudo init --force makes a certificate where there is none"
	}
	return ""
}

// portOf is what the configuration says of the port.
func portOf(cfg *config.Config) enrolport.Config {
	auth, set := &cfg.Auth, cfg.Testudo.Enrolment
	c := enrolport.Config{
		Port: auth.Port, IPv6: auth.IPv6, Home: cfg.Home, Certificate: auth.Certificate, Key: auth.CertificateKey,
		ClientCA: auth.AgentCA, VerifyHost: auth.VerifyHost, AutoNegotiate: auth.AutoNegotiate, Ciphers: auth.Ciphers,
		Line: enrolment.LineOptions{
			WantPassword: auth.UsePassword, UseSourceIP: auth.UseSourceIP, Version: cfg.Testudo.Version, AllowHigher: auth.HigherVersions,
		},
		ReadTime: auth.ReadTime(), HandshakeTime: set.HandshakeTime, Connections: set.Connections,
		Rate: float64(set.RatePerAddress), Burst: set.BurstPerAddress,
	}
	if set.Address != "" {
		c.Addresses = []string{set.Address}
	}
	if set.RatePerAddress == 0 {
		c.Rate = -1 // no bound
	}
	return c
}

// portConfig is what the port needs.
func (n *Node) portConfig(o Options) (enrolport.Config, error) {
	c := portOf(n.cfg)
	c.Registrar, c.Log, c.Metrics = &n.enrol, n.log, n.metrics
	if !c.Line.WantPassword {
		return c, nil
	}
	own := enrolport.Owner{UID: atomicfile.Keep, GID: o.GID}
	var err error
	c.Line.Password, err = enrolport.Password(n.home, own, n.log.With(logging.Task("Enrolment")))
	return c, err
}

// Register implements enrolport.Registrar.
func (e *enroller) Register(ctx context.Context, r enrolment.Request, from string) (enrolport.Registration, error) {
	if e.worker != nil {
		registration, err := e.worker.Register(ctx, r, from)
		if err != nil {
			return nil, err
		}
		return learnt{registration, e.local}, nil
	}
	registration, err := e.master.Register(ctx, r, from)
	if err != nil {
		return nil, err
	}
	return registration, nil
}

// learnt is a registration whose key this worker knows already.
type learnt struct {
	*registrar.Registration
	local *keystore.Local
}

// Lost implements enrolport.Registration.
func (l learnt) Lost(ctx context.Context) {
	l.local.Forget(l.Entry.ID)
	l.Registration.Lost(ctx)
}

// authSettings is the section <auth> in the words of enrolment.
func (n *Node) authSettings() enrolment.Settings {
	a := n.cfg.Auth
	s := enrolment.Settings{
		Port: a.Port, Disabled: a.Disabled, RemoteEnrollment: a.RemoteEnrollment, IPv6: a.IPv6,
		UseSourceIP: a.UseSourceIP, Purge: a.Purge, UsePassword: a.UsePassword,
		VerifyHost: a.VerifyHost, AutoNegotiate: a.AutoNegotiate, Ciphers: a.Ciphers, AgentCA: a.AgentCA,
		Certificate: a.Certificate, Key: a.CertificateKey, AllowHigherVersions: a.HigherVersions,
		Force: enrolment.Force(a.Force),
	}
	if k := a.KeyRequest; k.Present {
		s.KeyRequest = enrolment.KeyRequest{
			Enabled: k.Enabled, ExecPath: k.ExecPath, Socket: k.Socket, Timeout: k.Timeout, Threads: k.Threads, QueueSize: k.QueueSize,
		}
	}
	return s
}

// EnrolmentStatus is how the enrolment of agents stands.
type EnrolmentStatus struct {
	Keys int              `json:"keys,omitempty"` // of a master
	Port *enrolport.Stats `json:"port,omitempty"`
	// NoKeys is, of a worker whose agents get none now, why; in words.
	NoKeys string     `json:"no_keys,omitempty"`
	Since  *time.Time `json:"no_keys_since,omitempty"`
}

func (e *enroller) status() *EnrolmentStatus {
	if e.socket == nil {
		return nil
	}
	s := &EnrolmentStatus{}
	if e.keys != nil {
		s.Keys = e.keys.Len()
	}
	if e.port != nil {
		stats := e.port.Stats()
		s.Port = &stats
	}
	return s
}

// close gives back what was opened. Socket and port are served by nobody when
// another part of the node could not be built.
func (e *enroller) close() error {
	if e.port != nil {
		e.port.Close()
	}
	var errs []error
	if e.socket != nil {
		errs = append(errs, e.socket.Close())
	}
	if e.keys != nil {
		errs = append(errs, e.keys.Close())
	}
	return errors.Join(errs...)
}
