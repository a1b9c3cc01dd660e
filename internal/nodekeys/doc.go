// Package nodekeys is the keys of a node's agents as a program of an operator
// sees them: read from etc/client.keys, and changed through the socket of whoever
// registers agents there, a Testudo node or the original's daemon
// (docs/enrolment.md §9), or in the file itself when nobody does.
package nodekeys
