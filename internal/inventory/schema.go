package inventory

// schemaVersion is what the table metadata says (docs/agentdb.md §12).
const schemaVersion = "13"

// schema is the statements that make an agent's database, in order. Tables,
// columns, keys, checks and names of indices are those that readers and writers
// of such files rely on. The references between the tables of interfaces and of
// policies are left out: nobody enforces them.
func schema() []string {
	return append(append(inventoryTables(), otherTables()...), firstRows()...)
}

// inventoryTables are what the inventory endpoints read.
func inventoryTables() []string {
	return []string{
		`CREATE TABLE sys_osinfo (
  scan_id INTEGER, scan_time TEXT, hostname TEXT, architecture TEXT, os_name TEXT, os_version TEXT,
  os_codename TEXT, os_major TEXT, os_minor TEXT, os_patch TEXT, os_build TEXT, os_platform TEXT,
  sysname TEXT, release TEXT, version TEXT, os_release TEXT,
  checksum TEXT NOT NULL CHECK (checksum <> ''), os_display_version TEXT,
  triaged INTEGER(1) DEFAULT 0, reference TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (scan_id, os_name))`,

		`CREATE TABLE sys_hwinfo (
  scan_id INTEGER, scan_time TEXT, board_serial TEXT, cpu_name TEXT, cpu_cores INTEGER, cpu_mhz REAL,
  ram_total INTEGER, ram_free INTEGER, ram_usage INTEGER,
  checksum TEXT NOT NULL CHECK (checksum <> ''),
  PRIMARY KEY (scan_id, board_serial))`,

		`CREATE TABLE sys_programs (
  scan_id INTEGER, scan_time TEXT, format TEXT, name TEXT, priority TEXT, section TEXT,
  size INTEGER CHECK (size >= 0), vendor TEXT, install_time TEXT, version TEXT, architecture TEXT,
  multiarch TEXT, source TEXT, description TEXT, location TEXT, triaged INTEGER(1), cpe TEXT, msu_name TEXT,
  checksum TEXT NOT NULL CHECK (checksum <> ''), item_id TEXT,
  PRIMARY KEY (scan_id, name, version, architecture, format, location))`,
		`CREATE INDEX programs_id ON sys_programs (scan_id)`,

		`CREATE TABLE sys_processes (
  scan_id INTEGER, scan_time TEXT, pid TEXT, name TEXT, state TEXT, ppid INTEGER, utime INTEGER,
  stime INTEGER, cmd TEXT, argvs TEXT, euser TEXT, ruser TEXT, suser TEXT, egroup TEXT, rgroup TEXT,
  sgroup TEXT, fgroup TEXT, priority INTEGER, nice INTEGER, size INTEGER, vm_size INTEGER, resident INTEGER,
  share INTEGER, start_time INTEGER, pgrp INTEGER, session INTEGER, nlwp INTEGER, tgid INTEGER, tty INTEGER,
  processor INTEGER, checksum TEXT NOT NULL CHECK (checksum <> ''),
  PRIMARY KEY (scan_id, pid))`,
		`CREATE INDEX processes_id ON sys_processes (scan_id)`,

		`CREATE TABLE sys_ports (
  scan_id INTEGER, scan_time TEXT, protocol TEXT, local_ip TEXT, local_port INTEGER CHECK (local_port >= 0),
  remote_ip TEXT, remote_port INTEGER CHECK (remote_port >= 0), tx_queue INTEGER, rx_queue INTEGER,
  inode INTEGER, state TEXT, PID INTEGER, process TEXT,
  checksum TEXT NOT NULL CHECK (checksum <> ''), item_id TEXT,
  PRIMARY KEY (protocol, local_ip, local_port, inode))`,
		`CREATE INDEX ports_id ON sys_ports (scan_id)`,

		`CREATE TABLE sys_netiface (
  scan_id INTEGER, scan_time TEXT, name TEXT, adapter TEXT, type TEXT, state TEXT,
  mtu INTEGER CHECK (mtu > 0), mac TEXT, tx_packets INTEGER, rx_packets INTEGER, tx_bytes INTEGER,
  rx_bytes INTEGER, tx_errors INTEGER, rx_errors INTEGER, tx_dropped INTEGER, rx_dropped INTEGER,
  checksum TEXT NOT NULL CHECK (checksum <> ''), item_id TEXT,
  PRIMARY KEY (scan_id, name))`,
		`CREATE INDEX netiface_id ON sys_netiface (scan_id)`,

		`CREATE TABLE sys_netproto (
  scan_id INTEGER, iface TEXT, type TEXT, gateway TEXT,
  dhcp TEXT NOT NULL CHECK (dhcp IN ('enabled', 'disabled', 'unknown', 'BOOTP')) DEFAULT 'unknown',
  metric INTEGER, checksum TEXT NOT NULL CHECK (checksum <> ''), item_id TEXT,
  PRIMARY KEY (scan_id, iface, type))`,
		`CREATE INDEX netproto_id ON sys_netproto (scan_id)`,

		`CREATE TABLE sys_netaddr (
  scan_id INTEGER, iface TEXT, proto TEXT, address TEXT, netmask TEXT, broadcast TEXT,
  checksum TEXT NOT NULL CHECK (checksum <> ''), item_id TEXT,
  PRIMARY KEY (scan_id, iface, proto, address))`,
		`CREATE INDEX netaddr_id ON sys_netaddr (scan_id)`,

		`CREATE TABLE sys_hotfixes (
  scan_id INTEGER, scan_time TEXT, hotfix TEXT, checksum TEXT NOT NULL CHECK (checksum <> ''),
  PRIMARY KEY (scan_id, hotfix))`,
		`CREATE INDEX hotfix_id ON sys_hotfixes (scan_id)`,
	}
}

// firstRows are what a database has before an agent delivered anything.
func firstRows() []string {
	return []string{
		`INSERT INTO metadata (key, value) VALUES ('db_version', '` + schemaVersion + `')`,
		`INSERT INTO scan_info (module) VALUES ('fim'), ('syscollector')`,
		`INSERT INTO vuln_metadata (LAST_PARTIAL_SCAN, LAST_FULL_SCAN) VALUES (0, 0)`,
		`INSERT INTO sync_info (component) VALUES ('fim'), ('fim_file'), ('fim_registry'),
  ('fim_registry_key'), ('fim_registry_value'), ('syscollector-processes'), ('syscollector-packages'),
  ('syscollector-hotfixes'), ('syscollector-ports'), ('syscollector-netproto'), ('syscollector-netaddress'),
  ('syscollector-netinfo'), ('syscollector-hwinfo'), ('syscollector-osinfo')`,
	}
}
