package enrolport

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"testudo/internal/enrolment"
	"testudo/internal/logging"
)

// Of lines that a stranger can cause, so many come one by one; what is beyond is
// counted, and that is told every ten minutes.
const (
	linesPerSecond = 10
	linesAtOnce    = 100
)

// reporter writes what an operator needs to know (docs/logs.md, "Enrolment port").
type reporter struct {
	log      *slog.Logger
	again    logging.Recurring
	requests *rate.Limiter // of lines that requests came
	troubles *rate.Limiter // of all others that strangers cause
}

func newReporter(log *slog.Logger) *reporter {
	return &reporter{
		log:      log.With(logging.Task("Enrolment")),
		requests: rate.NewLimiter(linesPerSecond, linesAtOnce), troubles: rate.NewLimiter(linesPerSecond, linesAtOnce),
	}
}

// trouble writes a line that a stranger caused, while there are few of them.
func (r *reporter) trouble(level slog.Level, msg string, attrs ...slog.Attr) {
	if r.troubles.Allow() {
		r.log.LogAttrs(context.Background(), level, msg, attrs...)
		return
	}
	r.again.Fail(r.log, slog.LevelWarn, "More goes wrong at the enrolment port than is written here.")
}

func (r *reporter) opened(addresses []string, password bool) {
	how := "No password required."
	if password {
		how = "Using password specified on file: " + PasswordPath
	}
	for _, a := range addresses {
		r.log.Info("Accepting connections on port "+a[strings.LastIndexByte(a, ':')+1:]+". "+how, "address", a)
	}
}

func (r *reporter) expired(file string, at time.Time) {
	r.log.Warn("The certificate of the enrolment port has expired; agents that check it do not enrol.", "file", file, "expired", at)
}

func (r *reporter) unknownCiphers(words []string) {
	r.log.Warn("Words in the list of ciphers mean nothing.", "words", strings.Join(words, " "))
}

func (r *reporter) uselessCiphers() {
	r.log.Warn("No cipher of the list goes with the certificate; only TLS 1.3 works.")
}

func (r *reporter) cannotAccept(err error) {
	r.again.Fail(r.log, slog.LevelWarn, "Could not accept a connection.", slog.Any("err", err))
}

func (r *reporter) tooOften(peer netip.AddrPort) {
	r.again.Fail(r.log, slog.LevelWarn, "Agents that enrol come too often from one address.", slog.String("address", peer.Addr().String()))
}

func (r *reporter) full(limit int) {
	r.again.Fail(r.log, slog.LevelWarn, "Too many agents enrol at once, closing the most silent connections.", slog.Int("limit", limit))
}

func (r *reporter) connected(peer netip.AddrPort) {
	r.log.Debug("New connection from "+peer.Addr().String(), "port", peer.Port())
}

func (r *reporter) requested(peer netip.AddrPort, name string) {
	if r.requests.Allow() {
		r.log.Info("Received request for a new agent (" + name + ") from: " + peer.Addr().String())
		return
	}
	r.again.Fail(r.log, slog.LevelInfo, "More agents ask for a key than are written here.")
}

func (r *reporter) noTLS(peer netip.AddrPort, err error) {
	r.again.Fail(r.log, slog.LevelWarn, "A connection to the enrolment port came to no handshake.",
		slog.String("address", peer.Addr().String()), slog.Any("err", err))
}

// mostWhy is how much of a refusal, which quotes the request, a line shows.
const mostWhy = 300

func (r *reporter) refused(peer netip.AddrPort, name string, why *enrolment.Refusal) {
	attrs := []slog.Attr{slog.String("address", peer.Addr().String()), slog.String("why", why.Text[:min(len(why.Text), mostWhy)])}
	if name != "" {
		attrs = append(attrs, slog.String("name", name))
	}
	r.trouble(slog.LevelWarn, "Refused a request for a new agent.", attrs...)
}

func (r *reporter) failed(peer netip.AddrPort, name string, err error) {
	r.trouble(slog.LevelError, "A registration failed.", slog.String("name", name),
		slog.String("address", peer.Addr().String()), slog.Any("err", err))
}

func (r *reporter) lost(peer netip.AddrPort, name string, err error) {
	r.trouble(slog.LevelWarn, "An agent went before it had its key; the key is taken back.", slog.String("name", name),
		slog.String("address", peer.Addr().String()), slog.Any("err", err))
}

func (r *reporter) unknown(peer netip.AddrPort, name string) {
	r.trouble(slog.LevelWarn, "Nobody knows whether an agent has got its key; it stays, and the agent may enrol anew.",
		slog.String("name", name), slog.String("address", peer.Addr().String()))
}

func (r *reporter) brokeOff(what any, stack []byte) {
	r.log.Error("A connection to the enrolment port broke off.", "err", fmt.Sprint(what), "stack", string(stack))
}
