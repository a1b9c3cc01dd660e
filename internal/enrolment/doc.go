// Package enrolment holds the words of enrolment, with which an agent asks a
// node for a key (docs/enrolment.md): the request line and its replies, the
// messages of the local socket, addresses, group lists, the replacement rules
// and the settings. It is pure: nothing here opens a file or a connection.
package enrolment
