// Package bundle writes and reads the package in which synchronised files
// travel (docs/integrity.md §5), and keeps compressed files for several
// receivers.
//
//	package = member ( "|@@//@@|" member )*
//	member  = PATH "|//@@//|" ZLIB(content)
//
// A receiver of the original kind cuts a package at every "|@@//@@|", also at
// one that happens to occur inside compressed data, and then can read nothing
// of it. Whatever the content, the members written here hold none; packer.go
// says how. The reader here follows the structure and is indifferent to it.
//
// Memory never grows with the size of a file or of a package.
package bundle
