package registrar

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

// wanted is a registration as it is asked for, at the port or on the socket.
type wanted struct {
	name       string
	address    enrolment.Address
	badAddress bool // it is none; told where its turn comes
	id         string
	key        agent.Secret // the zero value: a new one
	groups     []string
	hash       string // of the key that the newcomer has
	force      enrolment.Force
	held       bool // somebody will tell whether the key has arrived
	port       bool // it comes from the port of this node, which logs refusals
	from       string
}

// locks are the names under which others that want the same wait.
func (w *wanted) locks() []string {
	names := []string{lockOfName(w.name)}
	if w.comparable() {
		names = append(names, lockOfAddress(w.address.Asked))
	}
	if w.id != "" {
		names = append(names, lockOfID(w.id))
	}
	return names
}

// locksOf are the names under which those wait who want the place of an entry.
func locksOf(e keystore.Entry) []string {
	return []string{lockOfName(e.Name), lockOfAddress(keystore.Bare(e.Address)), lockOfID(e.ID)}
}

func lockOfName(name string) string       { return "name " + name }
func lockOfAddress(address string) string { return "address " + address }
func lockOfID(id string) string           { return "id " + id }

// comparable tells whether another agent may have the address already: networks
// are not compared (docs/enrolment.md §5).
func (w *wanted) comparable() bool { return !w.badAddress && w.address.Asked != enrolment.AnyAddress }

// conflictsMost is how often a registration is decided anew because the keys have
// changed meanwhile.
const conflictsMost = 16

// admit decides and does. Whoever is told of the entry has to tell the agent.
func (m *Master) admit(ctx context.Context, w wanted) (keystore.Entry, *denial) {
	start := time.Now()
	entry, replaced, denied := m.place(ctx, w)
	if denied != nil {
		m.cfg.Metrics.Registration(denied.outcome, time.Since(start).Seconds())
		m.tellDenied(w, denied)
		return entry, denied
	}
	changes := make([]change, 0, 1+len(replaced))
	for _, old := range replaced {
		now, there := m.cfg.Keys.ByID(old.ID)
		switch {
		case old.ID == entry.ID:
			m.rows.do(ctx, deletion(old)) // before the newcomer's row
		case there && !now.Secret.Equal(old.Secret):
			m.rows.giveBack(1) // id and row are another's by now
		default:
			m.held.end(old.ID)
			changes = append(changes, deletion(old))
		}
	}
	m.rows.do(ctx, append(changes, m.insertion(entry, w))...)
	m.cfg.Metrics.Registration("ok", time.Since(start).Seconds())
	m.count()
	m.tellNew(w, entry, replaced)
	return entry, nil
}

// place finds a place for the newcomer among the keys. Places in the queue of the
// database are reserved when there is no denial: one, and one for each replaced.
func (m *Master) place(ctx context.Context, w wanted) (entry keystore.Entry, replaced []keystore.Entry, d *denial) {
	if d := m.checkGroups(w.groups); d != nil {
		return entry, nil, d
	}
	patience := time.Now().Add(2 * settleTime)
	for {
		release, err := m.locks.take(ctx, w.locks()...)
		if err != nil {
			return entry, nil, internal(w, err)
		}
		entry, replaced, wait, d := m.placeLocked(ctx, w, time.Now().Before(patience))
		release()
		if wait == nil {
			return entry, replaced, d
		}
		err = wait.settled(ctx)
		m.held.waited(wait)
		if err != nil {
			return entry, nil, internal(w, err)
		}
	}
}

// settled waits until the registration is not held any more, or has been so for
// as long as its agent may be waiting for the key.
func (h *held) settled(ctx context.Context) error {
	ctx, cancel := context.WithDeadline(ctx, h.since.Add(settleTime))
	defer cancel()
	select {
	case <-h.over:
		return nil
	case <-ctx.Done():
		if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	}
}

// placeLocked looks and adds until nothing has changed between the two. wait is a
// held registration that is to be waited for, without the locks.
func (m *Master) placeLocked(ctx context.Context, w wanted, patient bool) (entry keystore.Entry, replaced []keystore.Entry, wait *held, d *denial) {
	var conflict *keystore.ConflictError
	for range conflictsMost {
		replace, wait, d := m.examine(ctx, w, patient)
		if wait != nil || d != nil {
			return entry, nil, wait, d
		}
		if entry, d, conflict = m.add(ctx, w, replace); conflict == nil {
			return entry, replace, nil, d
		}
	}
	return entry, nil, nil, inTheWay(w, conflict)
}

// examine makes the checks that concern other agents, in their order
// (docs/enrolment.md §5, §9), and gives those that have to go. Whoever gets a
// registration to wait for says when he has.
func (m *Master) examine(ctx context.Context, w wanted, patient bool) (replace []keystore.Entry, wait *held, d *denial) {
	look := func(old keystore.Entry, there bool, deny func(wanted) *denial) {
		if !there || wait != nil || d != nil || contains(replace, old) {
			return
		}
		v := m.judge(ctx, old, w, patient)
		switch {
		case v.wait != nil:
			wait = v.wait
		case v.replace:
			replace = append(replace, old)
		default:
			d = deny(w)
			d.kept, d.why = old.ID, v.why
		}
	}
	if w.id != "" {
		old, there := m.cfg.Keys.ByID(w.id)
		look(old, there, idTaken)
	}
	if d == nil && w.badAddress {
		d = noAddress(w)
	}
	if w.comparable() {
		old, there := m.cfg.Keys.ByBareAddress(w.address.Asked)
		look(old, there, addressTaken)
	}
	if d == nil && wait == nil && w.name == m.cfg.HostName {
		d = ownName(w)
	}
	old, there := m.cfg.Keys.ByName(w.name)
	look(old, there, nameTaken)
	return replace, wait, d
}

func contains(list []keystore.Entry, e keystore.Entry) bool {
	for _, one := range list {
		if one.ID == e.ID {
			return true
		}
	}
	return false
}

// verdict is what becomes of an agent in the way.
type verdict struct {
	replace bool
	wait    *held // it is too early to say
	why     string
}

// judge applies the rules to an agent in the way. One of which it is not known
// that it has its key, and that has never connected, goes whatever they say: it
// may be this very newcomer, whose answer was lost.
func (m *Master) judge(ctx context.Context, old keystore.Entry, w wanted, patient bool) verdict {
	hash := enrolment.KeyHash(old.ID, old.Name, old.Secret)
	h := m.held.of(old)
	if h != nil && w.hash == hash {
		m.held.end(old.ID) // whoever asks has this key
		h = nil
	}
	if h != nil && time.Since(h.since) < settleTime {
		if patient && m.held.mayWait(h) {
			return verdict{wait: h}
		}
		h = nil // as if its agent had the key, which is likely
	}
	existing, err := m.state(ctx, old)
	if h != nil {
		switch {
		case err != nil && m.rows.uninserted(old), err == nil && !connected(existing):
			return verdict{replace: true}
		case err == nil:
			m.held.end(old.ID)
		}
	}
	if err != nil {
		m.silent.Fail(m.log, slog.LevelError, "The agent database does not say how an agent is, which therefore stays.", slog.Any("err", err))
		return verdict{why: "the database does not say how it is"}
	}
	m.silent.Recovered(m.log, "The agent database says again how agents are.")
	existing.KeyHash = hash
	replace, why := w.force.Decide(existing, w.hash, time.Now().Unix())
	return verdict{replace: replace, why: why}
}

func connected(e enrolment.Existing) bool { return e.Known && e.Status != agent.NeverConnected }

func (m *Master) state(ctx context.Context, e keystore.Entry) (enrolment.Existing, error) {
	ctx, cancel := context.WithTimeout(ctx, databaseTime)
	defer cancel()
	return m.cfg.Agents.State(ctx, number(e))
}

// add adds the newcomer. conflict is that the keys have changed since they were
// looked at.
func (m *Master) add(ctx context.Context, w wanted, replace []keystore.Entry) (entry keystore.Entry, d *denial, conflict *keystore.ConflictError) {
	places := 1 + len(replace)
	if !m.rows.reserve(places) {
		return entry, internal(w, errQueueFull), nil
	}
	secret := w.key
	if secret.Missing() {
		var err error
		if secret, err = enrolment.NewKey(); err != nil {
			m.rows.giveBack(places)
			return entry, noKey(w, err), nil
		}
	}
	entry, err := m.cfg.Keys.Add(ctx, keystore.Addition{
		Entry: keystore.Entry{ID: w.id, Name: w.name, Address: w.address.Stored, Secret: secret},
		Asked: w.address.Asked, Replace: replace,
	})
	m.keysWritten(err)
	if err != nil {
		m.rows.giveBack(places)
		if c, is := errors.AsType[*keystore.ConflictError](err); is {
			return entry, nil, c
		}
		return entry, internal(w, err), nil
	}
	if w.held {
		m.hold(entry)
	}
	return entry, nil, nil
}

// checkGroups finds a group without directory (docs/enrolment.md §5).
func (m *Master) checkGroups(groups []string) *denial {
	if len(groups) > agent.MaxGroups {
		return tooManyGroups()
	}
	for _, name := range groups {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return unknownGroup(name)
		}
		if info, err := m.cfg.Home.Stat(sharedDir + name); err != nil || !info.IsDir() {
			return unknownGroup(name)
		}
	}
	return nil
}

// sharedDir holds a directory for each group.
const sharedDir = "etc/shared/"
