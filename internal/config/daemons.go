package config

import "time"

// Agents is what the section <global> of ossec.conf says of agents
// (docs/agents.md §11).
type Agents struct {
	// DisconnectionTime is the silence after which an agent counts as
	// disconnected, and how often that is looked at. 1 s or more.
	DisconnectionTime time.Duration
}

// Backup is <wdb><backup database="global"> of ossec.conf: the snapshots of the
// agent database (docs/agentdb.md §14).
type Backup struct {
	Enabled  bool
	Interval time.Duration // from one to the next, 1 s or more
	MaxFiles int           // kept; 1 or more
}

// DatabaseOptions are the internal options wazuh_db.* (docs/agentdb.md §16).
// The database socket tells them to whoever asks; OpenFiles is also a bound.
type DatabaseOptions struct {
	Workers            int           // worker_pool_size
	CommitTimeMin      time.Duration // commit_time_min
	CommitTimeMax      time.Duration // commit_time_max
	OpenFiles          int           // open_db_limit: databases of single agents open at a time
	MaxFragmentation   int           // max_fragmentation, percent
	FragmentationLimit int           // fragmentation_threshold, percent
	FragmentationDelta int           // fragmentation_delta, percent
	FreePages          int           // free_pages_percentage
	FragmentationEvery time.Duration // check_fragmentation_interval
}

// SharedOptions are the internal options remoted.* about what agents share
// (docs/agents.md §12).
type SharedOptions struct {
	Reload time.Duration // shared_reload: from one look at the groups' files to the next
	Merge  bool          // merge_shared: make merged.mg
}

func defaultAgents() Agents { return Agents{DisconnectionTime: 10 * time.Minute} }

func defaultBackup() Backup { return Backup{Enabled: true, Interval: 24 * time.Hour, MaxFiles: 3} }

func defaultDatabase() DatabaseOptions {
	return DatabaseOptions{
		Workers: 8, CommitTimeMin: 10 * time.Second, CommitTimeMax: time.Minute, OpenFiles: 64,
		MaxFragmentation: 90, FragmentationLimit: 75, FragmentationDelta: 5, FreePages: 0,
		FragmentationEvery: 2 * time.Hour,
	}
}

func defaultShared() SharedOptions { return SharedOptions{Reload: 10 * time.Second, Merge: true} }

// AgentDBEmbedded says whether this node keeps the database of agents itself.
// It then also does what the original's daemons do around it.
func (c *Config) AgentDBEmbedded() bool { return c.Testudo.Services.AgentDB != External }

// daemonFields are the options of other daemons' sections of ossec.conf.
func daemonFields() []field {
	return []field{
		{path: "global.agents_disconnection_time", min: 1, max: 10 * year, at: func(c *Config) any { return &c.Agents.DisconnectionTime }},
		{path: "wdb.backup.enabled", at: func(c *Config) any { return &c.Backup.Enabled }},
		{path: "wdb.backup.interval", min: 1, max: 10 * year, at: func(c *Config) any { return &c.Backup.Interval }},
		{path: "wdb.backup.max_files", min: 1, max: 1e6, at: func(c *Config) any { return &c.Backup.MaxFiles }},
	}
}

// optionFields are the internal options of other daemons. Times are in seconds.
func optionFields() []field {
	number := func(path string, low, high float64, at func(c *Config) any) field {
		return field{path: path, min: low, max: high, at: at}
	}
	return []field{
		number("wazuh_db.worker_pool_size", 1, 1024, func(c *Config) any { return &c.Database.Workers }),
		number("wazuh_db.commit_time_min", 1, day, func(c *Config) any { return &c.Database.CommitTimeMin }),
		number("wazuh_db.commit_time_max", 1, day, func(c *Config) any { return &c.Database.CommitTimeMax }),
		number("wazuh_db.open_db_limit", 1, 4096, func(c *Config) any { return &c.Database.OpenFiles }),
		number("wazuh_db.max_fragmentation", 0, 100, func(c *Config) any { return &c.Database.MaxFragmentation }),
		number("wazuh_db.fragmentation_threshold", 0, 100, func(c *Config) any { return &c.Database.FragmentationLimit }),
		number("wazuh_db.fragmentation_delta", 0, 100, func(c *Config) any { return &c.Database.FragmentationDelta }),
		number("wazuh_db.free_pages_percentage", 0, 100, func(c *Config) any { return &c.Database.FreePages }),
		number("wazuh_db.check_fragmentation_interval", 1, year, func(c *Config) any { return &c.Database.FragmentationEvery }),
		number("remoted.shared_reload", 1, day, func(c *Config) any { return &c.Shared.Reload }),
		number("remoted.merge_shared", 0, 1, func(c *Config) any { return &c.Shared.Merge }),
	}
}
