package doctor

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"testudo/internal/certificate"
	"testudo/internal/config"
)

const (
	authSocket = "queue/sockets/auth"
	// passwordPath is where the password of enrolment is, which is never shown.
	passwordPath = "etc/authd.pass" //nolint:gosec // where it is, not what it is

	// expiresSoon is how long before its end a certificate is worth a word.
	expiresSoon = 30 * 24 * time.Hour
)

// enrolment looks at what agents need to get a key (docs/enrolment.md §14).
func (x *exam) enrolment(ctx context.Context) {
	auth := &x.cfg.Auth
	switch {
	case x.cfg.Cluster.Disabled:
		return
	case x.cfg.Testudo.Services.Enrolment == config.External:
		x.othersEnrolment(ctx)
		return
	case !x.cfg.EnrolmentEmbedded():
		x.fine("Agents do not enrol at this node.")
		return
	}
	if x.answers() {
		if err := x.dial(ctx, "unix", filepath.Join(x.Home, authSocket)); err != nil {
			x.fail("See logs/cluster.log; start the node again.", "The node runs, but nobody answers at %s: %s.", authSocket, dialled(err))
		} else {
			x.fine("Enrolment answers at %s.", authSocket)
		}
	}
	if !auth.RemoteEnrollment {
		x.fine("Agents do not enrol from elsewhere (<remote_enrollment>no).")
		return
	}
	host := x.cfg.Testudo.Enrolment.Address
	if host == "" && !auth.IPv6 {
		host = "0.0.0.0"
	}
	x.port(ctx, "enrolment", net.JoinHostPort(host, strconv.Itoa(auth.Port)), Error,
		"End the other program, set another <port> in the section <auth>, or leave enrolment to it: services.enrolment: external in etc/testudo.yaml.")
	x.certificate(time.Now())
	if auth.UsePassword {
		x.password()
	}
}

// othersEnrolment looks whether there is the program that enrolment is left to.
func (x *exam) othersEnrolment(ctx context.Context) {
	if err := x.dial(ctx, "unix", filepath.Join(x.Home, authSocket)); err != nil {
		x.warn("Start it if agents are to enrol here, or set services.enrolment to embedded in etc/testudo.yaml.",
			"Enrolment is another program's (services.enrolment: external), and nobody answers at %s: %s.", authSocket, dialled(err))
		return
	}
	x.fine("The program that enrols agents answers at %s.", authSocket)
}

// certificate looks at what the node shows to agents.
func (x *exam) certificate(now time.Time) {
	auth := &x.cfg.Auth
	const remedy = "Put the right files there, or move both away and make new ones with 'testudo init --force'."
	if _, err := certificate.ReadPair(x.Home, auth.Certificate, auth.CertificateKey); err != nil {
		x.fail(remedy, "The certificate for agents cannot be used, and the node does not start without: %s.", err)
		return
	}
	info, err := certificate.ReadInfo(x.Home, auth.Certificate)
	until := info.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case err != nil:
		x.fail(remedy, "The certificate for agents cannot be read: %s.", err)
	case now.Before(info.NotBefore):
		x.warn("See whether the clock is right.", "The certificate %s is not valid before %s: agents that check it do not enrol.", auth.Certificate, info.NotBefore.UTC().Format(time.DateOnly))
	case now.After(info.NotAfter):
		x.warn(remedy, "The certificate %s has expired on %s: agents that check it do not enrol.", auth.Certificate, until)
	case now.After(info.NotAfter.Add(-expiresSoon)):
		x.warn(remedy, "The certificate %s expires on %s.", auth.Certificate, until)
	default:
		x.fine("The certificate for agents is valid until %s, fingerprint %s.", until, info.Fingerprint)
	}
	if auth.AgentCA != "" {
		if _, err := certificate.ReadChain(x.Home, auth.AgentCA); err != nil {
			x.fail("Put the certificate of who signs agents' certificates there, or take <ssl_agent_ca> out of etc/ossec.conf.",
				"The authority of agents' certificates cannot be used, and the node does not start without: %s.", err)
		}
	}
	if path := certificate.Path(x.Home, auth.CertificateKey); auth.CertificateKey != config.AuthKeyPath { // that one is among the files
		if stat, err := os.Stat(path); err == nil && stat.Mode().Perm()&0o004 != 0 {
			x.warn("chmod o-r "+path+".", "Everybody may read the private key %s.", auth.CertificateKey)
		}
	}
}

// password looks at the password of enrolment.
func (x *exam) password() {
	file, err := os.Open(filepath.Join(x.Home, passwordPath))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.fine("There is no %s: the node makes a password when it starts.", passwordPath)
		return
	case err != nil:
		return // told by files
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadString('\n') // what can be read counts
	if len(strings.TrimRight(line, "\r\n")) < 2 {
		x.fail("Write the password into its first line, or remove the file: the node makes one when it starts.",
			"The first line of %s is no password, and the node does not start with it.", passwordPath)
		return
	}
	x.fine("Agents need the password in %s.", passwordPath)
}
