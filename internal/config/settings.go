package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// Settings is etc/testudo.yaml: what the original has no place for.
type Settings struct {
	Version   string // the version shown to other nodes; theirs must be the same
	Metrics   MetricsSettings
	Log       LogSettings
	Services  ServicesSettings
	AgentDB   AgentDBSettings
	Local     LocalSettings
	SendSync  SendSyncSettings
	Enrolment EnrolmentSettings
	Requests  RequestSettings
	Executor  ExecutorSettings
	Integrity IntegritySettings
	Limits    Limits
}

// Who does a service: this node itself, or a daemon of the installation that it
// stands in.
const (
	Embedded = "embedded"
	External = "external"
)

// ServicesSettings is the section services.
type ServicesSettings struct {
	// AgentDB says who keeps the database of agents: Embedded or External. With
	// External everything that the original's daemons do around it is theirs as
	// well (docs/agents.md).
	AgentDB string
	// Enrolment says who enrols agents: Embedded, which needs a section <auth>
	// that is not disabled, or External.
	Enrolment string
}

// AgentDBSettings is the section agentdb: the socket of an embedded database.
type AgentDBSettings struct {
	SQLWrites    bool          // statements that write are let through "global sql"
	Connections  int           // open at a time
	MessageBytes ByteSize      // of one request
	MessageTime  time.Duration // from a message's first byte to its last, in either direction
	QueryTime    time.Duration // of one request; then it is broken off
}

// LocalSettings is the section local: the socket of local programs.
type LocalSettings struct {
	Connections  int           // open at a time
	Requests     int           // of one program that are under way at a time
	MessageBytes ByteSize      // of one request
	MessageTime  time.Duration // from a frame's first byte to its last, in either direction
	IdleTime     time.Duration // silence after which a program that waits for nothing is disconnected
	ShowKey      bool          // get_config shows the key of the cluster
}

// SendSyncSettings is the section sendsync: questions of workers' daemons to
// daemons of the master.
type SendSyncSettings struct {
	Parallel   int           // at one daemon at a time
	Waiting    int           // of one worker
	AnswerTime time.Duration // for a daemon's answer
}

// EnrolmentSettings is the section enrolment: the port at which agents enrol.
type EnrolmentSettings struct {
	Address         string        // the one that is listened at; empty: all of the machine's
	Connections     int           // open at a time
	RatePerAddress  int           // connections of one address in a second, on the average; 0: any number
	BurstPerAddress int           // of them at once
	HandshakeTime   time.Duration // from a connection to the end of its TLS handshake
}

// RequestSettings is the section requests: those of the distributed API
// (docs/dapi.md §8).
type RequestSettings struct {
	Running     int      // functions at once; 0 is 4 for each processor, at least 16
	Open        int      // of one asker: that wait, run or are being answered
	Owed        int      // that one other node has not answered yet
	AnswerBytes ByteSize // of all answers held at once
}

// ExecutorSettings is the section executor: functions of the distributed API that
// another program runs (docs/executor.md).
type ExecutorSettings struct {
	Program     string        // absolute path; empty: none
	Processes   int           // of it at once
	IdleTime    time.Duration // after which an unused one is ended
	AnswerBytes ByteSize      // of one answer
	MemoryBytes ByteSize      // of data of one process
}

// MetricsSettings is the section metrics.
type MetricsSettings struct {
	Address string // host:port of /metrics, /healthz and /readyz; empty = none
}

// LogSettings is the section log.
type LogSettings struct {
	Format string // "text" or "json"
}

// IntegritySettings is the section integrity.
type IntegritySettings struct {
	HoldShrink  bool     // hold back a sudden loss of many of the master's files
	ShrinkRatio float64  // the part of the files that counts as many; above 0, at most 1
	Watch       bool     // notice changed files at once, besides the periodic scan
	CacheBytes  ByteSize // disk space for compressed files that several workers need
}

// Limits is the section limits: what one peer, or all of them, can make this
// node keep or wait for.
type Limits struct {
	HelloTimeout          time.Duration // from accept to a complete hello
	HelloBytes            ByteSize      // of a frame before the hello is accepted
	FrameTimeout          time.Duration // from a frame's first byte to its last
	Connections           int           // in all
	ConnectionsPerAddress int           // after the hello
	StrangersPerAddress   int           // before the hello
	DividedMessages       int           // divided messages of one peer under way
	DividedBytes          ByteSize      // of them together
	DividedAge            time.Duration // of one of them
	Uploads               int           // files of one peer under way or not yet used
	UploadBytes           ByteSize      // of one file
	UploadAge             time.Duration // of one file without progress
	Strings               int           // long strings of one peer under way or not yet used
	StringBytes           ByteSize      // of them together
	StringAge             time.Duration // of one of them without progress
	QueueBytes            ByteSize      // not yet sent to one peer
	ManifestFiles         int           // entries of a peer's list of files
	BundleBytes           ByteSize      // of a package after decompression
	ProbeTimeout          time.Duration // for an old session to prove that it lives
	TokenAge              time.Duration // how old a token may be; 0 takes all
}

func defaultSettings() Settings {
	return Settings{
		Version:  "4.7.5",
		Metrics:  MetricsSettings{Address: "127.0.0.1:9616"},
		Log:      LogSettings{Format: "text"},
		Services: ServicesSettings{AgentDB: Embedded, Enrolment: Embedded},
		AgentDB: AgentDBSettings{
			Connections: 256, MessageBytes: 64 << 10, MessageTime: 10 * time.Second, QueryTime: time.Minute,
		},
		Local: LocalSettings{
			Connections: 1024, Requests: 16, MessageBytes: 32 << 20, MessageTime: 10 * time.Second,
			IdleTime: 2 * time.Minute, ShowKey: true,
		},
		SendSync: SendSyncSettings{Parallel: 4, Waiting: 64, AnswerTime: time.Minute},
		Enrolment: EnrolmentSettings{
			Connections: 16384, RatePerAddress: 1000, BurstPerAddress: 4000, HandshakeTime: 10 * time.Second,
		},
		Requests: RequestSettings{Open: 2048, Owed: 1024, AnswerBytes: 100 << 20},
		Executor: ExecutorSettings{Processes: 2, IdleTime: 5 * time.Minute, AnswerBytes: 64 << 20, MemoryBytes: 1 << 30},
		Integrity: IntegritySettings{
			HoldShrink: true, ShrinkRatio: 0.5, Watch: true, CacheBytes: 1 << 30,
		},
		Limits: Limits{
			HelloTimeout: 30 * time.Second, HelloBytes: 4 << 10, FrameTimeout: time.Minute,
			Connections: 1024, ConnectionsPerAddress: 256, StrangersPerAddress: 64,
			DividedMessages: 10, DividedBytes: 256 << 20, DividedAge: time.Minute,
			Uploads: 8, UploadBytes: 2 << 30, UploadAge: 10 * time.Minute,
			Strings: 16, StringBytes: 256 << 20, StringAge: 10 * time.Minute,
			QueueBytes: 32 << 20, ManifestFiles: 1_000_000, BundleBytes: 16 << 30,
			ProbeTimeout: 5 * time.Second,
		},
	}
}

// ByteSize is a number of bytes, written as "256MiB", "1.5GiB" or "4096".
type ByteSize int64

var byteUnits = [...]struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String gives the size in the largest unit that divides it.
func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

var byteForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(?: ?([KMGT]iB|B))?$`)

// ParseByteSize reads a size: a whole number of bytes, or a number with one of
// the units B, KiB, MiB, GiB, TiB. The result is at least 0.
func ParseByteSize(text string) (ByteSize, error) {
	parts := byteForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is no size; write bytes, or a number with KiB, MiB, GiB or TiB", text)
	}
	unit := int64(1)
	for _, u := range byteUnits {
		if parts[2] == u.name {
			unit = u.size
		}
	}
	if whole, err := strconv.ParseInt(parts[1], 10, 64); err == nil && whole <= math.MaxInt64/unit {
		return ByteSize(whole * unit), nil
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	if bytes := number * float64(unit); err == nil && bytes < 1<<62 && bytes == math.Trunc(bytes) {
		return ByteSize(bytes), nil
	}
	return 0, fmt.Errorf("%q is no whole number of bytes, or too many", text)
}
