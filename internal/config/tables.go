package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
)

// What a field of cluster.json or testudo.yaml may be set to is said once, here.
const (
	mebi = 1 << 20
	gibi = 1 << 30
	tebi = 1 << 40
)

// intervalFields are the numbers of cluster.json.
func intervalFields() []field {
	period := func(path string, at func(c *Config) any) field {
		return field{path: "intervals." + path, at: at, min: 0.01, max: year}
	}
	number := func(path string, low, high float64, at func(c *Config) any) field {
		return field{path: "intervals." + path, at: at, min: low, max: high}
	}
	return []field{
		period("worker.sync_integrity", func(c *Config) any { return &c.Intervals.Worker.SyncIntegrity }),
		period("worker.sync_agent_info", func(c *Config) any { return &c.Intervals.Worker.SyncAgentInfo }),
		period("worker.sync_agent_groups", func(c *Config) any { return &c.Intervals.Worker.SyncAgentGroups }),
		period("worker.timeout_agent_groups", func(c *Config) any { return &c.Intervals.Worker.TimeoutAgentGroups }),
		period("worker.keep_alive", func(c *Config) any { return &c.Intervals.Worker.KeepAlive }),
		period("worker.connection_retry", func(c *Config) any { return &c.Intervals.Worker.ConnectionRetry }),
		number("worker.max_failed_keepalive_attempts", 1, 1e6, func(c *Config) any { return &c.Intervals.Worker.MaxFailedKeepAlives }),
		number("worker.agent_groups_mismatch_limit", 1, 1e6, func(c *Config) any { return &c.Intervals.Worker.AgentGroupsMismatchLimit }),

		number("master.process_pool_size", 1, 1024, func(c *Config) any { return &c.Intervals.Master.ProcessPoolSize }),
		period("master.sync_agent_groups", func(c *Config) any { return &c.Intervals.Master.SyncAgentGroups }),
		period("master.timeout_extra_valid", func(c *Config) any { return &c.Intervals.Master.TimeoutExtraValid }),
		period("master.recalculate_integrity", func(c *Config) any { return &c.Intervals.Master.RecalculateIntegrity }),
		period("master.timeout_agent_info", func(c *Config) any { return &c.Intervals.Master.TimeoutAgentInfo }),
		number("master.agent_group_start_delay", 0, year, func(c *Config) any { return &c.Intervals.Master.AgentGroupStartDelay }),
		period("master.check_worker_lastkeepalive", func(c *Config) any { return &c.Intervals.Master.CheckWorkerLastKeepAlive }),
		period("master.max_allowed_time_without_keepalive", func(c *Config) any { return &c.Intervals.Master.MaxAllowedTimeWithoutKeepAlive }),
		period("master.max_locked_integrity_time", func(c *Config) any { return &c.Intervals.Master.MaxLockedIntegrityTime }),

		period("communication.timeout_cluster_request", func(c *Config) any { return &c.Intervals.Communication.TimeoutRequest }),
		period("communication.timeout_dapi_request", func(c *Config) any { return &c.Intervals.Communication.TimeoutDAPIRequest }),
		period("communication.timeout_receiving_file", func(c *Config) any { return &c.Intervals.Communication.TimeoutReceivingFile }),
		number("communication.max_zip_size", 1, tebi, func(c *Config) any { return &c.Intervals.Communication.MaxZipSize }),
		number("communication.min_zip_size", 1, tebi, func(c *Config) any { return &c.Intervals.Communication.MinZipSize }),
		number("communication.compress_level", -1, 9, func(c *Config) any { return &c.Intervals.Communication.CompressLevel }),
		number("communication.zip_limit_tolerance", 0, 0.99, func(c *Config) any { return &c.Intervals.Communication.ZipLimitTolerance }),
		{path: "distributed_api.enabled", at: func(c *Config) any { return &c.DistributedAPI }},
	}
}

// settingFields are the fields of testudo.yaml in the order in which
// Reference writes them.
func settingFields() []field {
	return append([]field{
		{path: "version", check: checkVersion, at: func(c *Config) any { return &c.Testudo.Version },
			doc: "The version shown to other nodes. A cluster takes in nodes of one version only:\nset it to that of the others when they are not Testudo."},
		{path: "metrics.address", check: checkListen, at: func(c *Config) any { return &c.Testudo.Metrics.Address },
			doc: "Where /metrics, /healthz and /readyz are served, as host:port. \"\" turns them off.\nThere is no password: keep it on the loopback address or behind a firewall."},
		{path: "log.format", check: checkLogFormat, at: func(c *Config) any { return &c.Testudo.Log.Format },
			doc: "How logs/cluster.log is written: \"text\" (as the original does) or \"json\"."},
		{path: agentDBService, check: checkService, at: func(c *Config) any { return &c.Testudo.Services.AgentDB },
			doc: "Who keeps the database of agents: \"embedded\" (this node) or \"external\" (the wazuh-db of\nthe installation, which must run). Started as wazuh-clusterd it is external unless said here."},
		{path: enrolmentService, check: checkService, at: func(c *Config) any { return &c.Testudo.Services.Enrolment },
			doc: "Who enrols agents: \"embedded\" (this node, if ossec.conf has a section <auth> that is not\ndisabled) or \"external\" (the wazuh-authd of the installation). Started as\nwazuh-clusterd it is external unless said here."},
		{path: "agentdb.sql_writes", at: func(c *Config) any { return &c.Testudo.AgentDB.SQLWrites },
			doc: "Let \"global sql\" on the database socket change data, as the original does."},
		{path: "agentdb.connections", min: 8, max: 1e5, at: func(c *Config) any { return &c.Testudo.AgentDB.Connections },
			doc: "Connections to the database socket."},
		{path: "agentdb.message_bytes", min: 64 << 10, max: 64 * mebi, at: func(c *Config) any { return &c.Testudo.AgentDB.MessageBytes },
			doc: "Size of a request there. The original takes 64KiB; answers are never larger than that."},
		{path: "agentdb.message_time", min: 0.1, max: hour, at: func(c *Config) any { return &c.Testudo.AgentDB.MessageTime },
			doc: "Time from a message's first byte to its last, in either direction. A connection may be\nsilent between two requests for as long as it likes."},
		{path: "agentdb.query_time", min: 0.1, max: hour, at: func(c *Config) any { return &c.Testudo.AgentDB.QueryTime },
			doc: "Time one request may take until it is broken off."},
		{path: "local.connections", min: 8, max: 1e5, at: func(c *Config) any { return &c.Testudo.Local.Connections },
			doc: "Connections to the socket of local programs, queue/cluster/c-internal.sock."},
		{path: "local.requests", min: 1, max: 1e4, at: func(c *Config) any { return &c.Testudo.Local.Requests },
			doc: "Requests of one program that may be under way at a time."},
		{path: "local.message_bytes", min: mebi, max: gibi, at: func(c *Config) any { return &c.Testudo.Local.MessageBytes },
			doc: "Size of one request there. Answers have no limit."},
		{path: "local.message_time", min: 0.1, max: hour, at: func(c *Config) any { return &c.Testudo.Local.MessageTime },
			doc: "Time from a frame's first byte to its last, in either direction."},
		{path: "local.idle_time", min: 1, max: day, at: func(c *Config) any { return &c.Testudo.Local.IdleTime },
			doc: "Silence after which a program that waits for nothing is disconnected."},
		{path: "local.show_key", at: func(c *Config) any { return &c.Testudo.Local.ShowKey },
			doc: "Show the key of the cluster to programs that ask for its configuration, as the\noriginal does. Who may use the socket can read it then."},
		{path: "sendsync.parallel", min: 1, max: 1000, at: func(c *Config) any { return &c.Testudo.SendSync.Parallel },
			doc: "On the master: questions of workers' daemons that one daemon gets at a time."},
		{path: "sendsync.waiting", min: 1, max: 1e5, at: func(c *Config) any { return &c.Testudo.SendSync.Waiting },
			doc: "On the master: such questions of one worker that may be under way."},
		{path: "sendsync.answer_time", min: 0.1, max: hour, at: func(c *Config) any { return &c.Testudo.SendSync.AnswerTime },
			doc: "Time a daemon of the master has for its answer. A worker waits a minute longer."},
		{path: "enrolment.address", check: checkAddress, at: func(c *Config) any { return &c.Testudo.Enrolment.Address },
			doc: "Address at which agents may enrol; \"\" is all of this machine's. The port and whether\nIPv6 is among them stand in ossec.conf, section <auth>."},
		{path: "enrolment.connections", min: 8, max: 1e6, at: func(c *Config) any { return &c.Testudo.Enrolment.Connections },
			doc: "Connections of agents that enrol. Beyond that the most silent ones are closed."},
		{path: "enrolment.rate_per_address", max: 1e6, at: func(c *Config) any { return &c.Testudo.Enrolment.RatePerAddress },
			doc: "Connections of one address in a second, on the average; 0 is any number. All agents\nbehind one load balancer or translated address have one address."},
		{path: "enrolment.burst_per_address", min: 1, max: 1e6, at: func(c *Config) any { return &c.Testudo.Enrolment.BurstPerAddress },
			doc: "Connections of one address that may come at once."},
		{path: "enrolment.handshake_time", min: 0.1, max: hour, at: func(c *Config) any { return &c.Testudo.Enrolment.HandshakeTime },
			doc: "Time from a connection to the end of its TLS handshake. How long a request may take\nthen is the internal option auth.timeout_seconds."},
		{path: "requests.running", max: 1e4, at: func(c *Config) any { return &c.Testudo.Requests.Running },
			doc: "Functions of the distributed API that run at once; 0 is 4 for each processor, at\nleast 16. Three quarters of them for one asker, half for one function."},
		{path: "requests.open", min: 16, max: 1e6, at: func(c *Config) any { return &c.Testudo.Requests.Open },
			doc: "Requests of one asker (another node, or all programs of this one) that may be open;\nfour times as many of all askers. What is beyond is answered that the node is busy."},
		{path: "requests.owed", min: 1, max: 1e6, at: func(c *Config) any { return &c.Testudo.Requests.Owed },
			doc: "Requests that another node may have to answer."},
		{path: "requests.answer_bytes", min: mebi, max: 64 * gibi, at: func(c *Config) any { return &c.Testudo.Requests.AnswerBytes },
			doc: "Size of all answers that the node holds at once, and of a single one. Half of it for\none asker."},
		{path: "executor.program", check: checkProgram, at: func(c *Config) any { return &c.Testudo.Executor.Program },
			doc: "Program that runs functions of the distributed API that this node does not have, for\nnodes that stand in an existing installation: its absolute path. \"\" is none."},
		{path: "executor.processes", min: 1, max: 256, at: func(c *Config) any { return &c.Testudo.Executor.Processes },
			doc: "Processes of that program at once. Each answers one request at a time."},
		{path: "executor.idle_time", min: 1, max: day, at: func(c *Config) any { return &c.Testudo.Executor.IdleTime },
			doc: "A process that nobody has needed for so long is ended."},
		{path: "executor.answer_bytes", min: 64 << 10, max: 4*gibi - 1, at: func(c *Config) any { return &c.Testudo.Executor.AnswerBytes },
			doc: "Size of one of its answers."},
		{path: "executor.memory_bytes", min: 16 * mebi, max: tebi, at: func(c *Config) any { return &c.Testudo.Executor.MemoryBytes },
			doc: "Memory that one process may allocate, where the system can bound it."},
		{path: "integrity.hold_shrink", at: func(c *Config) any { return &c.Testudo.Integrity.HoldShrink },
			doc: "On the master: when many synchronised files vanish at once, or client.keys becomes\nempty, keep the workers as they are until somebody says that this is meant."},
		{path: "integrity.shrink_ratio", min: 0.01, max: 1, at: func(c *Config) any { return &c.Testudo.Integrity.ShrinkRatio },
			doc: "The part of the files whose loss counts as many: 0.5 is more than half."},
		{path: "integrity.watch", at: func(c *Config) any { return &c.Testudo.Integrity.Watch },
			doc: "Notice changed files at once. The periodic scan finds them in any case."},
		{path: "integrity.cache_bytes", min: mebi, max: tebi, at: func(c *Config) any { return &c.Testudo.Integrity.CacheBytes },
			doc: "On the master: disk space for files compressed once for all workers."},
	}, limitFields()...)
}

func limitFields() []field {
	limit := func(name, doc string, low, high float64, at func(l *Limits) any) field {
		return field{path: "limits." + name, doc: doc, min: low, max: high,
			at: func(c *Config) any { return at(&c.Testudo.Limits) }}
	}
	return []field{
		limit("hello_timeout", "Time from connecting to a complete hello.", 0.1, hour, func(l *Limits) any { return &l.HelloTimeout }),
		limit("hello_bytes", "Size of a frame before the hello is accepted.", 512, mebi, func(l *Limits) any { return &l.HelloBytes }),
		limit("frame_timeout", "Time from the first byte of a frame to its last.", 0.1, hour, func(l *Limits) any { return &l.FrameTimeout }),
		limit("connections", "Connections in all.", 1, 1e6, func(l *Limits) any { return &l.Connections }),
		limit("connections_per_address", "Workers connected from one address. Many may sit behind one address.", 1, 1e6,
			func(l *Limits) any { return &l.ConnectionsPerAddress }),
		limit("strangers_per_address", "Connections from one address that have not said hello yet.", 1, 1e6,
			func(l *Limits) any { return &l.StrangersPerAddress }),
		limit("divided_messages", "Messages in several frames that one peer may have under way.", 1, 1e4, func(l *Limits) any { return &l.DividedMessages }),
		limit("divided_bytes", "Size of these together.", 8*mebi, 64*gibi, func(l *Limits) any { return &l.DividedBytes }),
		limit("divided_age", "Time from the first frame of such a message to its last.", 0.1, hour, func(l *Limits) any { return &l.DividedAge }),
		limit("uploads", "Files that one peer may have under way.", 1, 1e4, func(l *Limits) any { return &l.Uploads }),
		limit("upload_bytes", "Size of one such file. Not less than communication.max_zip_size of the sender.", mebi, tebi,
			func(l *Limits) any { return &l.UploadBytes }),
		limit("upload_age", "Time such a file may stay without progress.", 1, day, func(l *Limits) any { return &l.UploadAge }),
		limit("strings", "Long strings that one peer may have under way.", 1, 1e4, func(l *Limits) any { return &l.Strings }),
		limit("string_bytes", "Size of these together.", mebi, 64*gibi, func(l *Limits) any { return &l.StringBytes }),
		limit("string_age", "Time such a string may stay without progress.", 1, day, func(l *Limits) any { return &l.StringAge }),
		limit("queue_bytes", "Bytes waiting to be sent to one peer. A peer slower than that is disconnected.", 8*mebi, 64*gibi,
			func(l *Limits) any { return &l.QueueBytes }),
		limit("manifest_files", "Files in the list that a peer sends.", 1000, 1e8, func(l *Limits) any { return &l.ManifestFiles }),
		limit("bundle_bytes", "Size of a package after decompression.", mebi, 64*tebi, func(l *Limits) any { return &l.BundleBytes }),
		limit("probe_timeout", "When a worker comes back while its old connection hangs: time for the old one to\nshow that it lives.",
			0.1, hour, func(l *Limits) any { return &l.ProbeTimeout }),
		limit("token_age", "Refuse what was encrypted longer ago than this, or comes twice. Needs clocks that agree;\n0s takes anything, as the original does.",
			0, day, func(l *Limits) any { return &l.TokenAge }),
	}
}

var versionForm = regexp.MustCompile(`^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}$`)

func checkVersion(text string) error {
	if !versionForm.MatchString(text) {
		return fmt.Errorf("%.64q is no version such as 4.7.5", text)
	}
	return nil
}

const (
	agentDBService   = "services.agentdb"
	enrolmentService = "services.enrolment"
)

func checkService(text string) error {
	if text != Embedded && text != External {
		return fmt.Errorf("%.64q is neither %q nor %q", text, Embedded, External)
	}
	return nil
}

// checkAddress wants an IP address, or nothing.
func checkAddress(text string) error {
	if _, err := netip.ParseAddr(text); err != nil && text != "" {
		return fmt.Errorf("%.64q is no IP address", text)
	}
	return nil
}

// checkProgram wants an absolute path, or nothing.
func checkProgram(text string) error {
	if text != "" && !filepath.IsAbs(text) {
		return fmt.Errorf("%.64q is no absolute path of a program", text)
	}
	return nil
}

func checkLogFormat(text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("%.64q is neither \"text\" nor \"json\"", text)
	}
	return nil
}

// checkListen wants host:port with a numeric port, or nothing.
func checkListen(text string) error {
	if text == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%.64q is no address such as 127.0.0.1:9616", text)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(number, 10) {
		return fmt.Errorf("%.16q is no port", port)
	}
	if host != "" && !plausibleHost(host) {
		return errors.New("its host is no address and no host name")
	}
	return nil
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?$`)

// plausibleHost says whether a text can be an IP address or a host name.
func plausibleHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || hostForm.MatchString(host)
}
