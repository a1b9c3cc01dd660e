package filetree

// forbidBeneath makes the tree do without openat2, as on an old kernel.
func (t *Tree) forbidBeneath() { t.missing.Store(true) }
