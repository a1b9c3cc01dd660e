package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// authSection is that of a node in a home of theirs, much as shipped.
const authSection = `
<ossec_config>
  <auth>
    <disabled>no</disabled>
    <port>%d</port>
    <force>
      <enabled>yes</enabled>
      <key_mismatch>yes</key_mismatch>
      <disconnected_time enabled="yes">1h</disconnected_time>
      <after_registration_time>1h</after_registration_time>
    </force>
    <purge>yes</purge>
    <ssl_manager_cert>etc/sslmanager.cert</ssl_manager_cert>
    <ssl_manager_key>etc/sslmanager.key</ssl_manager_key>
  </auth>
</ossec_config>
`

// addAuth says in a home of theirs where agents enrol.
func (n *node) addAuth() error {
	n.enrolPort = freePort(n.cluster.t)
	f, err := os.OpenFile(filepath.Join(n.home, "etc/ossec.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, authSection, n.enrolPort)
	return errors.Join(err, f.Close())
}

// enrolAddress is where agents enrol at the node.
func (n *node) enrolAddress() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.enrolPort)) }

// enrolledBy is whose program takes agents in at the node.
func (n *node) enrolledBy() maker {
	if n.maker == ours && !n.isExternal() && !n.isInstalled() {
		return ours
	}
	return theirs
}

// startEnrolment starts the original's enrolment server beside each node that has
// none of its own, and waits until agents can enrol at all of them.
func (c *cluster) startEnrolment() {
	c.t.Helper()
	for _, n := range c.nodes() {
		if n.enrolledBy() == theirs {
			n.startAuthd()
		}
	}
	for _, n := range c.nodes() {
		wait(c.t, patience, func() string {
			conn, err := net.DialTimeout("tcp", n.enrolAddress(), time.Second)
			if err != nil {
				return err.Error() + n.tail()
			}
			conn.Close()
			return ""
		})
	}
}

func (n *node) startAuthd() {
	t := n.cluster.t
	t.Helper()
	output, err := os.OpenFile(n.home+".authd.out", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close() // the process has its own handle
	cmd := exec.Command(filepath.Join(n.cluster.reference, "authd"), n.home, strconv.Itoa(n.enrolPort), "-d")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = output, output, attributes()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the enrolment server of %s: %v", n, err)
	}
	ended := make(chan struct{})
	go func() { // waited for below
		defer close(ended)
		_ = cmd.Wait()
	}()
	n.authd = &process{cmd: cmd, ended: ended}
	t.Cleanup(func() { // before the node ends
		n.stopAuthd()
		if t.Failed() {
			t.Log(n.authdTail())
		}
	})
}

// stopAuthd ends the enrolment server, if it runs.
func (n *node) stopAuthd() {
	p := n.authd
	if p == nil {
		return
	}
	n.authd = nil
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		n.cluster.t.Errorf("the enrolment server of %s does not end", n)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func (n *node) authdTail() string {
	content, err := os.ReadFile(n.home + ".authd.out")
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return "--- enrolment server of " + n.String() + ":\n" + strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// needEnrolment skips a test where the reference has no enrolment programs.
func (c *cluster) needEnrolment() {
	c.t.Helper()
	if !c.offers("authd") || !c.offers("agent-auth") {
		c.t.Skip("the reference has no authd and no agent-auth")
	}
}
