package nodeinfo

import (
	"context"
	"fmt"

	"testudo/internal/fault"
	"testudo/internal/manifest"
)

// ruleset are the keys of the items that get_hash tells of.
var ruleset = map[string]bool{"etc/rules/": true, "etc/decoders/": true, "etc/lists/": true}

// hashes answers get_hash.
type hashes struct {
	tree  Tree
	items manifest.Items
}

// answer is the JSON object path to hash of the node's own rules, decoders and
// lists, item by item.
func (h hashes) answer(ctx context.Context) ([]byte, error) {
	if h.tree == nil {
		return []byte("{}"), nil
	}
	m, err := h.tree.Manifest(ctx)
	if err != nil {
		return nil, fault.From(fmt.Errorf("read own files: %w", err))
	}
	dst := append(make([]byte, 0, 4<<10), '{')
	for i := range h.items.List {
		key := h.items.List[i].Key
		if !ruleset[key] {
			continue
		}
		for _, e := range m.Entries() {
			if e.ItemKey != key {
				continue
			}
			if len(dst) > 1 {
				dst = append(dst, ", "...)
			}
			dst = appendText(dst, e.Path)
			dst = append(dst, `: "`...)
			dst = append(append(dst, e.Digest.String()...), '"')
		}
	}
	return append(dst, '}'), nil
}
