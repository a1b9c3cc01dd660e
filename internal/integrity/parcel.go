package integrity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"testudo/internal/bundle"
	"testudo/internal/manifest"
)

// Reasons of files that are left out of a package; operators read them.
const (
	reasonTooLarge = "too large: %d bytes, the package limit is %d"
	reasonName     = "its name cannot stand in a package"
	reasonChanged  = "changed while it was read; it goes with the next round"
)

// Files are compressed while those before them are on their way, so many of
// them, or so many of their bytes, at a time. Larger ones are compressed before
// the package is announced: whoever waits for it must see some progress.
const (
	batchFiles = 64
	batchBytes = 8 << 20
	largeFile  = 8 << 20
)

// packer makes parcels out of the master's tree.
type packer struct {
	tree  Tree
	spool *bundle.Spool
}

// parcel is a package to be sent: the files of a difference, in its order, as
// far as they fit.
type parcel struct {
	*packer
	difference manifest.Difference // before anything is left out
	limit      int64
	large      bool                      // the receiver takes a file of any size, alone in its package
	left       map[string]string         // path to reason
	ready      map[string]*bundle.Packed // large files, until they are written

	// what has been written
	room    int64
	files   int
	shared  int  // of difference.Shared, so many have had their turn
	missing int  // the same
	cut     bool // the limit ended the package: the rest goes with the next
}

// pack prepares a parcel up to a limit in bytes; it is to be released.
func (p *packer) pack(ctx context.Context, d manifest.Difference, limit int64, large bool) (*parcel, error) {
	out := &parcel{
		packer: p, difference: d, limit: limit, room: limit, large: large,
		left: make(map[string]string), ready: make(map[string]*bundle.Packed),
	}
	total := int64(0)
	for _, entries := range [][]manifest.Entry{d.Shared, d.Missing} {
		for i := range entries {
			e := &entries[i]
			if why := out.keepsOut(e); why != "" {
				out.left[e.Path] = why
			} else if e.Size > largeFile && total <= limit {
				packed, err := p.get(ctx, e)
				if ctx.Err() != nil {
					out.release()
					return nil, ctx.Err()
				}
				if err != nil {
					out.left[e.Path] = reasonOf(err)
					continue
				}
				out.ready[e.Path] = packed
				total += packed.Size()
			}
		}
	}
	return out, nil
}

// keepsOut says why a file cannot be in the package, if that is known before it
// is read.
func (p *parcel) keepsOut(e *manifest.Entry) string {
	switch {
	case e.Size > p.limit && !p.large:
		return fmt.Sprintf(reasonTooLarge, e.Size, p.limit)
	case bundle.CheckPath(e.Path) != nil:
		return reasonName
	}
	return ""
}

func (p *parcel) release() {
	for _, packed := range p.ready {
		packed.Release()
	}
	clear(p.ready)
}

// writeTo writes the package: the files, then the metadata of those that went.
func (p *parcel) writeTo(ctx context.Context, w io.Writer, level int) error {
	bw := bundle.NewWriter(w, level)
	if err := p.writeFiles(ctx, bw, p.difference.Shared, &p.shared); err != nil {
		return err
	}
	if err := p.writeFiles(ctx, bw, p.difference.Missing, &p.missing); err != nil {
		return err
	}
	return bw.Close(p.sent().WriteJSON)
}

// sent is the difference as the worker is told: without the files left out.
func (p *parcel) sent() manifest.Difference {
	took := func(entries []manifest.Entry, turns int) []manifest.Entry {
		isLeft := func(e manifest.Entry) bool { _, out := p.left[e.Path]; return out }
		entries = entries[:turns]
		if len(p.left) > 0 && slices.ContainsFunc(entries, isLeft) {
			entries = slices.DeleteFunc(slices.Clone(entries), isLeft)
		}
		return entries
	}
	d := p.difference
	d.Shared, d.Missing = took(d.Shared, p.shared), took(d.Missing, p.missing)
	return d
}

// compressed is a batch of files. One that cannot be packed has a reason.
type compressed struct {
	entries []manifest.Entry
	packed  []*bundle.Packed
	reasons []string
	err     error
}

func (c *compressed) release() {
	for _, p := range c.packed {
		if p != nil {
			p.Release()
		}
	}
}

// writeFiles writes files while they fit, each batch while the next one is
// compressed. turns counts those that were considered.
func (p *parcel) writeFiles(ctx context.Context, bw *bundle.Writer, entries []manifest.Entry, turns *int) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := p.compress(ctx, &entries)
	defer func() {
		cancel()
		(<-ahead).release()
	}()
	for !p.cut {
		batch := <-ahead
		ahead = p.compress(ctx, &entries)
		if err := p.write(bw, batch, turns); err != nil || len(batch.entries) == 0 {
			return err
		}
	}
	return nil
}

// write writes a batch and gives its files up.
func (p *parcel) write(bw *bundle.Writer, b *compressed, turns *int) error {
	defer b.release()
	if b.err != nil {
		return b.err
	}
	for i, e := range b.entries {
		if b.reasons[i] != "" {
			p.left[e.Path] = b.reasons[i]
		}
		if packed := b.packed[i]; packed != nil {
			size := bundle.MemberSize(e.Path, packed.Size())
			alone := p.large && p.files == 0
			if size > p.room && !alone {
				p.cut = true
				return nil
			}
			if err := bw.AddPacked(e.Path, packed); err != nil {
				return err
			}
			p.room -= size
			p.files++
		}
		*turns++
	}
	return nil
}

// compress takes the next files off a list and compresses them in the
// background. The one result, without entries when the list is empty, must be
// received and released.
func (p *parcel) compress(ctx context.Context, entries *[]manifest.Entry) <-chan *compressed {
	b := p.nextBatch(entries)
	done := make(chan *compressed, 1)
	go func() {
		b.err = p.compressAll(ctx, b)
		done <- b
	}()
	return done
}

func (p *parcel) nextBatch(entries *[]manifest.Entry) *compressed {
	n, size := 0, int64(0)
	for n < min(batchFiles, len(*entries)) && size < batchBytes {
		if e := &(*entries)[n]; p.ready[e.Path] == nil {
			size += e.Size
		}
		n++
	}
	b := &compressed{entries: (*entries)[:n], packed: make([]*bundle.Packed, n), reasons: make([]string, n)}
	*entries = (*entries)[n:]
	for i, e := range b.entries {
		b.reasons[i] = p.left[e.Path]
		b.packed[i] = p.ready[e.Path]
		delete(p.ready, e.Path)
	}
	return b
}

// compressAll compresses a batch's files side by side.
func (p *packer) compressAll(ctx context.Context, b *compressed) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(b.entries)) {
		g.Go(func() error {
			for {
				i := int(next.Add(1) - 1)
				if i >= len(b.entries) || ctx.Err() != nil {
					return ctx.Err()
				}
				if b.packed[i] != nil || b.reasons[i] != "" {
					continue
				}
				var err error
				b.packed[i], err = p.get(ctx, &b.entries[i])
				b.reasons[i] = reasonOf(err)
			}
		})
	}
	return g.Wait()
}

// get compresses one file, or finds it compressed. What has been appended to it
// since it was looked at goes with the next round: while many agents enrol
// client.keys is never again what it was.
func (p *packer) get(ctx context.Context, e *manifest.Entry) (*bundle.Packed, error) {
	return p.spool.Get(ctx, e.Digest, func() (io.ReadCloser, error) {
		f, err := p.tree.OpenFile(e.Path)
		if err != nil || e.Size == manifest.SizeUnknown {
			return f, err
		}
		return beginning{io.LimitReader(f, e.Size), f}, nil
	})
}

// beginning is a file as far as it is to be read.
type beginning struct {
	io.Reader
	io.Closer
}

func reasonOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, bundle.ErrChanged), errors.Is(err, fs.ErrNotExist):
		return reasonChanged
	}
	var spool *bundle.SpoolError
	if errors.As(err, &spool) {
		return spool.Error()
	}
	return "unreadable: " + err.Error()
}
