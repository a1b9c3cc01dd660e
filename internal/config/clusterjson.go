package config

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"testudo/internal/fault"
)

// readClusterJSON takes a cluster.json over what is known so far. A file that
// is not there changes nothing.
func (r *report) readClusterJSON(c *Config, overlay bool) {
	data, err := readSmall(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.add(SeverityError, fault.ClusterJSON, 0, "", systemText(err, r.file))
		return
	}
	r.clusterJSON(c, data, overlay)
}

func (r *report) clusterJSON(c *Config, data []byte, overlay bool) {
	r.code = fault.ClusterJSON
	root, err := parseJSON(data)
	if err != nil {
		r.malformed(err)
		return
	}
	d := newDecoder(r, c, intervalFields(), true)
	items := itemsDecoder{decoder: d, items: &c.Items, overlay: overlay}
	d.special["files"] = items.files
	d.object(root, "")
	items.together()
}

// clusterRelations looks at values that make no sense together.
func (c *Config) clusterRelations() (problems []Problem) {
	com := c.Intervals.Communication
	if com.MinZipSize > com.MaxZipSize {
		r, line := c.place(fault.ClusterJSON, minZip, maxZip)
		r.errorf(line, minZip, "%d is more than max_zip_size, %d", com.MinZipSize, com.MaxZipSize)
		problems = append(problems, r.problems...)
	}
	alive, allowed := c.Intervals.Worker.KeepAlive, c.Intervals.Master.MaxAllowedTimeWithoutKeepAlive
	if alive >= allowed {
		r, line := c.place(0, keepAlive, allowedSilence)
		r.warnf(line, keepAlive, "%s is not less than %s, %s: workers will be disconnected while they live",
			alive, allowedSilence, allowed)
		problems = append(problems, r.problems...)
	}
	return problems
}

// Paths that relations between settings are about.
const (
	minZip         = "intervals.communication.min_zip_size"
	maxZip         = "intervals.communication.max_zip_size"
	keepAlive      = "intervals.worker.keep_alive"
	allowedSilence = "intervals.master.max_allowed_time_without_keepalive"
	metricsAddress = "metrics.address"
	uploadBytes    = "limits.upload_bytes"
)

// malformed reports a file whose form is wrong.
func (r *report) malformed(err error) {
	line, text := 0, err.Error()
	if at, ok := errors.AsType[*lineError](err); ok {
		line = at.line
	}
	r.add(SeverityError, r.code, line, "", text)
}

var errTooLarge = errors.New("larger than 1 MiB")

// readSmall reads a file of at most maxFileBytes.
func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = errTooLarge
	}
	return data, err
}
