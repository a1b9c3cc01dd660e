package nodekeys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"testudo/internal/agent"
	"testudo/internal/config"
	"testudo/internal/enrolment"
	"testudo/internal/home"
	"testudo/internal/keystore"
)

// fileKeys changes the file of a home where nobody registers agents. What the
// database has to know of it, the node learns from the file.
type fileKeys struct {
	lock  *home.Hold // nil beside a node that does not register agents
	root  *os.Root
	store *keystore.Store
	host  string
	purge bool

	end   context.CancelFunc
	tasks sync.WaitGroup
	err   error // of the writer; valid after tasks
}

// openFile takes the home's lock, so that no node starts meanwhile. A node that
// runs and does not register agents only reads the file.
func openFile(ctx context.Context, dir string, cfg *config.Config) (k *fileKeys, err error) {
	k = &fileKeys{purge: cfg.Auth.Purge, end: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	k.lock, err = home.Lock(dir)
	if inUse, ok := errors.AsType[*home.InUseError](err); ok && inUse.As != "" {
		cfg, _ = home.ReadConfig(dir, inUse.As)
	}
	if errors.Is(err, home.ErrInUse) && !cfg.EnrolmentEmbedded() {
		k.lock, err = nil, nil
	}
	if errors.Is(err, home.ErrInUse) {
		return k, fmt.Errorf("%w, and does not answer at %s yet: %w", err, SocketPath, ErrNobody)
	}
	if err != nil {
		return k, err
	}
	if k.root, err = os.OpenRoot(dir); err != nil {
		return k, fmt.Errorf("open the home: %w", err)
	}
	o := keystore.Options{Purge: k.purge, Brief: true, Look: -1}
	if uid, gid, ok := home.Identity(); ok && os.Geteuid() == 0 {
		o.UID, o.GID = uid, gid
	}
	store, err := keystore.Open(k.root, o)
	if err != nil {
		return k, err
	}
	k.store = store
	if k.host, err = os.Hostname(); err != nil {
		return k, fmt.Errorf("find the name of this host: %w", err)
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	k.end = end
	k.tasks.Go(func() { k.err = store.Run(running) })
	return k, nil
}

func (k *fileKeys) close() error {
	var errs []error
	if k.store != nil {
		errs = append(errs, k.store.Close())
	}
	k.end()
	k.tasks.Wait()
	errs = append(errs, k.err)
	if k.root != nil {
		errs = append(errs, k.root.Close())
	}
	if k.lock != nil {
		errs = append(errs, k.lock.Release())
	}
	return errors.Join(errs...)
}

// add does what a node does (docs/enrolment.md §5), but for the rules of
// replacement: an agent in the way goes when it is to, else it stays.
func (k *fileKeys) add(ctx context.Context, a Addition) (agent.Key, error) {
	if len(a.Groups) > 0 {
		return agent.Key{}, ErrGroups
	}
	if a.Name == k.host {
		return agent.Key{}, fmt.Errorf("%q is the name of this host: %w", a.Name, keystore.ErrDuplicateName)
	}
	address, err := enrolment.ParseAddress(a.Address)
	if err != nil {
		return agent.Key{}, err
	}
	if a.Key.Reveal() == "" {
		if a.Key, err = enrolment.NewKey(); err != nil {
			return agent.Key{}, err
		}
	}
	addition := keystore.Addition{
		Entry: keystore.Entry{ID: a.ID, Name: a.Name, Address: address.Stored, Secret: a.Key}, Asked: address.Asked,
	}
	for {
		entry, err := k.store.Add(ctx, addition)
		conflict, ok := errors.AsType[*keystore.ConflictError](err)
		if ok && a.Replace && len(addition.Replace) < maxReplaced {
			addition.Replace = append(addition.Replace, conflict.Present)
			continue
		}
		if err != nil {
			return agent.Key{}, err
		}
		id, err := agent.ParseID(entry.ID)
		return agent.Key{ID: id, Text: entry.ID, Name: entry.Name, Address: entry.Address, Secret: entry.Secret}, err
	}
}

// maxReplaced is how many agents can be in the way of one: by id, name and address.
const maxReplaced = 3

func (k *fileKeys) remove(ctx context.Context, id string, purge bool) error {
	_, err := k.store.Remove(ctx, id, purge)
	if errors.Is(err, keystore.ErrUnknown) {
		return ErrUnknown
	}
	return err
}
