package wdb

import (
	"fmt"
	"strconv"
	"time"
)

// The errors of JSON commands (docs/agentdb.md §13).
const (
	commandOK = iota
	commandInvalid
	commandEmpty
	commandUnknown
	commandNoParameters
	commandNoSection
	commandUnknownSection
)

func commandText(code int) string {
	return [...]string{
		"ok", "Invalid JSON input", "Empty command", "Unrecognized command", "Empty parameters", "Empty section", //nolint:misspell // the original's words
		"Unrecognized or not configured section", //nolint:misspell // the original's words
	}[code]
}

// jsonCommand answers a request that begins with "{".
func (s *Server) jsonCommand(text string) reply {
	code, data := s.runCommand(text)
	if data == "" {
		data = "{}"
	}
	return reply(fmt.Sprintf(`{"error":%d,"message":"%s","data":%s}`, code, commandText(code), data))
}

func (s *Server) runCommand(text string) (code int, data string) {
	request, _, err := decodePrefix(text)
	if err != nil {
		return commandInvalid, ""
	}
	command, is := request.get("command").text()
	switch {
	case !is:
		return commandEmpty, ""
	case command == "getstats":
		return commandOK, s.statistics()
	case command != "getconfig":
		return commandUnknown, ""
	}
	parameters := request.get("parameters")
	if !parameters.is(kindObject) {
		return commandNoParameters, ""
	}
	section, is := parameters.get("section").text()
	switch {
	case !is:
		return commandNoSection, ""
	case section == "wdb":
		return commandOK, s.backupConfig()
	case section == "internal":
		return commandOK, s.internalConfig()
	}
	return commandUnknownSection, ""
}

func (s *Server) backupConfig() string {
	b := s.o.Backup
	return fmt.Sprintf(`{"wdb":{"backup":[{"database":"global","enabled":%t,"interval":%d,"max_files":%d}]}}`,
		b.Enabled, int64(b.Interval.Seconds()), b.MaxFiles)
}

func (s *Server) internalConfig() string {
	i := s.o.Internal
	return fmt.Sprintf(`{"wazuh_db":{"commit_time_max":%d,"commit_time_min":%d,"open_db_limit":%d,"worker_pool_size":%d,`+
		`"fragmentation_threshold":%d,"fragmentation_delta":%d,"free_pages_percentage":%d,"max_fragmentation":%d,`+
		`"check_fragmentation_interval":%d}}`,
		int64(i.CommitTimeMax.Seconds()), int64(i.CommitTimeMin.Seconds()), i.OpenFiles, i.Workers,
		i.FragmentationLimit, i.FragmentationDelta, i.FreePages, i.MaxFragmentation, int64(i.FragmentationEvery.Seconds()))
}

// statistics is what came in since the start, and the milliseconds it took.
func (s *Server) statistics() string {
	out := []byte(`{"uptime":`)
	out = strconv.AppendInt(out, s.started.Unix(), 10)
	out = append(out, `,"timestamp":`...)
	out = strconv.AppendInt(out, time.Now().Unix(), 10)
	out = append(out, `,"name":"wazuh-db","metrics":{"queries":`...)
	out = s.appendStats(out, "received",
		func(v *verbStats) int64 { return v.received.Load() },
		func(a *actorStats) int64 { return a.received.Load() })
	out = append(out, `,"time":`...)
	out = s.appendStats(out, "execution",
		func(v *verbStats) int64 { return v.micros.Load() / 1000 },
		func(a *actorStats) (sum int64) {
			for i := range a.verbs {
				sum += a.verbs[i].micros.Load()
			}
			return sum / 1000
		})
	return string(append(out, "}}"...))
}
