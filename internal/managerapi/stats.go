package managerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/result"
)

const (
	hourlyDir = "stats/hourly-average"
	weeklyDir = "stats/weekly-average"

	mostTotals = 16 << 20 // bytes of a day's file
	mostCount  = 64       // bytes of a file that holds a number
	mostState  = 256 << 10
)

// statistics are the messages of most functions here.
func statistics(what, of string) *result.Affected {
	return &result.Affected{
		AllMsg:  "Statistical information " + what + "for each " + of + " was successfully read",
		SomeMsg: "Could not read statistical information " + what + "for some " + of + "s",
		NoneMsg: "Could not read statistical information " + what + "for any " + of,
	}
}

type totalsArgs struct {
	Date *result.Time `json:"date" required:"true"`
}

// alertCount is how often a rule has alerted in an hour.
type alertCount struct {
	Rule  int64 `json:"sigid"`
	Level int64 `json:"level"`
	Times int64 `json:"times"`
}

// hourTotals are the events of an hour.
type hourTotals struct {
	Hour     int64        `json:"hour"`
	Alerts   []alertCount `json:"alerts"`
	Total    int64        `json:"totalAlerts"`
	Events   int64        `json:"events"`
	Files    int64        `json:"syscheck"`
	Firewall int64        `json:"firewall"`
}

func (a *API) totals(_ context.Context, c *dapi.Call, args totalsArgs) (result.Result, error) {
	if args.Date == nil {
		return nil, &dapi.ArgumentError{Function: moduleStats + ".totals", Reason: "no date"}
	}
	day := time.Time(*args.Date)
	name := fmt.Sprintf("stats/totals/%d/%s/ossec-totals-%02d.log", day.Year(), day.Month().String()[:3], day.Day())
	r := statistics("", "node")
	return a.about(c, "read", r, func() error {
		data, err := readFile(a.path(name), mostTotals)
		if err != nil {
			return fault.Wrap(fault.StatsAbsent, a.path(name), err)
		}
		hours, err := readTotals(data)
		if err != nil {
			return fault.Wrap(fault.StatsDamaged, nil, err)
		}
		for _, hour := range hours {
			if err := r.Add(hour); err != nil {
				return err
			}
		}
		return nil
	})
}

// readTotals reads a day: lines HOUR-RULE-LEVEL-TIMES until one closes the hour,
// HOUR--ALERTS--EVENTS--FILES--FIREWALL. Other lines are passed over.
func readTotals(data []byte) (hours []hourTotals, err error) {
	alerts := []alertCount{}
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		if strings.Contains(text, "--") {
			n, err := numbers(strings.Split(text, "--"), 5)
			if err != nil {
				return nil, err
			}
			hours = append(hours, hourTotals{n[0], alerts, n[1], n[2], n[3], n[4]})
			alerts = []alertCount{}
			continue
		}
		if parts := strings.Split(text, "-"); len(parts) == 4 {
			n, err := numbers(parts, 4)
			if err != nil {
				return nil, err
			}
			alerts = append(alerts, alertCount{n[1], n[2], n[3]})
		}
	}
	return hours, nil
}

func numbers(parts []string, want int) ([]int64, error) {
	if len(parts) != want {
		return nil, fmt.Errorf("%d numbers in a line, want %d", len(parts), want)
	}
	list := make([]int64, want)
	for i, part := range parts {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%.40q is no number", part)
		}
		list[i] = n
	}
	return list, nil
}

// averages are the events of each hour, and of how many days they are.
type averages struct {
	Hours []int64 `json:"averages"`
	Days  int64   `json:"interactions"`
}

func (a *API) hourly(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := statistics("per hour ", "node")
	return a.about(c, "read", r, func() error {
		hours, days, err := a.hours(hourlyDir)
		if err != nil {
			return err
		}
		return r.Add(averages{hours, days})
	})
}

// dayAverages are the averages of a day of the week.
type dayAverages struct {
	Hours []int64 `json:"hours"`
	Weeks int64   `json:"interactions"`
}

func (a *API) weekly(_ context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := statistics("per week ", "node")
	return a.about(c, "read", r, func() error {
		for day := time.Sunday; day <= time.Saturday; day++ {
			hours, weeks, err := a.hours(weeklyDir + "/" + strconv.Itoa(int(day)))
			if err != nil {
				return err
			}
			if err := r.Add(map[string]dayAverages{day.String()[:3]: {hours, weeks}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// hours reads the files 0 to 23 of a directory, and 24, which counts. One that is
// not there is 0.
func (a *API) hours(dir string) (hours []int64, times int64, err error) {
	hours = make([]int64, 24)
	for i := range 25 {
		n, err := a.count(dir + "/" + strconv.Itoa(i))
		if err != nil {
			return nil, 0, err
		}
		if i < 24 {
			hours[i] = n
		} else {
			times = n
		}
	}
	return hours, times, nil
}

func (a *API) count(name string) (int64, error) {
	data, err := readFile(a.path(name), mostCount)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var n int64
	if err == nil {
		n, err = strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	}
	if err != nil {
		return 0, fault.Wrap(fault.StatsDamaged, nil, err)
	}
	return n, nil
}

type stateArgs struct {
	File string `json:"filename" required:"true"`
}

// stateFiles are the files that daemons write their state to. The original reads
// whatever file the asker names.
var stateFiles = []string{"wazuh-analysisd.state", "wazuh-remoted.state"}

// daemonState tells what is in the state file of a daemon.
func (a *API) daemonState(_ context.Context, c *dapi.Call, args stateArgs) (result.Result, error) {
	r := statistics("", "node")
	return a.about(c, "read", r, func() error {
		for _, name := range stateFiles {
			if strings.HasPrefix(args.File, "/") && strings.HasSuffix(args.File, "/"+runDir+"/"+name) {
				return a.addState(r, args.File, runDir+"/"+name)
			}
		}
		return fault.New(fault.StatsAbsent, args.File)
	})
}

func (a *API) addState(r *result.Affected, asked, name string) error {
	data, err := readFile(a.path(name), mostState)
	if err != nil {
		return fault.Wrap(fault.StatsAbsent, asked, err)
	}
	item, err := readState(data)
	if err != nil {
		return &fault.Error{Code: fault.InvalidFileType, Class: fault.ClassInternal, Extra: "a value is no number", Err: err}
	}
	return r.Add(item)
}

// readState reads lines NAME='NUMBER'; others are passed over.
func readState(data []byte) (item result.Object, err error) {
	item = result.Object{}
	for line := range bytes.Lines(data) {
		name, value, found := strings.Cut(strings.TrimSpace(string(line)), "=")
		if !found || name == "" || strings.ContainsAny(name, " \t#'\"") {
			continue
		}
		quoted := len(value) >= 2 && (value[0] == '\'' || value[0] == '"') && value[len(value)-1] == value[0]
		if !quoted {
			return nil, fmt.Errorf("value of %.40q is not in quotes", name)
		}
		n, err := strconv.ParseFloat(value[1:len(value)-1], 64)
		if err != nil {
			return nil, err
		}
		if err := item.Set(name, floating(n)); err != nil {
			return nil, err
		}
	}
	return item, nil
}

// floating writes a number with its point, so that readers see of which kind it
// is.
type floating float64

// MarshalJSON implements json.Marshaler.
func (f floating) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(float64(f))
	if err == nil && !bytes.ContainsAny(text, ".eE") {
		text = append(text, ".0"...)
	}
	return text, err
}
