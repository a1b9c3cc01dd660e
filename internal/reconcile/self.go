package reconcile

import (
	"context"
	"fmt"
	"os"
	"strings"

	"testudo/internal/agent"
)

// updateSelf sets the row of agent 0, once.
func (r *Reconciler) updateSelf(ctx context.Context) error {
	if r.self {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find host name: %w", err)
	}
	if err := r.cfg.Self.RenameAgent(ctx, agent.Manager, host); err != nil {
		return fmt.Errorf("rename agent 0: %w", err)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		release = nil // not everywhere
	}
	columns := parseOSRelease(string(release))
	machine := readMachine()
	columns["os_uname"], columns["os_arch"] = machine.uname(), machine.arch
	columns["version"] = "Wazuh v" + r.cfg.Version
	columns["manager_host"], columns["node_name"] = host, r.cfg.NodeName
	columns["connection_status"], columns["sync_status"], columns["group_config_status"] = "active", "synced", "synced"
	for name, value := range columns {
		if value == "" {
			delete(columns, name)
		}
	}
	if err := r.cfg.Self.UpdateSelf(ctx, columns); err != nil {
		return fmt.Errorf("update agent 0: %w", err)
	}
	r.self = true
	return nil
}

// forgetSelf has the row of agent 0 set anew.
func (r *Reconciler) forgetSelf() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self = false
}

// machine is what the kernel says of itself.
type machine struct{ system, node, release, version, arch string }

// uname is the form in which agents tell it (docs/agents.md §9).
func (m machine) uname() string {
	if m.system == "" {
		return ""
	}
	return strings.Join([]string{m.system, m.node, m.release, m.version, m.arch}, " |")
}

// parseOSRelease makes of the lines NAME="value" of /etc/os-release the columns
// that the keep-alive of an agent of that system would give.
func parseOSRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		values[name] = strings.ToValidUTF8(value, "\uFFFD")
	}
	version := values["VERSION"]
	if version == "" {
		version = values["VERSION_ID"]
	}
	columns := map[string]string{"os_name": values["NAME"], "os_platform": values["ID"]}
	if before, inside, ok := strings.Cut(version, "("); ok {
		columns["os_codename"] = strings.TrimSuffix(inside, ")")
		version = before
	}
	version = strings.TrimSpace(version)
	columns["os_version"] = version
	number := version[:len(version)-len(strings.TrimLeft(version, "0123456789."))]
	major, rest, _ := strings.Cut(number, ".")
	minor, _, _ := strings.Cut(rest, ".")
	columns["os_major"], columns["os_minor"] = major, minor
	return columns
}
