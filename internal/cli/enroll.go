package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"testudo/internal/agent"
	"testudo/internal/atomicfile"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
)

// enrollCmd asks a server for a key, as an agent does.
type enrollCmd struct {
	Server       string        `required:"" placeholder:"ADDR[:PORT]" help:"Any node, of Testudo or of the original; port 1515 unless said otherwise."`
	Name         string        `help:"The agent's name; without it the host's."`
	Group        []string      `placeholder:"NAME" help:"Groups to be put into."`
	Address      string        `placeholder:"ADDR" help:"Address to be registered with: an address, a network, any, or src for the one that the server sees."`
	AgentVersion string        `default:"v4.7.5" placeholder:"VERSION" help:"Version to give."`
	PasswordFile string        `placeholder:"FILE" help:"The password for enrolment, from this file (- for standard input)."`
	CA           string        `name:"ca" placeholder:"FILE" help:"Certificate that the server's must be signed by, or be; without it any is taken."`
	Cert         string        `placeholder:"FILE" help:"Certificate to show, where the server wants one."`
	CertKey      string        `placeholder:"FILE" help:"The key of --cert."`
	Present      string        `placeholder:"FILE" help:"The client.keys of the agent now: the server learns by a hash whether it knows this key."`
	Out          string        `placeholder:"FILE" help:"Put the key into this file, in the form of an agent's client.keys, in the place of what is in it; - for standard output. Without it the key is not shown."`
	Timeout      time.Duration `default:"30s" help:"How long all of it may take."`
	JSON         bool          `name:"json" help:"Write JSON; there is no key in it."`
}

// Validate is called by the parser.
func (c *enrollCmd) Validate() error {
	switch {
	case (c.Cert == "") != (c.CertKey == ""):
		return errors.New("--cert and --cert-key need each other")
	case c.Timeout <= 0:
		return errors.New("--timeout must be positive")
	case c.Out == "-" && c.JSON:
		return errors.New("--json and --out - would both write to standard output")
	}
	return nil
}

// enrollReport is what --json writes.
type enrollReport struct {
	agentReport
	Server string  `json:"server"`
	TookMS float64 `json:"took_ms"`
	File   string  `json:"file,omitempty"`
}

// Run asks.
func (c *enrollCmd) Run(e *env) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	var password agent.Secret
	if c.PasswordFile != "" {
		if password, err = readSecret(c.PasswordFile, "password"); err != nil {
			return err
		}
	}
	if c.Out != "" && c.Out != "-" {
		if err := canKeep(c.Out); err != nil {
			return fmt.Errorf("keep a key in %s: %w", c.Out, err)
		}
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	began := time.Now()
	key, err := enrolport.Enrol(ctx, enrolport.ClientConfig{
		Address: c.Server, CA: c.CA, Certificate: c.Cert, Key: c.CertKey, Request: request, Password: password, Timeout: c.Timeout,
	})
	took := time.Since(began)
	if err != nil {
		return withAdvice(err, c.PasswordFile != "")
	}
	if c.Out == "-" {
		_, err = fmt.Fprintln(e.out, keyLine(key))
		return err
	}
	if c.Out != "" {
		if err := writeKeyFile(c.Out, key); err != nil {
			return fmt.Errorf("agent %s has a key now, but it could not be kept: %w", key.Text, err)
		}
	}
	if c.JSON {
		return writeJSON(e.out, enrollReport{reportOf(key), c.Server, float64(took.Microseconds()) / 1000, c.Out})
	}
	text := fmt.Sprintf("Enrolled as agent %s, %s (%s), after %.0f ms.", key.Text, key.Name, key.Address, float64(took.Microseconds())/1000)
	if c.Out != "" {
		text += fmt.Sprintf(" The key is in %s.", c.Out)
	} else {
		text += " The key is not shown; --out FILE would keep it."
	}
	_, err = fmt.Fprintln(e.out, text)
	return err
}

// withAdvice says more about two refusals whose words leave the reason open.
func withAdvice(err error, password bool) error {
	refused, ok := errors.AsType[*enrolport.RefusedError](err)
	switch {
	case ok && password && refused.Reason() == enrolment.TextInvalidRequest:
		return fmt.Errorf("%w (a server that wants no password says so when it gets one)", err)
	case ok && !password && refused.Reason() == enrolment.TextInvalidPassword:
		return fmt.Errorf("%w (--password-file gives one)", err)
	}
	return err
}

// request is what is asked for.
func (c *enrollCmd) request() (enrolment.Request, error) {
	r := enrolment.Request{Name: c.Name, Version: c.AgentVersion, Groups: c.Group, Address: c.Address}
	if r.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return r, fmt.Errorf("find a name: %w", err)
		}
		r.Name = hostName(host)
	}
	if c.Present != "" {
		hash, err := presentHash(c.Present)
		if err != nil {
			return r, fmt.Errorf("read the agent's present key: %w", err)
		}
		r.KeyHash = hash
	}
	if err := r.Check(); err != nil {
		if refused, ok := errors.AsType[*enrolment.Refusal](err); ok {
			err = errors.New(strings.Trim(strconv.Quote(refused.Text), `"`))
		}
		return r, usageError{text: err.Error()}
	}
	return r, nil
}

// hostName is a host's name without what an agent's may not have.
func hostName(host string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return -1
	}, host)
}

// presentHash tells of the key in an agent's client.keys what may be told.
func presentHash(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := ""
	if _, err := agent.ReadKeys(file, agent.KeyLimits{Keys: 1}, func(k agent.Key) {
		hash = enrolment.KeyHash(k.Text, k.Name, k.Secret)
	}); err != nil {
		return "", err
	}
	if hash == "" {
		return "", fmt.Errorf("there is no key in %s", path)
	}
	return hash, nil
}

func keyLine(k agent.Key) string {
	return k.Text + " " + k.Name + " " + k.Address + " " + k.Secret.Reveal()
}

// canKeep finds out whether a key can be put into a file, before there is one that
// would be lost.
func canKeep(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return errors.New("that is no file")
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".enroll-*.tmp")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// writeKeyFile replaces an agent's client.keys.
func writeKeyFile(path string, key agent.Key) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	return atomicfile.Write(root, filepath.Base(path), []byte(keyLine(key)+"\n"), atomicfile.Options{
		Mode: 0o640, UID: atomicfile.Keep, GID: atomicfile.Keep, Sync: true,
	})
}
