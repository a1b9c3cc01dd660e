package simulate

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	"testudo/internal/agent"
)

// state is what a simulated agent is meant to be.
type state uint8

const (
	unborn state = iota
	active
	away
)

// member is one simulated agent. While it is busy it belongs to the writer that
// has its operation, else to the pacer.
type member struct {
	id     agent.ID
	busy   atomic.Bool
	state  state
	node   int16  // index of the node it reports to
	group  int16  // index of its simulated group, -1 for none
	seq    uint32 // of the last full write that was answered; it is in config_sum
	wrote  int64  // Unix seconds before the last write that was answered
	backAt int64  // nanoseconds since the run began, when away
}

// groups are the names of a member's groups by priority.
func (m *member) groups() []string {
	if m.group < 0 {
		return []string{agent.DefaultGroup}
	}
	return []string{agent.DefaultGroup, Group(int(m.group))}
}

// status is what the databases are to say of the member.
func (m *member) status() string {
	switch m.state {
	case active:
		return string(agent.Active)
	case away:
		return string(agent.Disconnected)
	default:
		return string(agent.NeverConnected)
	}
}

// system is an operating system as agents report it.
type system struct {
	name, version, major, minor, codename, platform, build, uname, arch string
}

// systems are what agents of real sites run, the common ones more often.
func systems() []system {
	ubuntu := system{"Ubuntu", "22.04.4 LTS", "22", "04", "Jammy Jellyfish", "ubuntu", "", "Linux |%s |5.15.0-105-generic |#115-Ubuntu SMP Mon Apr 15 09:52:04 UTC 2024 |x86_64", "x86_64"}
	windows := system{"Microsoft Windows Server 2019 Standard", "10.0.17763.5696", "10", "0", "", "windows", "17763.5696", "Microsoft Windows Server 2019 Standard", "x86_64"}
	return []system{
		ubuntu, windows, ubuntu,
		{"Red Hat Enterprise Linux", "8.9", "8", "9", "Ootpa", "rhel", "", "Linux |%s |4.18.0-513.24.1.el8_9.x86_64 |#1 SMP Thu Mar 14 14:20:09 EDT 2024 |x86_64", "x86_64"},
		windows,
		{"Debian GNU/Linux", "12", "12", "", "bookworm", "debian", "", "Linux |%s |6.1.0-20-arm64 |#1 SMP Debian 6.1.85-1 (2024-04-11) |aarch64", "aarch64"},
		{"Microsoft Windows 11 Enterprise", "10.0.22631.3447", "10", "0", "", "windows", "22631.3447", "Microsoft Windows 11 Enterprise", "x86_64"},
		{"macOS", "14.4.1", "14", "4", "Sonoma", "darwin", "23E224", "Darwin |%s |23.4.0 |Darwin Kernel Version 23.4.0 |arm64", "arm64"},
	}
}

// versions are those of the agents.
func versions() []string {
	return []string{"Wazuh v4.7.5", "Wazuh v4.7.5", "Wazuh v4.7.4", "Wazuh v4.6.0", "Wazuh v4.5.4"}
}

// marker is the config_sum that tells which write of an agent this is.
func marker(id agent.ID, seq uint32) string { return fmt.Sprintf("51d%021d%08x", id, seq) }

// seqOf reads a marker; ok is false for anything else.
func seqOf(sum string) (seq uint32, ok bool) {
	if len(sum) != 32 || !strings.HasPrefix(sum, "51d") {
		return 0, false
	}
	_, err := fmt.Sscanf(sum[24:], "%08x", &seq)
	return seq, err == nil
}

// data is the argument of update-agent-data (docs/agentdb.md §7.1).
type data struct {
	ID          agent.ID `json:"id"`
	OSName      string   `json:"os_name"`
	OSVersion   string   `json:"os_version"`
	OSMajor     string   `json:"os_major"`
	OSMinor     string   `json:"os_minor,omitempty"`
	OSCodename  string   `json:"os_codename,omitempty"`
	OSPlatform  string   `json:"os_platform"`
	OSBuild     string   `json:"os_build,omitempty"`
	OSUname     string   `json:"os_uname"`
	OSArch      string   `json:"os_arch"`
	Version     string   `json:"version"`
	ConfigSum   string   `json:"config_sum"`
	MergedSum   string   `json:"merged_sum"`
	ManagerHost string   `json:"manager_host"`
	NodeName    string   `json:"node_name"`
	AgentIP     string   `json:"agent_ip"`
	Status      string   `json:"connection_status"`
	Sync        string   `json:"sync_status"`
	GroupConfig string   `json:"group_config_status"`
	Labels      string   `json:"labels,omitempty"`
}

// dataCommand is the command that a keep-alive of the agent causes.
func dataCommand(m *member, node, sync string, seq uint32) (string, error) {
	id := int(m.id)
	all, releases := systems(), versions()
	os := all[id%len(all)]
	uname := os.uname
	if strings.Contains(uname, "%s") {
		uname = fmt.Sprintf(uname, Name(m.id))
	}
	d := data{
		ID: m.id, OSName: os.name, OSVersion: os.version, OSMajor: os.major, OSMinor: os.minor, OSCodename: os.codename,
		OSPlatform: os.platform, OSBuild: os.build, OSUname: uname, OSArch: os.arch, Version: releases[id%len(releases)],
		ConfigSum: marker(m.id, seq), MergedSum: fmt.Sprintf("%032x", 0x5eed+int(m.group)), ManagerHost: node, NodeName: node,
		AgentIP: fmt.Sprintf("10.%d.%d.%d", id>>16&255, id>>8&255, id&255), Status: string(agent.Active), Sync: sync, GroupConfig: "synced",
	}
	if id%10 == 0 { // some agents have labels
		d.Labels = fmt.Sprintf("\"site\":rack %d\n\"owner\":team-%d", id/10%40, id/10%7)
	}
	text, err := json.Marshal(d)
	return "global update-agent-data " + string(text), err
}

func keepaliveCommand(m *member, status agent.Status, sync string) string {
	return fmt.Sprintf(`global update-keepalive {"id":%d,"connection_status":%q,"sync_status":%q}`, m.id, status, sync)
}

// leaveCommand is what a shutdown message of the agent causes.
func leaveCommand(m *member, sync string) string {
	return fmt.Sprintf(`global update-connection-status {"id":%d,"connection_status":"disconnected","sync_status":%q,"status_code":3}`, m.id, sync)
}

// assignment is an element of set-agent-groups.
type assignment struct {
	ID     agent.ID `json:"id"`
	Groups []string `json:"groups"`
}

func assignCommand(list []assignment) (string, error) {
	text, err := json.Marshal(list)
	return `global set-agent-groups {"mode":"override","sync_status":"syncreq","data":` + string(text) + "}", err
}
