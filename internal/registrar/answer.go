package registrar

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"testudo/internal/enrolment"
	"testudo/internal/health"
	"testudo/internal/keystore"
)

// Answer answers a message of the local socket (docs/enrolment.md §9). It may hold
// a key.
func (m *Master) Answer(ctx context.Context, message []byte) []byte {
	return m.answer(ctx, message, "local socket")
}

// AnswerWorker answers a message that a worker has sent (docs/enrolment.md §10).
func (m *Master) AnswerWorker(ctx context.Context, worker string, message []byte) []byte {
	return m.answer(ctx, message, "worker "+worker)
}

// answer answers a message; from is who asks, for the log.
func (m *Master) answer(ctx context.Context, message []byte, from string) []byte {
	if len(message) == 0 || message[0] != '{' {
		return m.cfg.Settings.Answer(string(message))
	}
	return m.do(ctx, message, from).JSON()
}

func (m *Master) do(ctx context.Context, data []byte, from string) enrolment.Answer {
	message, err := enrolment.ParseMessage(data)
	if err != nil {
		refusal, is := errors.AsType[*enrolment.Refusal](err)
		if !is {
			refusal = enrolment.Refused(enrolment.CodeInternal)
		}
		return enrolment.Answer{Refusal: refusal}
	}
	switch id := message.Arguments.ID; message.Function {
	case enrolment.FunctionAdd:
		return m.answerAdd(ctx, message.Arguments, from)
	case enrolment.FunctionRemove:
		return m.answerRemove(ctx, id, message.Arguments.Purge, from)
	case enrolment.FunctionGet:
		entry, there := m.cfg.Keys.ByID(id)
		if !there {
			return refused(enrolment.CodeUnknownID)
		}
		return answerOf(entry, entry.Address)
	case enrolment.FunctionConfirm:
		if message.Arguments.Held {
			return m.keep(ctx, id)
		}
		return m.confirm(id)
	}
	return refused(enrolment.CodeInternal)
}

func refused(code int) enrolment.Answer { return enrolment.Answer{Refusal: enrolment.Refused(code)} }

func answerOf(e keystore.Entry, address string) enrolment.Answer {
	return enrolment.Answer{ID: e.ID, Name: e.Name, IP: address, Key: e.Secret}
}

func (m *Master) answerAdd(ctx context.Context, a enrolment.Arguments, from string) enrolment.Answer {
	w := wanted{
		name: a.Name, id: a.ID, key: a.Key, groups: a.Groups, hash: a.KeyHash,
		force: m.cfg.Settings.Force, held: a.Held, from: from,
	}
	if a.Force != nil {
		w.force = *a.Force
	}
	var err error
	if w.address, err = enrolment.ParseAddress(a.IP); err != nil {
		w.badAddress = true
	}
	entry, denied := m.admit(ctx, w)
	if denied != nil {
		return refused(denied.code)
	}
	return answerOf(entry, w.address.Asked)
}

func (m *Master) answerRemove(ctx context.Context, id string, purge bool, from string) enrolment.Answer {
	entry, err := m.remove(ctx, id, purge, nil)
	switch {
	case err == nil:
		m.log.Info("Agent removed.", slog.String("agent", entry.ID), slog.String("name", entry.Name), slog.String("by", from))
		return enrolment.Answer{Text: enrolment.TextRemoved}
	case errors.Is(err, keystore.ErrUnknown):
		return refused(enrolment.CodeUnknownID)
	}
	m.refusals.Log(m.log, slog.LevelError, "An agent could not be removed.", slog.String("agent", id), slog.Any("err", err))
	return refused(enrolment.CodeInternal)
}

// remove removes an agent, if only is nil or it still has this very key.
func (m *Master) remove(ctx context.Context, id string, purge bool, only *keystore.Entry) (entry keystore.Entry, err error) {
	defer func() { m.cfg.Metrics.KeyRemoval(resultOf(err)) }()
	release, err := m.locks.take(ctx, lockOfID(id))
	if err != nil {
		return entry, err
	}
	defer release()
	if now, there := m.cfg.Keys.ByID(id); only != nil && (!there || !now.Secret.Equal(only.Secret)) {
		return entry, keystore.ErrUnknown
	}
	if !m.rows.reserve(1) {
		return entry, errQueueFull
	}
	entry, err = m.cfg.Keys.Remove(ctx, id, purge)
	if !errors.Is(err, keystore.ErrUnknown) {
		m.keysWritten(err)
	}
	if err != nil {
		m.rows.giveBack(1)
		return entry, err
	}
	m.held.end(id)
	m.rows.do(ctx, deletion(entry))
	m.count()
	return entry, nil
}

func resultOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, keystore.ErrUnknown):
		return "unknown"
	}
	return "error"
}

// lose takes back an entry whose agent has not got the answer.
func (m *Master) lose(ctx context.Context, entry keystore.Entry) {
	_, err := m.remove(ctx, entry.ID, true, &entry)
	if err != nil && !errors.Is(err, keystore.ErrUnknown) {
		// It stays held, so that it may be replaced at least.
		m.log.Warn("An agent did not get its key, which could not be taken back.", slog.String("agent", entry.ID),
			slog.String("name", entry.Name), slog.Any("err", err))
	}
}

// confirm takes note that agents have their keys (docs/extensions.md); ids are
// joined by commas.
func (m *Master) confirm(ids string) enrolment.Answer {
	answer := enrolment.Answer{Text: textConfirmed}
	for id := range strings.SplitSeq(ids, ",") {
		m.held.end(id)
		if _, there := m.cfg.Keys.ByID(id); !there {
			answer = refused(enrolment.CodeUnknownID)
		}
	}
	m.count()
	return answer
}

// keep keeps the place of an agent that is about to get its key: it is held from
// now on, as if it had just been added.
func (m *Master) keep(ctx context.Context, id string) enrolment.Answer {
	entry, there := m.cfg.Keys.ByID(id)
	if !there {
		return refused(enrolment.CodeUnknownID)
	}
	switch kept, err := m.holdAnew(ctx, entry); {
	case err != nil:
		return refused(enrolment.CodeInternal)
	case !kept:
		return refused(enrolment.CodeUnknownID)
	}
	return enrolment.Answer{Text: textConfirmed}
}

// holdAnew holds an entry as if it had just been added, unless it has gone. Whoever
// is being given its place just now gets it first. The error is that of ctx.
func (m *Master) holdAnew(ctx context.Context, entry keystore.Entry) (bool, error) {
	release, err := m.locks.take(ctx, locksOf(entry)...)
	if err != nil {
		return false, err
	}
	defer release()
	return m.hold(entry), nil
}

// hold begins to hold an entry, unless it has gone meanwhile.
func (m *Master) hold(entry keystore.Entry) bool {
	m.held.hold(entry, time.Now())
	now, there := m.cfg.Keys.ByID(entry.ID)
	if !there || !now.Secret.Equal(entry.Secret) {
		m.held.end(entry.ID)
		return false
	}
	return true
}

const textConfirmed = "Agents confirmed."

// insertion is the change for an entry that has come.
func (m *Master) insertion(e keystore.Entry, w wanted) change {
	sync := "synced"
	if m.cfg.InCluster {
		sync = "syncreq"
	}
	return change{entry: e, insert: &NewAgent{
		ID: number(e), Name: e.Name, RegisterIP: w.address.Bare, Key: e.Secret,
		Groups: w.groups, GroupSync: sync, Added: e.Added.Unix(),
	}}
}

// keysWritten puts up that keys cannot be written, and takes it down.
func (m *Master) keysWritten(err error) {
	const name = "keys-not-written"
	_, passing := errors.AsType[*keystore.ConflictError](err)
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, keystore.ErrClosed, keystore.ErrBusy, keystore.ErrEntry} {
		passing = passing || errors.Is(err, known)
	}
	switch {
	case err == nil:
		m.cfg.Health.Clear(name)
		m.failing.Recovered(m.log, "Keys are written again.")
	case !passing:
		m.failing.Fail(m.log, slog.LevelError, "Keys cannot be written, agents do not enrol.", slog.Any("err", err))
		remedy := "Look at the disk and the rights of etc/client.keys: agents cannot enrol."
		if errors.Is(err, keystore.ErrNoID) {
			remedy = "An agent has been given an id so high that none follows, and agents cannot enrol. Remove it with purge, stop the node, and remove queue/db/testudo-keys."
		}
		m.cfg.Health.Raise(name, health.Critical, "A change of etc/client.keys could not be made: "+err.Error()+".", remedy)
	}
}
