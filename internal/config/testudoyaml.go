package config

import (
	"errors"
	"io/fs"
)

// readSettings takes over etc/testudo.yaml; a file that is not there changes
// nothing.
func (r *report) readSettings(c *Config) {
	data, err := readSmall(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.errorf(0, "", "%s", err)
		return
	}
	r.settings(c, data)
}

func (r *report) settings(c *Config, data []byte) {
	root, err := parseYAML(data)
	if err != nil {
		r.malformed(err)
		return
	}
	if root == nil || root.kind == kindNull {
		return
	}
	newDecoder(r, c, settingFields(), false).object(root, "")
}

// settingsRelations looks at settings that do not fit others.
func (c *Config) settingsRelations() (problems []Problem) {
	warn := func(paths []string, format string, args ...any) {
		r, line := c.place(0, paths...)
		r.warnf(line, paths[0], format, args...)
		problems = append(problems, r.problems...)
	}
	s := &c.Testudo
	if address := s.Metrics.Address; metricsExposed(address) {
		warn([]string{metricsAddress}, "metrics have no password, and %q is more than the loopback address", address)
	}
	if largest := ByteSize(c.Intervals.Communication.MaxZipSize); s.Limits.UploadBytes < largest {
		warn([]string{uploadBytes, maxZip}, "%s is less than max_zip_size, %s: packages between the two will be refused",
			s.Limits.UploadBytes, largest)
	}
	return problems
}
