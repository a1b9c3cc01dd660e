package integrity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

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

// parcel is a package before it is sent: what goes and what is left out.
type parcel struct {
	difference manifest.Difference // as the worker is told
	files      []parcelFile
	left       map[string]string // path to reason
	cut        bool              // the limit ended the package: the rest goes with the next
}

type parcelFile struct {
	path   string
	packed *bundle.Packed
}

func (p *parcel) release() {
	for _, f := range p.files {
		f.packed.Release()
	}
}

// batch is how many files are compressed ahead of the decision whether they
// still fit.
const batch = 64

// packer makes parcels out of the master's tree.
type packer struct {
	tree  Tree
	spool *bundle.Spool
}

// pack compresses the files of a difference up to a limit in bytes. A large
// receiver takes a file of any size, alone in its package.
func (p *packer) pack(ctx context.Context, d manifest.Difference, limit int64, large bool) (*parcel, error) {
	out := &parcel{left: make(map[string]string)}
	out.difference.Extra = d.Extra
	room := limit
	fill := func(entries []manifest.Entry) ([]manifest.Entry, error) {
		var taken []manifest.Entry
		for len(entries) > 0 && !out.cut {
			n := min(batch, len(entries))
			packed, err := p.compress(ctx, entries[:n], limit, large, out.left)
			if err != nil {
				return nil, err
			}
			taken = append(taken, out.take(entries[:n], packed, &room, large)...)
			entries = entries[n:]
		}
		return taken, nil
	}
	var err error
	if out.difference.Shared, err = fill(d.Shared); err == nil {
		out.difference.Missing, err = fill(d.Missing)
	}
	if err != nil {
		out.release()
		return nil, err
	}
	return out, nil
}

// take puts the packed files into the parcel while they fit.
func (p *parcel) take(entries []manifest.Entry, packed []*bundle.Packed, room *int64, large bool) []manifest.Entry {
	var taken []manifest.Entry
	for i, e := range entries {
		if packed[i] == nil {
			continue
		}
		size := bundle.MemberSize(e.Path, packed[i].Size())
		alone := large && len(p.files) == 0
		if p.cut || size > *room && !alone {
			p.cut = true
			packed[i].Release()
			continue
		}
		*room -= size
		p.files = append(p.files, parcelFile{e.Path, packed[i]})
		taken = append(taken, e)
	}
	return taken
}

// compress packs a few files side by side. A file that cannot be packed is nil
// in the result and its reason is in left.
func (p *packer) compress(ctx context.Context, entries []manifest.Entry, limit int64, large bool, left map[string]string) ([]*bundle.Packed, error) {
	packed := make([]*bundle.Packed, len(entries))
	reasons := make([]string, len(entries))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, e := range entries {
		switch {
		case e.Size > limit && !large:
			reasons[i] = fmt.Sprintf(reasonTooLarge, e.Size, limit)
			continue
		case bundle.CheckPath(e.Path) != nil:
			reasons[i] = reasonName
			continue
		}
		g.Go(func() error {
			var err error
			packed[i], err = p.spool.Get(ctx, e.Digest, func() (io.ReadCloser, error) {
				f, _, err := p.tree.OpenFile(e.Path)
				return f, err
			})
			reasons[i] = reasonOf(err)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		for _, p := range packed {
			if p != nil {
				p.Release()
			}
		}
		return nil, err
	}
	for i, reason := range reasons {
		if reason != "" {
			left[entries[i].Path] = reason
		}
	}
	return packed, nil
}

func reasonOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, bundle.ErrChanged), errors.Is(err, fs.ErrNotExist):
		return reasonChanged
	}
	return "unreadable: " + err.Error()
}

// writeTo writes the package: the files, then the metadata.
func (p *parcel) writeTo(w io.Writer, level int) error {
	bw := bundle.NewWriter(w, level)
	for _, f := range p.files {
		if err := bw.AddPacked(f.path, f.packed); err != nil {
			return err
		}
	}
	return bw.Close(p.difference.WriteJSON)
}
