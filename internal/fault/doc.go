// Package fault holds the numbered errors of the cluster: their codes, fixed
// texts and classes (docs/errors.md), the form in which they are printed and
// the JSON in which one node tells another about them (docs/wire.md §5.1).
//
// Whatever a peer sends is data: Parse looks names up in fixed tables, bounds
// size and depth, and never turns a payload into anything but strings,
// numbers, booleans, lists and maps.
package fault
