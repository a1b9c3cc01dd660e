// Package wire is the codec of the cluster's connection: frames, messages
// divided into several frames, and the encryption of their payloads. It knows
// bytes only; who sends what and when is the business of package session.
//
// A frame (docs/wire.md §2), numbers big-endian:
//
//	0               4               8                              20
//	+---------------+---------------+------------------------------+-------------
//	| counter  u32  | length   u32  | command field, 12 bytes      | payload
//	+---------------+---------------+------------------------------+-------------
//	                                  name(1..11) 0x20 '-'... flag
//
// The payload is a Fernet token in its text form (docs/wire.md §3) when the
// connection has a [Key], and the clear bytes when it has none, as on the
// local socket. A message whose clear payload is longer than [Chunk] is sealed
// whole and the text cut into several frames of one counter, all but the last
// with flag 'd' (docs/wire.md §4).
package wire
