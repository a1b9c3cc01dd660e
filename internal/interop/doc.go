// Package interop puts nodes of this program beside real 4.7.5 nodes, in one
// cluster and in both roles, and looks at what both make of it. It holds only
// tests. They run where TESTUDO_REFERENCE_HOME names a directory with the
// programs that docs/interop.md describes, and are skipped elsewhere.
package interop
