// Package config reads everything that decides how a node behaves, once, at the
// start: etc/ossec.conf (its <cluster> section), internal_options.conf and
// local_internal_options.conf, cluster.json and etc/testudo.yaml
// (docs/configuration.md).
//
// Load gives typed values with every default filled in, and all problems at
// once, each with its file and line. Where the original has a text for a
// problem (errors 3004, 3005 and 3006), Problem.Text is that text to the
// letter, because people and programs look for it. Problems come in the order
// in which the original would have met them: the first one of severity Error is
// what its daemon would have logged before it ended.
//
// Options that the original accepts and that mean nothing here are left alone.
// Files that people rarely touch are strict instead: an unknown key in
// cluster.json or testudo.yaml is an error, because it is a misspelt one.
package config
