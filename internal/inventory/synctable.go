package inventory

// column is how a member of a record becomes a column (docs/agentdb.md §12).
type column struct {
	name   string
	member string // of the record; "" where it has the column's name
	rule   rule
	key    bool
}

type rule int

const (
	text     rule = iota // the empty text is NULL
	plain                // text that may be empty, and is when it is absent
	integer              // 0 when it is absent
	positive             // hardware: NULL unless greater than 0
	speed                // positive, with a fraction
	percent              // positive, and at most 100
)

// kept is a column that records do not fill.
type kept struct {
	name  string
	value any // on insert
}

// syncTable is one kind of record.
type syncTable struct {
	name    string
	columns []column
	kept    []kept
}

func texts(names ...string) []column { return of(text, names) }

func integers(names ...string) []column { return of(integer, names) }

func of(r rule, names []string) []column {
	columns := make([]column, len(names))
	for i, name := range names {
		columns[i] = column{name: name, rule: r}
	}
	return columns
}

func join(parts ...[]column) []column {
	var all []column
	for _, p := range parts {
		all = append(all, p...)
	}
	return append(all, column{name: "checksum", rule: plain})
}

// keys marks columns as the key of the table, beside scan_id.
func keys(columns ...column) []column {
	for i := range columns {
		columns[i].key = true
	}
	return columns
}

func key(name string) column { return column{name: name, rule: text, key: true} }

// tableOf returns the table of a kind of record.
func tableOf(kind string) (syncTable, bool) {
	t := syncTable{kept: []kept{{"scan_id", 0}}}
	switch kind {
	case "osinfo":
		t.name = "sys_osinfo"
		t.columns = join(keys(key("os_name")), texts("scan_time", "hostname", "architecture", "os_version", "os_codename",
			"os_major", "os_minor", "os_patch", "os_build", "os_platform", "sysname", "release", "version",
			"os_release", "os_display_version"))
		t.kept = append(t.kept, kept{"triaged", 0}, kept{"reference", ""})
	case "hwinfo":
		t.name = "sys_hwinfo"
		t.columns = join(keys(key("board_serial")), texts("scan_time", "cpu_name"), of(positive, []string{"cpu_cores", "ram_total", "ram_free"}),
			[]column{{name: "cpu_mhz", rule: speed}, {name: "ram_usage", rule: percent}})
	case "packages":
		t.name = "sys_programs"
		t.columns = join(keys(key("name"), key("version"), key("architecture"), column{name: "format", rule: plain}, column{name: "location", rule: plain}),
			texts("scan_time", "priority", "vendor", "install_time", "multiarch", "source", "description", "item_id"),
			[]column{{name: "section", member: "groups"}}, integers("size"))
		t.kept = append(t.kept, kept{"triaged", 0})
	case "hotfixes":
		t.name = "sys_hotfixes"
		t.columns = join(keys(key("hotfix")), texts("scan_time"))
	case "processes":
		t.name = "sys_processes"
		t.columns = join(keys(key("pid")), texts("scan_time", "name", "state", "cmd", "argvs", "euser", "ruser", "suser", "egroup",
			"rgroup", "sgroup", "fgroup"), integers("ppid", "utime", "stime", "priority", "nice", "size", "vm_size", "resident",
			"share", "start_time", "pgrp", "session", "nlwp", "tgid", "tty", "processor"))
	case "ports":
		t.name = "sys_ports"
		t.columns = join(keys(key("protocol"), key("local_ip"), column{name: "local_port", rule: integer}, column{name: "inode", rule: integer}),
			texts("scan_time", "remote_ip", "state", "process", "item_id"), integers("remote_port", "tx_queue", "rx_queue"),
			[]column{{name: "PID", member: "pid", rule: integer}})
	default:
		return networkTable(kind, t)
	}
	return t, true
}

func networkTable(kind string, t syncTable) (syncTable, bool) {
	switch kind {
	case "network_iface":
		t.name = "sys_netiface"
		t.columns = join(keys(key("name")), texts("scan_time", "adapter", "type", "state", "mac", "item_id"), integers("mtu", "tx_packets",
			"rx_packets", "tx_bytes", "rx_bytes", "tx_errors", "rx_errors", "tx_dropped", "rx_dropped"))
	case "network_protocol":
		t.name = "sys_netproto"
		t.columns = join(keys(key("iface"), key("type")), texts("gateway", "item_id"), []column{{name: "dhcp", rule: plain}}, integers("metric"))
	case "network_address":
		t.name = "sys_netaddr"
		t.columns = join(keys(key("iface"), key("proto"), key("address")), texts("netmask", "broadcast", "item_id"))
	default:
		return t, false
	}
	return t, true
}
