// Package ossecxml reads the XML dialect of ossec.conf and its kin: several
// roots in one file, stray '<' and '&' in texts, comments with anything in
// them. It keeps the line of every element, so that whoever judges a value can
// say where it stands.
//
// The dialect is that of the original's reader (docs/configuration.md §1),
// which mends the text first and then gives it to a strict XML parser:
//
//   - '<' is markup only before "!--", or when, after an optional '/', a word
//     character follows and a '>' stands on the same line at least one
//     character later. Everything else is text: an XML declaration, a DOCTYPE,
//     "a < b", and also a start tag that is broken over two lines.
//   - '&' is text unless it begins one of amp, apos, quot, lt, gt, backslash.
//     The first three and the last are decoded; "&lt;" and "&gt;" stay as they
//     are written.
//   - Opening and closing names must agree in case; Element.Name is then in
//     lower case.
//   - Text beside and between the roots is ignored.
//
// It is more lenient in one place: a comment may hold any run of dashes.
package ossecxml
