package managerapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/query"
	"testudo/internal/result"
)

const (
	plainLog = "logs/ossec.log"
	jsonLog  = "logs/ossec.json"

	mostLines = 2000
	lineCut   = 64 << 10 // bytes of a line that are kept
	logPiece  = 64 << 10 // bytes read at a time
	mostLog   = 32 << 20 // bytes looked at, from the end
	logLimit  = 500
)

type logArgs struct {
	query.Args
	Level string `json:"level"`
	Tag   string `json:"tag"`
}

// logFields are what a line of a log has.
var logFields = []string{"timestamp", "tag", "level", "description"}

func (a *API) logs(ctx context.Context, c *dapi.Call, args logArgs) (result.Result, error) {
	r := a.specified("Logs were successfully read", "Could not read logs", "Could not read logs")
	return a.about(c, "read", r, func() error {
		req, err := args.Request(logLimit)
		if err != nil {
			return err
		}
		req.Q = logQuery(args)
		lines, err := a.logLines(ctx)
		if err != nil {
			return err
		}
		items := make([]json.RawMessage, len(lines))
		for i, line := range lines {
			if items[i], err = line.json(); err != nil {
				return err
			}
		}
		r.Items, r.Total, err = query.Items(&req, items, query.Rules{Sort: logFields, Select: logFields})
		return err
	})
}

// logQuery puts level and tag before the query of the user.
func logQuery(args logArgs) (q string) {
	for _, part := range []struct{ name, value string }{{"level", args.Level}, {"tag", args.Tag}} {
		if part.value != "" {
			q += part.name + "=" + part.value + ";"
		}
	}
	if args.Q == "" && q != "" {
		return q[:len(q)-1]
	}
	return q + args.Q
}

// logCounts is how many lines a program has, in this order.
type logCounts struct {
	All      int `json:"all"`
	Info     int `json:"info"`
	Error    int `json:"error"`
	Critical int `json:"critical"`
	Warning  int `json:"warning"`
	Debug    int `json:"debug"`
}

func (n *logCounts) count(level string) {
	n.All++
	switch level {
	case "info":
		n.Info++
	case "error":
		n.Error++
	case "critical":
		n.Critical++
	case "warning":
		n.Warning++
	case "debug", "debug2":
		n.Debug++
	}
}

func (a *API) logSummary(ctx context.Context, c *dapi.Call, _ none) (result.Result, error) {
	//nolint:misspell // the original's words
	r := a.specified("Log was successfully summarized", "Could not summarize the log", "Could not summarize the log")
	return a.about(c, "read", r, func() error {
		lines, err := a.logLines(ctx)
		if err != nil {
			return err
		}
		counts := map[string]*logCounts{}
		for _, line := range lines {
			n := counts[line.Tag]
			if n == nil {
				n = new(logCounts)
				counts[line.Tag] = n
			}
			n.count(line.Level)
		}
		for _, tag := range slices.Sorted(maps.Keys(counts)) {
			if err := r.Add(map[string]*logCounts{tag: counts[tag]}); err != nil {
				return err
			}
		}
		return nil
	})
}

// logLines reads the last lines of the log, those of them that can be understood.
// Errors: those of active, fault.NoLogFile.
func (a *API) logLines(ctx context.Context) ([]logLine, error) {
	name, parse, err := a.logFile(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := lastLines(a.path(name))
	if err != nil {
		return nil, fault.Wrap(fault.NoLogFile, nil, err)
	}
	lines := make([]logLine, 0, len(raw))
	for _, text := range raw {
		if line, ok := parse(text); ok {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// logFile says which of the two logs is written here. The daemon that executes
// commands knows; where it is not installed, the file does that is there.
func (a *API) logFile(ctx context.Context) (name string, parse func([]byte) (logLine, bool), err error) {
	if !a.executor() {
		if !present(a.path(plainLog)) && present(a.path(jsonLog)) {
			return jsonLog, parseJSONLine, nil
		}
		return plainLog, parseLine, nil
	}
	conf, err := a.active(ctx, activeArgs{"com", "logging"})
	if err != nil {
		return "", nil, err
	}
	var logging struct {
		Plain string `json:"plain"`
	}
	if err := json.Unmarshal([]byte(cmp.Or(string(conf.Get("logging")), "{}")), &logging); err != nil {
		return "", nil, errAnswer
	}
	if logging.Plain == "no" {
		return jsonLog, parseJSONLine, nil
	}
	return plainLog, parseLine, nil
}

// lastLines reads the last lines of a file from its end. A long line is cut, and
// no more is looked at than mostLog.
func lastLines(path string) ([][]byte, error) {
	file, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t := tail{}
	piece := make([]byte, logPiece)
	for end, least := info.Size(), max(info.Size()-mostLog, 0); end > least && !t.full(); {
		start := max(end-logPiece, least)
		n, err := file.ReadAt(piece[:end-start], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		t.take(piece[:n])
		end = start
	}
	return t.lines(), nil
}
