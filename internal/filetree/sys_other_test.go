//go:build !linux

package filetree

func (t *Tree) forbidBeneath() {}
