package enrolport

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/logging"
)

// renewEvery is how often the files of the port are looked at. One that has
// changed is read when it has rested from one look to the next.
const renewEvery = 2 * time.Second

// shown is what connections to come are met with.
type shown struct {
	tls      *tls.Config
	info     certificate.Info
	password agent.Secret
}

// renewal is a few files that belong together.
type renewal struct {
	what    string // for the log
	files   []string
	read    func(*shown) error // puts what they hold in
	used    []fs.FileInfo      // as they were read; nil for one that is not there
	seen    []fs.FileInfo      // as they were at the last look
	failing logging.Recurring
}

// renewals are the files of a server, as they are now.
func (s *Server) renewals() []*renewal {
	pair := &renewal{what: "certificate", files: []string{s.cfg.Certificate, s.cfg.Key}, read: func(n *shown) (err error) {
		n.tls, n.info, err = serverTLS(s.cfg, s.report)
		return err
	}}
	if s.cfg.ClientCA != "" {
		pair.files = append(pair.files, s.cfg.ClientCA)
	}
	list := []*renewal{pair}
	if s.cfg.Line.WantPassword {
		list = append(list, &renewal{what: "password", files: []string{PasswordPath}, read: s.readPassword})
	}
	for _, r := range list {
		r.used = r.look(s.cfg.Home)
		r.seen = r.used
	}
	return list
}

// readPassword reads the password; one that cannot be read stays.
func (s *Server) readPassword(n *shown) error {
	root, err := os.OpenRoot(s.cfg.Home)
	if err != nil {
		return err
	}
	defer root.Close()
	password, err := ReadPassword(root)
	if err == nil {
		n.password = password
	}
	return err
}

// renew reads files that have changed, until ctx ends.
func (s *Server) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look()
		}
	}
}

// look reads what has changed and rests.
func (s *Server) look() {
	s.looking.Lock()
	defer s.looking.Unlock()
	for _, r := range s.files {
		before := r.seen
		r.seen = r.look(s.cfg.Home)
		switch {
		case alike(r.seen, r.used):
			s.report.renewable(r)
			continue
		case !alike(r.seen, before):
			continue
		}
		next := *s.shown.Load()
		if err := r.read(&next); err != nil {
			s.report.notRenewed(r, err)
			continue
		}
		r.used = r.seen
		s.shown.Store(&next)
		s.report.renewed(r, next.info)
	}
}

func (r *renewal) look(home string) []fs.FileInfo {
	list := make([]fs.FileInfo, len(r.files))
	for i, name := range r.files {
		if info, err := os.Stat(certificate.Path(home, name)); err == nil {
			list[i] = info
		}
	}
	return list
}

// alike tells whether two looks saw the same files.
func alike(a, b []fs.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime())) {
			return false
		}
	}
	return true
}

func (r *reporter) renewed(n *renewal, info certificate.Info) {
	r.renewable(n)
	if n.what == "password" {
		r.log.Info("The password for enrolment was read anew; it counts from the next connection on.")
		return
	}
	r.log.Info("The certificate of the enrolment port was read anew; the next connection gets it.", slog.String("fingerprint", info.Fingerprint))
}

func (r *reporter) renewable(n *renewal) {
	n.failing.Recovered(r.log, "The "+n.what+" of the enrolment port can be used again.")
}

func (r *reporter) notRenewed(n *renewal, err error) {
	if n.what == "password" && errors.Is(err, fs.ErrNotExist) {
		n.failing.Fail(r.log, slog.LevelWarn, "The file of the password for enrolment is gone; the password before stays in use until the next start, which makes another.",
			slog.String("file", PasswordPath))
		return
	}
	n.failing.Fail(r.log, slog.LevelError, "The new "+n.what+" of the enrolment port cannot be used; the one before stays in use.", slog.Any("err", err))
}
