// Package result holds the typed objects that travel in requests and answers
// of the distributed API, and the merging of the answers of several nodes
// (docs/dapi.md §2 to §3): results, errors, moments of time and the names of
// functions, each a JSON object recognised by one key.
//
// What a peer sends is data. Decode looks classes up by name in a fixed table
// and bounds size, depth and numbers of things; nothing in a payload becomes
// code. What need not be understood, such as affected items, is kept as it
// came.
package result
