package session

import "github.com/google/uuid"

// NewID makes an id for a task or a request: the text of a random UUID, as
// 4.7.5 nodes make them.
func NewID() string { return uuid.NewString() }
