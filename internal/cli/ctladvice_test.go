package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"testudo/internal/ctl"
	"testudo/internal/fault"
)

// Each error of a question says what to do.
func TestAdvised(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no node":             {fault.New(fault.NotRunning, nil), "no node answers in /home: start it"},
		"no permission":       {fault.Wrap(fault.DistributedAPI, nil, &fs.PathError{Op: "connect", Path: "s", Err: fs.ErrPermission}), "this user may not ask the node in /home (permission denied): ask as root"},
		"stopped node":        {errors.Join(ctl.ErrSilent, fault.New(fault.RequestTimeout, "t_why")), "The node in /home takes questions, but has not answered this one: 'testudo doctor'"},
		"full node":           {errors.Join(ctl.ErrClosed, fault.New(fault.DistributedAPI, nil)), "too many programs ask it (local.connections"},
		"other node is late":  {fault.New(fault.RequestTimeout, "t_why"), "The other node is overloaded"},
		"no master":           {fault.New(fault.NotConnected, nil), "'testudo ctl why' says why"},
		"node that is absent": {fault.New(fault.NodeAbsent, nil), "'testudo ctl nodes' lists"},
		"anything else":       {errors.New("no number"), "no number"},
	} {
		err := advised(fmt.Errorf("asked: %w", c.err), "/home")
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where the node does not tell, the report says so in its place.
func TestWhy_NobodyTells(t *testing.T) {
	for _, reports := range [][2]string{
		{ctl.WhyText(atRest("/h", "w1"), time.Now()), "No node runs in /h, so nobody can say how w1 is. (this program says)\n!! The node of this home does not run."},
		{ctl.WhyText(mute("/h", "w1"), time.Now()), "The node in /h does not answer, so nobody can say how w1 is. (this program says)\n!! The node of this home takes questions and does not answer."},
	} {
		if !strings.HasPrefix(reports[0], reports[1]) {
			t.Errorf("got\n%s", reports[0])
		}
	}
}
