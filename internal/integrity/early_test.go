package integrity_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
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

// Of a package that is still arriving the files are in the stage, and none in
// its place.
func TestEarly_StagedBeforeItIsWhole(t *testing.T) {
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const path = "/queue/cluster/1/slow.zip"
		var good bytes.Buffer
		if err := pack(text("etc/rules/first.xml", "first"), text("etc/rules/second.xml", "second"),
			metadata([]string{entry("etc/rules/first.xml", "etc/rules/", "first"), entry("etc/rules/second.xml", "etc/rules/", "second")}, nil, nil))(&good); err != nil {
			t.Fatal(err)
		}
		half := bytes.Index(good.Bytes(), []byte("files_metadata"))
		sum := sha256.Sum256(good.Bytes())
		worker := c.Node("1")
		after(t, c, func(ctx context.Context, s *session.Session) error {
			task, err := s.Request(ctx, "syn_m_c", nil)
			ask := func(command, payload string) {
				if err == nil {
					_, err = s.Request(ctx, command, []byte(payload))
				}
			}
			ask("new_file", path)
			ask("file_upd", path+" "+good.String()[:half])
			for staged := 0; staged < 2 && err == nil; time.Sleep(time.Millisecond) {
				found, globErr := filepath.Glob(filepath.Join(worker.Home, path+"dir", "*"))
				staged, err = len(found), errors.Join(globErr, ctx.Err())
			}
			if got := worker.Read("etc/rules/first.xml"); got == "first" {
				t.Error("a file is in its place before the package is whole")
			}
			ask("file_upd", path+" "+good.String()[half:])
			ask("file_end", path+" "+string(sum[:]))
			ask("syn_m_c_e", string(task)+" "+path[1:])
			return err
		})
		c.Wait(time.Minute, func() string {
			if got := worker.Read("etc/rules/second.xml"); got != "second" {
				return "the second file is " + got
			}
			return ""
		})
		if worker.Log.Has(`The package is unpacked now that it is whole`) {
			t.Error("it was unpacked once more")
		}
	})
}
