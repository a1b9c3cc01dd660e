package agentapi

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/agent"
	"testudo/internal/agentdb"
)

const (
	create   = "wazuh.agent.create_group"
	remove   = "wazuh.agent.delete_groups"
	upload   = "wazuh.agent.upload_group_file"
	assign   = "wazuh.agent.assign_agents_to_group"
	leaveOne = "wazuh.agent.remove_agent_from_group"
	leaveAll = "wazuh.agent.remove_agent_from_groups"
	leaving  = "wazuh.agent.remove_agents_from_group"
)

func everybody(int) bool { return true }

// files lists what is below a directory.
func (w *changeWorld) files(dir string) (names []string) {
	w.Helper()
	entries, err := os.ReadDir(w.path(dir))
	must(w.T, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCreateGroup_NameThatCannotBe(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.put("etc/shared/file", "")
	must(t, os.Symlink("../../..", w.path("etc/shared/link")))
	before := w.files("etc/shared")
	for name, want := range map[string]string{
		``: "1722", `.`: "1722", `..`: "1722", `a b`: "1722", `a/b`: "1722", `../x`: "1722", `/etc`: "1722", `a\u0000`: "1722", `ü`: "1722",
		`a,b`: "1722", strings.Repeat("a", 256): "1722", `a'; DROP TABLE agent; --`: "1722",
		`all`: "1713", `.git`: "1713", `file`: "1713", `link`: "1713", `default`: "1711", `DeFault`: "1711", `web`: "1711",
	} {
		o := w.ask(asked{function: create, args: `{"group_id": "` + name + `"}`})
		if got := fmt.Sprint(o.Err); !strings.HasPrefix(got, "Error "+want) {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	if diff := cmp.Diff(before, w.files("etc/shared")); diff != "" {
		t.Error(diff)
	}
}

func TestGroup_FromItsMakingToItsEnd(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.put("etc/shared/agent-template.conf", "<agent_config>\n</agent_config>\n")
	w.expect(asked{function: create, args: `{"group_id": "new"}`}, `{"message":"Group 'new' created."}`)
	// At once: nobody waits for the comparison of directories and rows.
	w.expect(asked{function: assign, args: `{"group_list": ["new"], "agent_list": ["009", "010"]}`}, `"009" "010" `)
	w.expect(asked{function: assign, args: `{"group_list": ["new"], "agent_list": ["005"], "replace": true, "replace_list": "*"}`}, `"005" `)
	if diff := cmp.Diff([][]string{{"new"}, {"default", "new"}}, [][]string{w.groupsOf(5), w.groupsOf(9)}); diff != "" {
		t.Error(diff)
	}
	w.expect(asked{function: remove, args: `{"group_list": ["new", "../../etc", "default", "file"]}`}, `"new" | 1710 [../../etc file] | 1712 [default] `)
	if diff := cmp.Diff([][]string{{"default"}, {"default"}}, [][]string{w.groupsOf(5), w.groupsOf(9)}); diff != "" {
		t.Error(diff)
	}
	w.expect(asked{function: remove, args: `{"group_list": "*"}`}, `"db" "web" `)
	if diff := cmp.Diff([]string{"agent-template.conf", "ar.conf", "default"}, w.files("etc/shared")); diff != "" {
		t.Error(diff)
	}
}

// A process that dies between directory and row leaves one of them: the next
// request about the group makes do with either.
func TestGroup_HalfThere(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.put("etc/shared/directory/agent.conf", "")
	must(t, w.store.InsertGroup(t.Context(), "row"))
	w.expect(asked{function: create, args: `{"group_id": "directory"}`}, "Error 1711 - The group already exists: directory")
	w.expect(asked{function: assign, args: `{"group_list": ["directory"], "agent_list": ["009"]}`}, `"009" `)
	w.expect(asked{function: assign, args: `{"group_list": ["row"], "agent_list": ["009"]}`}, "Error 1710 - The group does not exist")
	w.expect(asked{function: create, args: `{"group_id": "row"}`}, `{"message":"Group 'row' created."}`)
	w.expect(asked{function: assign, args: `{"group_list": ["row"], "agent_list": ["009"]}`}, `"009" `)
	must(t, os.RemoveAll(w.path("etc/shared/row")))
	w.expect(asked{function: leaveAll, args: `{"group_list": ["row", "directory"], "agent_list": ["009"]}`}, `"directory" | 1710 [row] `)
}

func TestAssign_MostGroups(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	names := []string{agent.DefaultGroup}
	for i := range agent.MaxGroups {
		name := fmt.Sprintf("g%d", i)
		names = append(names, name)
		w.put("etc/shared/"+name+"/agent.conf", "")
	}
	w.groups(9, names[:agent.MaxGroups-1]...)
	w.groups(10, names[:agent.MaxGroups]...)
	last := names[agent.MaxGroups]
	w.expect(asked{function: assign, args: `{"group_list": ["` + last + `"], "agent_list": ["009", "010"]}`}, `"009" | 1737 [010] `)
	w.expect(asked{function: assign, args: `{"group_list": ["` + last + `"], "agent_list": ["009", "010"]}`}, `| 1737 [010] | 1751 [009] `)
	// All at once: what nobody named is told only when he can do something about it.
	w.expect(asked{function: assign, args: `{"group_list": ["` + last + `"], "agent_list": "*"}`},
		`"001" "002" "003" "004" "005" "006" "007" "008" "011" "012" | 1737 [010] `)
}

func TestAssign_ToOneGroupOnly(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	white := `{"rbac_mode": "white", "agent:modify_group": {"agent:id:*": "allow"}, "group:modify_assignments": {"group:id:web": "allow", "group:id:default": "allow"}}`
	ask := func(list string) asked {
		return asked{function: assign, permissions: white,
			args: `{"group_list": ["web"], "agent_list": ["001", "002", "003", "077", "000"], "replace": true, "replace_list": ` + list + `}`}
	}
	w.expect(ask(`["db"]`), "Error 4000 - Permission denied: Resource type: group:id")
	w.expect(ask(`["default"]`), `| 1701 [077] | 1703 [000] | 1752 [001 002 003] `)
	w.expect(ask(`"*"`), `"001" | 1701 [077] | 1703 [000] | 1752 [002 003] `)
	if diff := cmp.Diff([]string{"web"}, w.groupsOf(1)); diff != "" {
		t.Error(diff)
	}
}

func TestLeave(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.groups(4, "web")
	one := func(id, group string) asked {
		return asked{function: leaveOne, args: `{"agent_list": ["` + id + `"], "group_list": ["` + group + `"]}`}
	}
	w.expect(one("000", "web"), "Error 1703 - Action not available for Manager (agent 000)")
	w.expect(one("077", "web"), "Error 1701 - Agent does not exist")
	w.expect(one("4", "web"), "Error 1701 - Agent does not exist")
	w.expect(one("004", "nope"), "Error 1710 - The group does not exist")
	w.expect(one("004", "../x"), "Error 1710 - The group does not exist")
	w.expect(one("004", "db"), "Error 1734 - Error removing agent from group")
	w.expect(one("004", "web"), `{"message":"Agent '004' removed from 'web'. Agent reassigned to group default."}`)
	w.expect(one("003", "default"), `{"message":"Agent '003' removed from 'default'."}`)
	// The default group goes last, when the others are gone already.
	w.groups(5, "default", "web", "db")
	w.expect(asked{function: leaveAll, args: `{"agent_list": ["005"], "group_list": ["default", "web"]}`}, `"default" "web" `)
	w.expect(asked{function: leaveAll, args: `{"agent_list": ["005"]}`}, `"db" `)
	w.expect(asked{function: leaveAll, args: `{"agent_list": ["005"], "group_list": ["default"]}`}, `| 1745 [default] `)
	w.expect(asked{function: leaveAll, args: `{"agent_list": ["000"]}`}, "Error 1703 - Action not available for Manager (agent 000)")
	w.expect(asked{function: leaving, args: `{"agent_list": "*", "group_list": ["default"]}`},
		`"001" "002" "006" "007" "008" "011" "012" | 1745 [004 005 009 010] `)
}

// What a request asks for by another name than its user may is refused, also
// when it says that it concerns all nodes.
func TestChanges_Refused(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	const white = `{"rbac_mode": "white", "agent:modify_group": {"agent:id:001": "allow"}, "group:modify_assignments": {"group:id:web": "allow"}}`
	for args, want := range map[string]string{
		create + ` {"group_id": "new"}`:                                               "4000",
		remove + ` {"group_list": ["web"]}`:                                           "4000",
		upload + ` {"group_list": ["web"], "file_data": "<agent_config/>"}`:           "4000",
		assign + ` {"group_list": ["db"], "agent_list": ["001"]}`:                     "4000",
		leaving + ` {"group_list": ["db"], "agent_list": ["001"]}`:                    "4000",
		leaveOne + ` {"group_list": ["db"], "agent_list": ["001"]}`:                   "4000",
		"wazuh.agent.add_agent" + ` {"name": "x"}`:                                    "4000",
		"wazuh.agent.restart_agents_by_node" + ` {"agent_list": ["001"]}`:             "4000",
		"wazuh.agent.restart_agents_by_group" + ` {"agent_list": ["001", "000"]}`:     "4000",
		"wazuh.agent.upgrade_agents" + ` {"agent_list": ["001"]}`:                     "4000",
		"wazuh.agent.delete_agents" + ` {"agent_list": ["001"]}`:                      "4000",
		"wazuh.active_response.run_command" + ` {"agent_list": ["001"]}`:              "4000",
		assign + ` {"group_list": ["web", "db"], "agent_list": ["001"]}`:              "1000",
		assign + ` {"agent_list": ["001"]}`:                                           "1000",
		leaveOne + ` {"group_list": ["web"], "agent_list": "*"}`:                      "1000",
		create + ` {"group_id": 7}`:                                                   "1000",
		upload + ` {"group_list": ["web"], "file_data": {"a": 1}}`:                    "1000",
		upload + ` {"group_list": "*", "file_data": "<agent_config></agent_config>"}`: "1000",
	} {
		function, args, _ := strings.Cut(args, " ")
		for _, broadcasting := range []bool{false, true} {
			o := w.ask(asked{function: function, args: args, permissions: white, broadcasting: broadcasting})
			if broadcasting && o.Err == nil { // nothing of it was done
				if got := w.brief(o); got != "" {
					t.Errorf("%s %s, of all nodes: got %s", function, args, got)
				}
				continue
			}
			if got := fmt.Sprint(o.Err); !strings.HasPrefix(got, "Error "+want) {
				t.Errorf("%s %s: got %s, want %s", function, args, got, want)
			}
		}
	}
	w.expect(asked{function: leaveAll, permissions: white, args: `{"agent_list": ["001"], "group_list": ["default", "web", "db"]}`},
		`"web" | 4000 [default db] `)
	w.expect(asked{function: assign, permissions: white, args: `{"agent_list": ["002", "001"], "group_list": ["web"]}`},
		`"001" | 4000 [002] `)
}

func TestChanges_OnAWorker(t *testing.T) {
	w := newChangeWorld(t, "w3", everybody)
	for _, f := range w.changes.groupFunctions() {
		o := w.ask(asked{function: f.Key(), args: `{"group_id": "new", "group_list": ["web"], "agent_list": ["001"], "file_data": "<agent_config/>"}`, worker: true})
		if o.Err == nil {
			t.Errorf("%s: done", f.Name)
		}
	}
	w.expect(asked{function: create, args: `{"group_id": "new"}`, worker: true},
		"Error 1000 - Wazuh Internal Error: groups and agents are changed on the master, and w3 is a worker")
	if diff := cmp.Diff([]string{"ar.conf", "db", "default", "web"}, w.files("etc/shared")); diff != "" {
		t.Error(diff)
	}
}

func TestChanges_WithoutDatabase(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.changes = w.open(nil)
	w.expect(asked{function: create, args: `{"group_id": "new"}`}, `{"message":"Group 'new' created."}`)
	w.expect(asked{function: remove, args: `{"group_list": ["new"]}`}, `"new" `)
	o := w.ask(asked{function: assign, args: `{"group_list": ["web"], "agent_list": ["009"]}`})
	if !strings.HasPrefix(fmt.Sprint(o.Err), "Error 2005") {
		t.Errorf("got %v", o.Err)
	}
}

// racing is a database in which somebody else changes something just before.
type racing struct {
	Memberships
	before func()
}

func (r *racing) SetGroups(ctx context.Context, c agentdb.GroupChange) error {
	r.before()
	return r.Memberships.SetGroups(ctx, c)
}

func TestAssign_WhileAgentsGo(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	w.changes = w.open(&racing{w.store, func() { must(t, w.store.DeleteAgent(t.Context(), 9)) }})
	w.expect(asked{function: assign, args: `{"group_list": ["web"], "agent_list": ["005", "009", "010"]}`}, `"005" "010" | 1701 [009] `)
	w.changes = w.open(&racing{w.store, func() { must(t, w.store.DeleteGroup(t.Context(), "db")) }})
	w.expect(asked{function: leaving, args: `{"group_list": ["db"], "agent_list": ["002", "003"]}`}, `"002" "003" `)
}

func TestGroups_ManyAtOnce(t *testing.T) {
	w := newChangeWorld(t, "m3", everybody)
	done := make(chan string)
	for i := range 8 {
		go func() {
			name := fmt.Sprintf("g%d", i/2)
			w.ask(asked{function: create, args: `{"group_id": "` + name + `"}`})
			w.ask(asked{function: assign, args: `{"group_list": ["` + name + `"], "agent_list": "*"}`})
			done <- w.brief(w.ask(asked{function: remove, args: `{"group_list": ["` + name + `"]}`}))
		}()
	}
	deleted := 0
	for range 8 {
		if got := <-done; !strings.HasPrefix(got, "|") {
			deleted++
		}
	}
	if deleted < 4 {
		t.Errorf("%d groups deleted", deleted)
	}
	if diff := cmp.Diff(recordedGroups[2], w.groupsOf(3)); diff != "" {
		t.Error(diff)
	}
}
