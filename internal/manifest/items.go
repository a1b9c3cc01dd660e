package manifest

import (
	"io/fs"
	"slices"
	"strings"
)

// AllFiles is the one element of Item.Files that stands for every name.
const AllFiles = "all"

// Item is one synchronised directory: an object of "files" in cluster.json
// (docs/integrity.md §3).
type Item struct {
	// Key is the directory relative to the home, with a slash at the end:
	// "etc/rules/".
	Key string
	// Mode holds the permission bits that a received file gets.
	Mode fs.FileMode
	// Source, Restart and Description stand in cluster.json and have no effect.
	Source      string
	Restart     bool
	Description string
	// Files lists the file names that are synchronised; [AllFiles] means any.
	Files []string
	// Recursive says whether directories below belong to the item.
	Recursive bool
	// RemoveEmpty says that directories emptied by a removal go too.
	RemoveEmpty bool
	// ExtraValid says that files only a worker has are left alone.
	ExtraValid bool
}

// Dir returns the item's directory, relative to the home and without the slash
// at the end.
func (i Item) Dir() string { return strings.TrimSuffix(i.Key, "/") }

// Items is the table of what is synchronised.
type Items struct {
	List []Item
	// ExcludedFiles are file names that are never synchronised.
	ExcludedFiles []string
	// ExcludedExtensions are endings of file names that are never synchronised.
	ExcludedExtensions []string
}

// DefaultItems returns the built-in table of docs/integrity.md §3. The caller
// may change what it gets.
func DefaultItems() Items {
	all := func(key string, removeEmpty bool, description string) Item {
		return Item{
			Key: key, Mode: 0o660, Source: "master", Files: []string{AllFiles},
			Recursive: true, RemoveEmpty: removeEmpty, Description: description,
		}
	}
	multigroups := all("var/multigroups/", true, "what agents in several groups are sent")
	multigroups.Files = []string{"merged.mg"}
	return Items{
		List: []Item{
			{
				Key: "etc/", Mode: 0o640, Source: "master", Files: []string{"client.keys"},
				Description: "the agents' keys",
			},
			all("etc/shared/", true, "the groups' shared configuration"),
			multigroups,
			all("etc/rules/", false, "own rules"),
			all("etc/decoders/", false, "own decoders"),
			all("etc/lists/", false, "own lists"),
		},
		ExcludedFiles:      []string{"ar.conf", "ossec.conf"},
		ExcludedExtensions: []string{"~", ".tmp", ".lock", ".swp"},
	}
}

// Lookup returns the item of a key, given as in cluster_item_key.
func (it Items) Lookup(key string) (Item, bool) {
	for i := range it.List {
		if it.List[i].Key == key {
			return it.List[i], true
		}
	}
	return Item{}, false
}

// Excluded tells whether a file name is never synchronised, in whichever
// directory it is.
func (it Items) Excluded(name string) bool {
	if slices.Contains(it.ExcludedFiles, name) {
		return true
	}
	return slices.ContainsFunc(it.ExcludedExtensions, func(ending string) bool {
		return strings.HasSuffix(name, ending)
	})
}

// Accepts tells whether a file of this name, in a directory of the item, is
// synchronised. It looks at the item's list and the exclusions only, not at
// the form of the name (CheckPath does).
func (it Items) Accepts(item Item, name string) bool {
	return item.lists(name) && !it.Excluded(name)
}

func (i *Item) lists(name string) bool {
	return slices.Contains(i.Files, name) || (len(i.Files) == 1 && i.Files[0] == AllFiles)
}
