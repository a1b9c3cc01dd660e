// Package home knows the directory that a node lives in: where it is, how a new
// one is made, and the marks that a running node leaves there (its lock, its pid
// file, its working files). The layout is that of a 4.7.5 installation
// (docs/configuration.md §5, docs/integrity.md §12).
package home
