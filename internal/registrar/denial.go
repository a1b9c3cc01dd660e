package registrar

import (
	"errors"
	"log/slog"

	"testudo/internal/enrolment"
	"testudo/internal/keystore"
	"testudo/internal/logging"
)

// denial is why there is no key: in the words of the port, by the number of the
// socket, for the log and for the figures.
type denial struct {
	port    *enrolment.Refusal
	code    int
	outcome string // a few words, for the figures
	kept    string // id of the agent in the way
	why     string // what the agent is not told
}

var errQueueFull = errors.New("too many changes wait for the agent database")

// The denials (docs/enrolment.md §4, §9).

func tooManyGroups() *denial {
	return &denial{port: enrolment.TooManyGroups(), code: enrolment.CodeGroups, outcome: "groups"}
}

func unknownGroup(name string) *denial {
	return &denial{
		port: enrolment.UnknownGroup(name), code: enrolment.CodeGroups, outcome: "groups",
		why: "there is no directory of that name in etc/shared",
	}
}

// idTaken cannot be asked for at the port; its text is for the log.
func idTaken(wanted) *denial {
	return &denial{port: enrolment.Refused(enrolment.CodeIDUsed), code: enrolment.CodeIDUsed, outcome: "id"}
}

// noAddress cannot be asked for at the port; its text is for the log.
func noAddress(wanted) *denial {
	return &denial{port: enrolment.Refused(enrolment.CodeNoAddress), code: enrolment.CodeNoAddress, outcome: "address invalid"}
}

func addressTaken(w wanted) *denial {
	return &denial{port: enrolment.DuplicateAddress(w.address.Asked), code: enrolment.CodeAddressUsed, outcome: "address"}
}

func ownName(w wanted) *denial {
	return &denial{
		port: enrolment.InvalidName(w.name), code: enrolment.CodeNameUsed, outcome: "own name",
		why: "it is the name of this host",
	}
}

func nameTaken(w wanted) *denial {
	return &denial{port: enrolment.DuplicateName(w.name), code: enrolment.CodeNameUsed, outcome: "name"}
}

func noKey(w wanted, err error) *denial {
	return &denial{port: enrolment.InternalError(w.name), code: enrolment.CodeKey, outcome: "error", why: err.Error()}
}

func internal(w wanted, err error) *denial {
	return &denial{port: enrolment.InternalError(w.name), code: enrolment.CodeInternal, outcome: "error", why: err.Error()}
}

// inTheWay is for what the keys themselves find to be taken, again and again.
func inTheWay(w wanted, c *keystore.ConflictError) *denial {
	d := nameTaken(w)
	switch {
	case errors.Is(c, keystore.ErrDuplicateID):
		d = idTaken(w)
	case errors.Is(c, keystore.ErrDuplicateAddress):
		d = addressTaken(w)
	}
	d.kept, d.why = c.Present.ID, "the keys go on changing"
	return d
}

// tellDenied logs a denial, or what the port does not know of it, without letting
// those who ask fill the log.
func (m *Master) tellDenied(w wanted, d *denial) {
	if w.port && d.why == "" {
		return // the port logs the text
	}
	attrs := []slog.Attr{slog.String("from", w.from)}
	if d.kept != "" {
		attrs = append(attrs, slog.String("agent", d.kept))
	}
	if d.why != "" {
		attrs = append(attrs, slog.String("reason", d.why))
	}
	line := "No key for " + logging.Quote(w.name) + ": " + logging.Quote(d.port.Text)
	m.refusals.Log(m.log, slog.LevelWarn, line, attrs...)
}

// tellNew logs a new agent and those that went for it.
func (m *Master) tellNew(w wanted, e keystore.Entry, replaced []keystore.Entry) {
	for _, old := range replaced {
		m.log.Info("Agent removed for a new one.", slog.String("agent", old.ID), slog.String("name", old.Name), slog.String("by", e.ID))
	}
	attrs := []any{slog.String("agent", e.ID), slog.String("name", e.Name), slog.String("address", e.Address), slog.String("from", w.from)}
	if len(w.groups) > 0 {
		attrs = append(attrs, slog.Any("groups", w.groups))
	}
	m.log.Info("New agent.", attrs...)
}
