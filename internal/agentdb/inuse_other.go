//go:build !linux

package agentdb

import "context"

// holder would name a process that has the file open; here no way is known to
// see that.
func holder(context.Context, string) string { return "" }
