package agentinfo

import (
	"context"
	"slices"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/pairtest"
	"testudo/internal/wire"
)

// briefSource is a source for whom agents in brief are a list of one byte
// an agent: its id.
type briefSource struct {
	*source
	brief []byte
}

func (s *briefSource) PendingBrief(_ context.Context, after agent.ID, _ int) ([]byte, agent.ID, func(context.Context, []agent.ID) error, error) {
	if after > 0 || len(s.brief) == 0 {
		return nil, after, nil, nil
	}
	list := slices.Clone(s.brief)
	return list, agent.ID(slices.Max(list)), func(_ context.Context, whole []agent.ID) error {
		s.brief = nil
		for _, id := range whole {
			s.brief = append(s.brief, byte(id))
		}
		return nil
	}, nil
}

func (s *briefSource) PendingWhole(ctx context.Context, after agent.ID, max int) ([][]byte, agent.ID, func(context.Context) error, error) {
	if after > 0 {
		return nil, after, nil, nil
	}
	list, _, confirm, err := s.PendingInfo(ctx, max)
	return list, 1, confirm, err
}

type briefSink struct {
	*sink
	got []byte
}

func (s *briefSink) SetBrief(_ context.Context, list []byte) ([]agent.ID, error) {
	s.got = append(s.got, list...)
	return []agent.ID{agent.ID(list[0])}, nil
}

func TestBrief_GoesFirstAndWhatTheMasterWantsWholeStays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src, dst := &briefSource{newSource(10), []byte("ABC")}, &briefSink{sink: newSink()}
		w := NewWorker(WorkerConfig{Node: "w1"}, src)
		_, worker, _ := pairtest.Connect(t, "w1", false, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
		pairtest.Quiet(2e9)
		if string(dst.got) != "ABC" || string(src.brief) != "A" {
			t.Errorf("the master got %q, %q is left\n%s", dst.got, src.brief, worker.Log)
		}
		dst.has(t, src.source)
	})
}

func TestBrief_AMasterThatDoesNotKnowItGetsAllWhole(t *testing.T) {
	for name, plain := range map[string]bool{"4.7.5": true, "Testudo": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src, dst := &briefSource{newSource(10), []byte("ABC")}, newSink()
				w := NewWorker(WorkerConfig{Node: "w1"}, src)
				pairtest.Connect(t, "w1", plain, pairtest.Of(NewMaster(MasterConfig{}, dst).Offer), pairtest.Of(w.Offer))
				pairtest.Quiet(2e9)
				dst.has(t, src.source)
			})
		})
	}
}

func TestBrief_TheCommandFitsAFrame(t *testing.T) {
	if len(cmdBrief) > wire.MaxName {
		t.Error(cmdBrief)
	}
}
