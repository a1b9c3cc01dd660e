package agentgroups

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"testudo/internal/agent"
	"testudo/internal/logging"
)

// mostNamed is how many agents with other groups are named in the log.
const mostNamed = 20

// difference is what was found different between the master's groups and ours.
type difference struct {
	count      int
	named      []string
	incomplete bool // not everything could be compared
}

// entry is one agent in a chunk.
type entry struct {
	ID     agent.ID `json:"id"`
	Groups []string `json:"groups"`
}

// add compares a list of the master's with our database.
func (d *difference) add(ctx context.Context, sink Sink, data []byte) error {
	var theirs []entry
	err := json.Unmarshal(data, &theirs)
	if err != nil {
		d.incomplete = true
		return fmt.Errorf("read groups: %w", err)
	}
	ids := make([]agent.ID, len(theirs))
	for i, e := range theirs {
		ids[i] = e.ID
	}
	ours, err := sink.GroupsOf(ctx, ids)
	if err != nil {
		d.incomplete = true
		return fmt.Errorf("groups of %d agents: %w", len(ids), err)
	}
	for _, e := range theirs {
		groups, known := ours[e.ID]
		if known && slices.Equal(groups, e.Groups) {
			continue
		}
		if d.count++; d.count > mostNamed {
			continue
		}
		was := "unknown here"
		if known {
			was = "was " + list(groups)
		}
		d.named = append(d.named, fmt.Sprintf("%s (%s, is %s)", e.ID, was, list(e.Groups)))
	}
	return nil
}

func list(groups []string) string {
	if len(groups) == 0 {
		return "none"
	}
	return logging.Quote(strings.Join(groups, ","))
}

// String is the line that names the agents.
func (d *difference) String() string {
	text := fmt.Sprintf("Groups of %d agents were not the master's: %s", d.count, strings.Join(d.named, "; "))
	if d.count > len(d.named) {
		text += "; ..."
	}
	return text
}
