package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"testudo/internal/home"
)

// initCmd makes a home.
type initCmd struct {
	homeFlag
	Role    string `required:"" enum:"master,worker" placeholder:"master|worker" help:"What the node does: a cluster has one master."`
	Name    string `required:"" help:"Name of the node, unique in its cluster."`
	Cluster string `default:"wazuh" help:"Name of the cluster, the same on all of its nodes."`
	Key     string `help:"Key of the cluster: 32 letters and digits. Without it and --key-file: $$TESTUDO_KEY; a master then makes a new one. Other users of the machine can read what follows --key in the list of processes while this runs; the variable and the file do not have this fault."`
	KeyFile string `placeholder:"FILE" help:"Read the key from this file (- for standard input)."`
	Master  string `placeholder:"ADDR" help:"Address or host name of the master; a worker needs it."`
	Port    int    `default:"1516" help:"Port of the cluster, 1025 to 65534."`
	Bind    string `default:"0.0.0.0" placeholder:"ADDR" help:"Address that a master listens on."`
	Metrics string `placeholder:"HOST:PORT" help:"Where metrics and readiness are served; off for nowhere. Without it: 127.0.0.1:9616."`
	Enrol   int    `name:"enrol-port" default:"1515" placeholder:"PORT" help:"Port at which agents enrol; 0: they do not enrol at this node."`
	Force   bool   `help:"The directory need not be empty: make what is missing there, change nothing."`
	JSON    bool   `name:"json" help:"Write what was made as JSON."`
}

// initReport is what --json writes.
type initReport struct {
	Home    string   `json:"home"`
	Created []string `json:"created"`
	Kept    []string `json:"kept"`
	Key     string   `json:"key,omitempty"` // only when it is a new one

	Fingerprint string `json:"fingerprint,omitempty"` // of the certificate for agents, only when it is a new one
}

// Validate is called by the parser.
func (c *initCmd) Validate() error {
	if c.Key != "" && c.KeyFile != "" {
		return errors.New("--key and --key-file exclude each other")
	}
	if c.Enrol < 0 || c.Enrol > 65535 {
		return fmt.Errorf("--enrol-port: %d is no port", c.Enrol)
	}
	return nil
}

// enrolPort is the port as home.Spec has it.
func (c *initCmd) enrolPort() int {
	if c.Enrol == 0 {
		return -1
	}
	return c.Enrol
}

// Run makes the home.
func (c *initCmd) Run(e *env) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	dir, _ := home.Locate(c.Home)
	report, err := home.Init(dir, home.Spec{
		Role: c.Role, Name: c.Name, Cluster: c.Cluster, Key: key, Master: c.Master, Port: c.Port, Bind: c.Bind, Metrics: c.Metrics,
		EnrolPort: c.enrolPort(),
	}, c.Force)
	switch {
	case errors.Is(err, home.ErrSpec):
		return usageError{text: err.Error()}
	case errors.Is(err, home.ErrNotEmpty):
		return fmt.Errorf("%w; nothing was changed; --force makes what is missing and changes nothing that is there", err)
	case err != nil:
		return err
	case c.JSON:
		return writeJSON(e.out, initReport{
			Home: dir, Created: notNil(report.Created), Kept: notNil(report.Kept), Key: report.Key, Fingerprint: report.Fingerprint,
		})
	}
	_, err = io.WriteString(e.out, c.account(dir, report))
	return err
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// keyVariable names the environment variable that may hold the key.
const keyVariable = "TESTUDO_KEY"

// key is the key from wherever it was given; empty when it was not.
func (c *initCmd) key() (string, error) {
	var text []byte
	var err error
	switch {
	case c.Key != "":
		return c.Key, nil
	case c.KeyFile == "":
		return os.Getenv(keyVariable), nil
	case c.KeyFile == "-":
		text, err = io.ReadAll(io.LimitReader(os.Stdin, 4<<10))
	default:
		text, err = readSmall(c.KeyFile)
	}
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", fmt.Errorf("read the key: %s is empty", c.KeyFile)
	}
	return key, nil
}

func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 4<<10))
}

// account tells what was made and what comes next.
func (c *initCmd) account(dir string, r home.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Home of %s %s: %s\n", c.Role, c.Name, dir)
	for _, name := range r.Created {
		fmt.Fprintf(&b, "  made  %s\n", name)
	}
	for _, name := range r.Kept {
		fmt.Fprintf(&b, "  kept  %s\n", name)
	}
	if r.Key != "" {
		fmt.Fprintf(&b, "\nNew key of cluster %s, shown this once (it is in etc/ossec.conf):\n\n  %s\n", c.Cluster, r.Key)
	}
	if r.Fingerprint != "" {
		fmt.Fprintf(&b, "\nSHA-256 fingerprint of the new certificate for agents, etc/sslmanager.cert:\n\n  %s\n", r.Fingerprint)
	}
	fmt.Fprintf(&b, "\nNext:\n  testudo node --home %s -t    check the configuration\n  testudo node --home %s       run the node\n", quoteArg(dir), quoteArg(dir))
	if c.Role == "master" {
		fmt.Fprintf(&b, "\nFor each worker, on its machine (TESTUDO_KEY holds the key):\n"+
			"  testudo init --home DIR --role worker --name NAME --cluster %s --master ADDR --port %d\n", quoteArg(c.Cluster), c.Port)
	}
	return b.String()
}

// quoteArg makes a word fit for a shell.
func quoteArg(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
