package config

import (
	"log/slog"
	"time"

	"testudo/internal/manifest"
)

// Config is the whole configuration of a node. It does not change after Load.
type Config struct {
	// Home is the directory that everything else is relative to, as given.
	Home string
	// Cluster is the <cluster> section of ossec.conf.
	Cluster Cluster
	// Items, Intervals and DistributedAPI come from cluster.json.
	Items          manifest.Items
	Intervals      Intervals
	DistributedAPI bool // false: every API request runs where it arrives
	// Debug is wazuh_clusterd.debug: 0 info, 1 debug, 2 debug2. DebugUnusable
	// says that the option is there but cannot be used; see DebugLevel.
	Debug         int
	DebugUnusable bool
	// Agents, Backup, Database and Shared are what daemons beside the original's
	// cluster daemon read from ossec.conf and the internal options. They are
	// looked at only where the database of agents is embedded; see
	// AgentDBEmbedded.
	Agents   Agents
	Backup   Backup
	Database DatabaseOptions
	Shared   SharedOptions
	// Auth is the enrolment of agents, looked at only where it is embedded.
	Auth Auth
	// Testudo is etc/testudo.yaml.
	Testudo Settings

	sources map[string]string // where each setting that is not built in came from, by its path
}

// Role says what a node does in its cluster.
type Role string

// The two roles.
const (
	Master Role = "master"
	Worker Role = "worker"
)

// Cluster is the <cluster> section (docs/configuration.md §1).
type Cluster struct {
	Present  bool // false: ossec.conf has no such section, and the cluster is disabled
	Disabled bool
	Name     string // of the cluster, equal on all nodes
	NodeName string // of this node, unique
	Role     Role   // after an error possibly neither Master nor Worker
	Key      Secret // 32 letters, digits or underscores
	Port     int    // 1025 to 65534
	BindAddr string // where a master listens
	Nodes    []string
	Hidden   string            // "yes" or "no"; of no meaning here
	Extra    map[string]string // other options of the section, by their lower-case names
}

// MasterAddress is the address that a worker connects to: the first of Nodes.
func (c *Cluster) MasterAddress() string {
	if len(c.Nodes) == 0 {
		return ""
	}
	return c.Nodes[0]
}

func defaultCluster() Cluster {
	return Cluster{
		Disabled: true, Name: "wazuh", NodeName: "node01", Role: Master, Port: 1516,
		BindAddr: "0.0.0.0", Nodes: []string{"NODE_IP"}, Hidden: "no", Extra: map[string]string{},
	}
}

// Secret is a text that must not be shown: whatever prints it prints "***".
type Secret string

const masked = "***"

// Reveal gives the text itself.
func (s Secret) Reveal() string { return string(s) }

// String gives "***", or nothing when the secret is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString is String in quotes.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText gives what String gives, for JSON and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue gives what String gives, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Intervals are the periods, time-outs and sizes of cluster.json
// (docs/configuration.md §2).
type Intervals struct {
	Worker        WorkerIntervals
	Master        MasterIntervals
	Communication Communication
}

// WorkerIntervals is intervals.worker.
type WorkerIntervals struct {
	SyncIntegrity            time.Duration
	SyncAgentInfo            time.Duration
	SyncAgentGroups          time.Duration // unused, as in the original
	TimeoutAgentGroups       time.Duration
	KeepAlive                time.Duration
	ConnectionRetry          time.Duration
	MaxFailedKeepAlives      int // in a row, before the connection is closed
	AgentGroupsMismatchLimit int // different checksums, before everything is asked for
}

// MasterIntervals is intervals.master.
type MasterIntervals struct {
	ProcessPoolSize                int // child processes of the original; a bound on parallel work here
	SyncAgentGroups                time.Duration
	TimeoutExtraValid              time.Duration // unused, as in the original
	RecalculateIntegrity           time.Duration
	TimeoutAgentInfo               time.Duration
	AgentGroupStartDelay           time.Duration
	CheckWorkerLastKeepAlive       time.Duration
	MaxAllowedTimeWithoutKeepAlive time.Duration
	MaxLockedIntegrityTime         time.Duration
}

// Communication is intervals.communication.
type Communication struct {
	TimeoutRequest       time.Duration
	TimeoutDAPIRequest   time.Duration
	TimeoutReceivingFile time.Duration
	MaxZipSize           int64   // bytes; upper bound of the package limit
	MinZipSize           int64   // bytes; lower bound of the package limit
	CompressLevel        int     // zlib: 0 to 9, or -1 for the library's own choice
	ZipLimitTolerance    float64 // part by which the package limit shrinks and grows; 0 or more, below 1
}

func defaultIntervals() Intervals {
	return Intervals{
		Worker: WorkerIntervals{
			SyncIntegrity: 9 * time.Second, SyncAgentInfo: 10 * time.Second, SyncAgentGroups: 30 * time.Second,
			TimeoutAgentGroups: 40 * time.Second, KeepAlive: time.Minute, ConnectionRetry: 10 * time.Second,
			MaxFailedKeepAlives: 2, AgentGroupsMismatchLimit: 5,
		},
		Master: MasterIntervals{
			ProcessPoolSize: 2, SyncAgentGroups: 10 * time.Second, TimeoutExtraValid: 40 * time.Second,
			RecalculateIntegrity: 8 * time.Second, TimeoutAgentInfo: 40 * time.Second,
			AgentGroupStartDelay: 30 * time.Second, CheckWorkerLastKeepAlive: time.Minute,
			MaxAllowedTimeWithoutKeepAlive: 2 * time.Minute, MaxLockedIntegrityTime: 1000 * time.Second,
		},
		Communication: Communication{
			TimeoutRequest: 20 * time.Second, TimeoutDAPIRequest: 200 * time.Second,
			TimeoutReceivingFile: 2 * time.Minute, MaxZipSize: 1 << 30, MinZipSize: 30 << 20,
			CompressLevel: 1, ZipLimitTolerance: 0.2,
		},
	}
}

// Default gives what a home without any configuration file has: the built-in
// values, with the cluster disabled.
func Default(home string) *Config {
	return &Config{
		Home: home, Cluster: defaultCluster(), Items: manifest.DefaultItems(), Intervals: defaultIntervals(),
		DistributedAPI: true, Agents: defaultAgents(), Backup: defaultBackup(),
		Database: defaultDatabase(), Shared: defaultShared(), Auth: defaultAuth(),
		Testudo: defaultSettings(), sources: map[string]string{},
	}
}

// DebugLevel joins the option wazuh_clusterd.debug with the number of -d flags:
// 0 info, 1 debug, 2 debug2. An option other than 0 beats the flags; an
// unusable one makes it 0 whatever the flags say (docs/configuration.md §3).
func (c *Config) DebugLevel(flags int) int {
	switch {
	case c.DebugUnusable:
		return 0
	case c.Debug > 0:
		return c.Debug
	}
	return min(max(flags, 0), 2)
}
