package integrity_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"testudo/internal/clustertest"
	"testudo/internal/session"
)

// The package that counts is the one whose path is announced at its end, not
// the one that a worker has begun to unpack.
func TestEarly_AnotherFileArrivesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const decoy, real = "/queue/cluster/1/decoy.zip", "/queue/cluster/1/real.zip"
		var evil, good bytes.Buffer
		if err := pack(text("etc/rules/evil.xml", "evil"), text("etc/rules/evil2.xml", "evil"))(&evil); err != nil {
			t.Fatal(err)
		}
		if err := pack(text("etc/rules/first.xml", "first"),
			metadata([]string{entry("etc/rules/first.xml", "etc/rules/", "first")}, nil, nil))(&good); err != nil {
			t.Fatal(err)
		}
		worker, _ := after(t, c, func(ctx context.Context, s *session.Session) error {
			task, err := s.Request(ctx, "syn_m_c", nil)
			sum := sha256.Sum256(good.Bytes())
			for _, step := range [][2]string{
				{"new_file", decoy}, {"file_upd", decoy + " " + evil.String()},
				{"new_file", real}, {"file_upd", real + " " + good.String()}, {"file_end", real + " " + string(sum[:])},
				{"syn_m_c_e", string(task) + " " + real[1:]},
			} {
				if err == nil {
					_, err = s.Request(ctx, step[0], []byte(step[1]))
				}
			}
			return err
		})
		c.Wait(time.Minute, func() string {
			if got := worker.Read("etc/rules/first.xml"); got != "first" {
				return "the first file is " + got
			}
			return ""
		})
		if !worker.Log.Has(`DEBUG .*The package is unpacked now that it is whole`) {
			t.Error("the other file was taken for the package")
		}
	})
}

// As a rule a package is unpacked when its last byte comes.
func TestEarly_IsTheRule(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		worker, _ := after(t, c, sends(text("etc/rules/a.xml", "a"),
			metadata([]string{entry("etc/rules/a.xml", "etc/rules/", "a")}, nil, nil)))
		if worker.Log.Has(`The package is unpacked now that it is whole`) {
			t.Error("it was unpacked afterwards")
		}
	})
}
