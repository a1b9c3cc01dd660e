package inventory

// otherTables are those of services that are not ours but whose tables readers
// expect to be there: file integrity, policies, vulnerabilities, events.
func otherTables() []string {
	return append(append(eventTables(), policyTables()...), vulnerabilityTables()...)
}

func eventTables() []string {
	return []string{
		`CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT)`,

		`CREATE TABLE fim_entry (
  full_path TEXT NOT NULL PRIMARY KEY, file TEXT,
  type TEXT NOT NULL CHECK (type IN ('file', 'registry_key', 'registry_value')),
  date INTEGER NOT NULL DEFAULT (strftime('%s', 'now')), changes INTEGER NOT NULL DEFAULT 1, arch TEXT,
  value_name TEXT, value_type TEXT, size INTEGER, perm TEXT, uid TEXT, gid TEXT, md5 TEXT, sha1 TEXT,
  uname TEXT, gname TEXT, mtime INTEGER, inode INTEGER, sha256 TEXT, attributes TEXT, symbolic_path TEXT,
  checksum TEXT)`,
		`CREATE INDEX fim_full_path_index ON fim_entry (full_path)`,
		`CREATE INDEX fim_file_index ON fim_entry (file)`,
		`CREATE INDEX fim_date_index ON fim_entry (date)`,
		`CREATE INDEX fim_type_full_path_index ON fim_entry (type, full_path)`,
		`CREATE INDEX fim_type_file_index ON fim_entry (type, file)`,
		`CREATE INDEX fim_type_full_path_checksum_index ON fim_entry (type, full_path, checksum)`,
		`CREATE INDEX fim_type_file_checksum_index ON fim_entry (type, file, checksum)`,

		`CREATE TABLE pm_event (
  id INTEGER PRIMARY KEY AUTOINCREMENT, date_first INTEGER, date_last INTEGER, log TEXT, pci_dss TEXT,
  cis TEXT)`,
		`CREATE INDEX pm_event_log ON pm_event (log)`,
		`CREATE INDEX pm_event_date ON pm_event (date_last)`,

		`CREATE TABLE scan_info (
  module TEXT PRIMARY KEY, first_start INTEGER DEFAULT 0, first_end INTEGER DEFAULT 0,
  start_scan INTEGER DEFAULT 0, end_scan INTEGER DEFAULT 0, fim_first_check INTEGER DEFAULT 0,
  fim_second_check INTEGER DEFAULT 0, fim_third_check INTEGER DEFAULT 0)`,

		`CREATE TABLE sync_info (
  component TEXT PRIMARY KEY, last_attempt INTEGER DEFAULT 0, last_completion INTEGER DEFAULT 0,
  n_attempts INTEGER DEFAULT 0, n_completions INTEGER DEFAULT 0,
  last_manager_checksum TEXT NOT NULL DEFAULT '', last_agent_checksum TEXT NOT NULL DEFAULT '')`,
	}
}

func policyTables() []string {
	return []string{
		`CREATE TABLE ciscat_results (
  id INTEGER PRIMARY KEY AUTOINCREMENT, scan_id INTEGER, scan_time TEXT, benchmark TEXT, profile TEXT,
  pass INTEGER, fail INTEGER, error INTEGER, notchecked INTEGER, unknown INTEGER, score INTEGER)`,
		`CREATE INDEX ciscat_id ON ciscat_results (scan_id)`,

		`CREATE TABLE sca_policy (
  name TEXT, file TEXT, id TEXT, description TEXT, "references" TEXT, hash_file TEXT)`,

		`CREATE TABLE sca_scan_info (
  id INTEGER PRIMARY KEY, start_scan INTEGER, end_scan INTEGER, policy_id TEXT, pass INTEGER, fail INTEGER,
  invalid INTEGER, total_checks INTEGER, score INTEGER, hash TEXT)`,

		`CREATE TABLE sca_check (
  scan_id INTEGER, id INTEGER PRIMARY KEY, policy_id TEXT, title TEXT, description TEXT, rationale TEXT,
  remediation TEXT, file TEXT, process TEXT, directory TEXT, registry TEXT, command TEXT,
  "references" TEXT, result TEXT, reason TEXT, condition TEXT)`,
		`CREATE INDEX policy_id_index ON sca_check (policy_id)`,

		`CREATE TABLE sca_check_rules (
  id_check INTEGER, type TEXT, rule TEXT, PRIMARY KEY (id_check, type, rule))`,
		`CREATE INDEX rules_id_check_index ON sca_check_rules (id_check)`,

		`CREATE TABLE sca_check_compliance (
  id_check INTEGER, key TEXT, value TEXT, PRIMARY KEY (id_check, key, value))`,
		`CREATE INDEX comp_id_check_index ON sca_check_compliance (id_check)`,
	}
}

// vulnerabilityTables includes what keeps the findings in step with the
// inventory: a removed package makes its findings obsolete, a change among the
// hotfixes asks for a new look at the system.
func vulnerabilityTables() []string {
	return []string{
		`CREATE TABLE vuln_metadata (LAST_PARTIAL_SCAN INTEGER, LAST_FULL_SCAN INTEGER)`,

		`CREATE TABLE vuln_cves (
  name TEXT, version TEXT, architecture TEXT, cve TEXT, detection_time TEXT DEFAULT '',
  severity TEXT DEFAULT 'Untriaged'
    CHECK (severity IN ('Critical', 'High', 'Medium', 'Low', 'None', 'Untriaged')),
  cvss2_score REAL DEFAULT 0, cvss3_score REAL DEFAULT 0, reference TEXT NOT NULL DEFAULT '',
  type TEXT NOT NULL DEFAULT '' CHECK (type IN ('OS', 'PACKAGE')),
  status TEXT NOT NULL DEFAULT 'PENDING' CHECK (status IN ('VALID', 'PENDING', 'OBSOLETE')),
  external_references TEXT DEFAULT '', condition TEXT DEFAULT '', title TEXT DEFAULT '',
  published TEXT '', updated TEXT '',
  PRIMARY KEY (reference, cve))`,
		`CREATE INDEX packages_id ON vuln_cves (name)`,
		`CREATE INDEX cves_id ON vuln_cves (cve)`,
		`CREATE INDEX cve_type ON vuln_cves (type)`,
		`CREATE INDEX cve_status ON vuln_cves (status)`,

		`CREATE TRIGGER obsolete_vulnerabilities AFTER DELETE ON sys_programs BEGIN
  UPDATE vuln_cves SET status = 'OBSOLETE' WHERE reference = OLD.item_id; END`,
		`CREATE TRIGGER hotfix_insert AFTER INSERT ON sys_hotfixes BEGIN
  UPDATE sys_osinfo SET triaged = 0; END`,
		`CREATE TRIGGER hotfix_delete AFTER DELETE ON sys_hotfixes BEGIN
  UPDATE sys_osinfo SET triaged = 0; END`,
	}
}
