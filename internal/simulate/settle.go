package simulate

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// settlePause is the pause between two looks at all agents.
const settlePause = 200 * time.Millisecond

// maxExamples bounds the differences that are told of.
const maxExamples = 5

func groupText(m *member) string { return strings.Join(m.groups(), ",") }

// Settle waits until the master says of every agent what was last written of
// it, and every node has every agent's groups, or until the patience is at its
// end. What still differs then is in the report, and is no error.
func (s *Simulation) Settle(ctx context.Context) error {
	s.o.Step("Comparing what the nodes say of every agent")
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	for {
		wrong, examples, err := s.compare(ctx)
		if err != nil {
			return fmt.Errorf("compare the nodes: %w", err)
		}
		s.mu.Lock()
		s.report.Wrong, s.report.Examples, s.report.Compared = wrong, examples, true
		s.report.SettleSeconds = seconds(time.Since(began))
		s.mu.Unlock()
		if wrong == 0 {
			return nil
		}
		pause := time.NewTimer(settlePause)
		select {
		case <-pause.C:
		case <-limited.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// compare counts the agents of which a node says something else than it should.
func (s *Simulation) compare(ctx context.Context) (wrong int, examples []string, err error) {
	for i := range s.nodes {
		n := &s.nodes[i]
		c, err := dial(ctx, n)
		if err != nil {
			return 0, nil, err
		}
		found := 0
		err = walk(ctx, c, seenColumns, func(r seen) int64 {
			if m := s.find(r.ID); m != nil {
				found++
				if problem := s.differs(n, m, r); problem != "" {
					wrong++
					if len(examples) < maxExamples {
						examples = append(examples, fmt.Sprintf("%s says of agent %s: %s", n.name, m.id, problem))
					}
				}
			}
			return int64(r.ID)
		})
		c.close()
		if err != nil {
			return 0, nil, err
		}
		if found < len(s.herd) {
			wrong += len(s.herd) - found
			examples = append(examples, fmt.Sprintf("%s lacks %d agents", n.name, len(s.herd)-found))
		}
	}
	return wrong, examples, nil
}

// differs says what is wrong with a node's row of an agent; nothing is "". The
// agent's state is judged on the master alone.
func (s *Simulation) differs(n *node, m *member, r seen) string {
	if want := groupText(m); r.Groups != want {
		return fmt.Sprintf("groups %s, not %s", r.Groups, want)
	}
	if !n.master || m.state == unborn {
		return ""
	}
	if want := s.reporting[m.node].name; r.Node != want {
		return fmt.Sprintf("reports to %s, not %s", r.Node, want)
	}
	if want := m.status(); r.Status != want {
		return fmt.Sprintf("is %s, not %s", r.Status, want)
	}
	if seq, ok := seqOf(r.ConfigSum); !ok || seq != m.seq {
		return fmt.Sprintf("data of write %d, not of the last, %d", seq, m.seq)
	}
	if m.state == active && r.LastKeepalive < m.wrote {
		return fmt.Sprintf("last keep-alive %d s before the last written", m.wrote-r.LastKeepalive)
	}
	return ""
}
