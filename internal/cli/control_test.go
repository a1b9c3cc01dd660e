package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseControl(t *testing.T) {
	for line, want := range map[string]controlArgs{
		"":                            {},
		"-l":                          {action: "list"},
		"--list-nodes -fn":            {action: "list", nodes: []string{}},
		"-fn w1 w2 -l":                {action: "list", nodes: []string{"w1", "w2"}},
		"--filter-node=w1 -l":         {action: "list", nodes: []string{"w1"}},
		"--list-a -fs active -d":      {action: "agents", states: []string{"active"}, debug: true},
		"-a -fs active pending -fn m": {action: "agents", states: []string{"active", "pending"}, nodes: []string{"m"}},
		"-i":                          {action: "health"},
		"-i MORE":                     {action: "health", more: true},
		"-i less":                     {action: "health"},
		"--health=more -fn w1":        {action: "health", more: true, nodes: []string{"w1"}},
		"-i -i more":                  {action: "health", more: true},
		"-u":                          {action: "usage"},
		"-h":                          {help: true},
		"-fs x":                       {states: []string{"x"}},
		"--home /x -l":                {home: "/x", action: "list"},
	} {
		got, err := parseControl(strings.Fields(line))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(controlArgs{})); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", line, err, diff)
		}
	}
	for line, want := range map[string]string{
		"-x":          "unexpected argument: -x",
		"w1":          "unexpected argument: w1",
		"-l w1":       "unexpected argument: w1",
		"-i more too": "unexpected argument: too",
		"--list":      "ambiguous option: --list",
		"-l -a":       "argument -a: not allowed with -l, -a, -i or -u",
		"--home":      "argument --home: expected one argument",
		"--":          "unexpected argument: --",
	} {
		if _, err := parseControl(strings.Fields(line)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}
