package registrar

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"testudo/internal/enrolment"
	"testudo/internal/keystore"
)

// BenchmarkRegister is registrations at a master whose keys reach the disk, with
// a database that takes no time.
func BenchmarkRegister(b *testing.B) {
	for _, present := range []int{0, 100_000} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("agents=%d/callers=%d", present, callers), func(b *testing.B) {
				benchmarkRegister(b, present, callers)
			})
		}
	}
}

func benchmarkRegister(b *testing.B, present, callers int) {
	root, err := os.OpenRoot(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for _, dir := range []string{"etc", "queue", "queue/db", "var", "var/run"} {
		if err := root.Mkdir(dir, 0o750); err != nil {
			b.Fatal(err)
		}
	}
	var file strings.Builder
	for i := range present {
		fmt.Fprintf(&file, "%03d agent-%d any %064d\n", i+1, i+1, i)
	}
	if err := root.WriteFile("etc/client.keys", []byte(file.String()), 0o640); err != nil {
		b.Fatal(err)
	}
	keys, err := keystore.Open(root, keystore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m := NewMaster(MasterConfig{
		Keys: keys, Agents: newDatabase(), Home: root, Settings: enrolment.DefaultSettings(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(b.Context())
	var tasks, all sync.WaitGroup
	tasks.Go(func() { _ = keys.Run(ctx) })
	tasks.Go(func() { _ = m.Run(ctx) })
	var next atomic.Int64
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				reg, err := m.Register(ctx, enrolment.Request{Name: "new-" + strconv.FormatInt(i, 10), Address: "any"}, "")
				if err != nil {
					b.Error(err)
					return
				}
				reg.Delivered()
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "registrations/s")
	cancel()
	tasks.Wait()
	if err := keys.Close(); err != nil {
		b.Error(err)
	}
}
