// Package query filters, searches, orders and pages lists as users of the API
// ask for it (docs/functions.md §2): over rows of the agent database, and over
// items in memory.
package query
