package fleet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// pageTimeout is how long a node may take to answer; it is on this machine.
	pageTimeout = 2 * time.Second
	// pageBytes bounds an answer.
	pageBytes = 16 << 20
)

// Get asks the node's page for operators for one of its paths: "/metrics",
// "/readyz", "/status". Any status but 200 is an error.
func (n *Node) Get(ctx context.Context, path string) (body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Metrics+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", n.Name, path, err)
	}
	request.Close = true // so that no connection, and no goroutine, is left behind
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", n.Name, path, err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, pageBytes))
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", n.Name, path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return body, fmt.Errorf("ask %s for %s: answer is %s", n.Name, path, answer.Status)
	}
	return body, nil
}
