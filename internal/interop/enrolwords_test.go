package interop

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"testudo/internal/enrolment"
)

// TestEnrolmentWords: whatever an agent or a local program asks for, our words
// say of it what the real enrolment service answers. The questions are made up
// at random, from what is right and what is nearly right.
func TestEnrolmentWords(t *testing.T) {
	if _, err := os.Stat(filepath.Join(needReference(t), "authd")); err != nil {
		t.Skip("the reference has no enrolment service")
	}
	t.Parallel()
	c := newCluster(t, plan{master: theirs})
	c.start()
	groups := []string{"default", "web", "a", "b", "a@b", "x.y"}
	for _, name := range groups {
		c.master.write("etc/shared/"+name+"/agent.conf", "")
	}
	s := startService(t, c)
	r := &speaker{Rand: rand.New(rand.NewPCG(1, 5))}
	for n := range 600 {
		s.askPort(r.line(n), groups)
	}
	for n := range 6000 {
		s.askSocket(r.message(n))
	}
	if s.accepted < 100 || s.refused < 200 {
		t.Errorf("%d are accepted, %d refused: these are no good questions", s.accepted, s.refused)
	}
}

// service is a real enrolment service.
type service struct {
	*testing.T
	socket, port      string
	accepted, refused int
}

func startService(t *testing.T, c *cluster) *service {
	t.Helper()
	s := &service{T: t, socket: filepath.Join(c.master.home, "queue/sockets/auth"), port: fmt.Sprint(freePort(t))}
	cmd := exec.Command(filepath.Join(c.reference, "authd"), c.master.home, s.port)
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the cluster ends
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	wait(t, 30*time.Second, func() string {
		if _, err := os.Stat(s.socket); err != nil {
			return err.Error()
		}
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil {
			return err.Error()
		}
		conn.Close()
		return ""
	})
	return s
}

// askPort sends a line, which the service must take or refuse as we do.
func (s *service) askPort(line string, groups []string) {
	s.Helper()
	conn, err := tls.Dial("tcp", "127.0.0.1:"+s.port, &tls.Config{
		InsecureSkipVerify:          true, // its certificate is its own
		DynamicRecordSizingDisabled: true, // it reads one record
	})
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	answer := s.exchange(conn, []byte(line))
	request, err := enrolment.ParseLine([]byte(line), netip.MustParseAddr("127.0.0.1"), enrolment.LineOptions{Version: "4.7.5"})
	var refusal *enrolment.Refusal
	if !errors.As(err, &refusal) {
		refusal = missing(request.Groups, groups)
	}
	if refusal != nil {
		s.refused++
		if want := string(refusal.Line()) + enrolment.TextUnable; answer != want {
			s.Errorf("%.300q:\nit says %.300q\nwe say  %.300q", line, answer, want)
		}
		return
	}
	s.accepted++
	if ours := enrolment.DuplicateAddress("127.0.0.1").Line(); answer == string(ours)+enrolment.TextUnable && request.Address == "127.0.0.1" {
		return // only one agent can have the address of this connection
	}
	key, err := enrolment.ParseAccepted([]byte(answer))
	if err != nil || key.Name != request.Name || key.Address != request.Address {
		s.Errorf("%.300q:\nit says %.300q\nwe have %+v", line, answer, request)
	}
}

// missing is what is said of groups of which only some are there.
func missing(asked, there []string) *enrolment.Refusal {
	for i, name := range asked {
		switch {
		case i == 128:
			return enrolment.TooManyGroups()
		case !slices.Contains(there, name):
			return enrolment.UnknownGroup(name)
		}
	}
	return nil
}

// askSocket sends a message. What it is refused for by itself must be the same;
// what the store says to it is another matter.
func (s *service) askSocket(message string) {
	s.Helper()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	reply := s.exchange(conn, append(binary.LittleEndian.AppendUint32(nil, uint32(len(message))), message...))
	var answer struct{ Error int }
	if len(reply) < 4 || json.Unmarshal([]byte(reply[4:]), &answer) != nil {
		s.Fatalf("%s: it says %q", message, reply)
	}
	m, err := enrolment.ParseMessage([]byte(message))
	code := 0
	var refusal *enrolment.Refusal
	if errors.As(err, &refusal) {
		code = refusal.Code
	}
	wants := []int{code}
	if code == 0 {
		wants = append(wants, enrolment.CodeUnknownID, enrolment.CodeIDUsed, enrolment.CodeAddressUsed, enrolment.CodeNameUsed, enrolment.CodeGroups)
		if _, err := enrolment.ParseAddress(m.Arguments.IP); err != nil && m.Function == enrolment.FunctionAdd {
			wants = []int{enrolment.CodeNoAddress, enrolment.CodeIDUsed, enrolment.CodeGroups}
		}
	}
	if !slices.Contains(wants, answer.Error) {
		s.Errorf("%s:\nit says %s\nwe say  %v", message, reply[4:], err)
	}
	if a, err := enrolment.ParseAnswer([]byte(reply[4:])); err != nil || string(a.JSON()) != reply[4:] {
		s.Errorf("%s: we read %s as %s, %v", message, reply[4:], a.JSON(), err)
	}
}

// exchange writes and reads to the end.
func (s *service) exchange(conn net.Conn, question []byte) string {
	s.Helper()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.Fatal(err)
	}
	if _, err := conn.Write(question); err != nil {
		s.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		s.Fatalf("%.300q: %v", question, err)
	}
	return string(answer)
}

// speaker makes up questions.
type speaker struct{ *rand.Rand }

func (r *speaker) pick(words ...string) string { return words[r.IntN(len(words))] }

// mostly is the first word, or now and then another one.
func (r *speaker) mostly(usual string, other ...string) string {
	if r.IntN(10) > 0 {
		return usual
	}
	return r.pick(other...)
}

// quoted is a value as it stands in a line.
func (r *speaker) quoted(values ...string) string {
	v := r.pick(values...)
	return r.mostly("'"+v+"'", v+"'", "'"+v+" '", "' "+v+"'", " '"+v+"'", "x'")
}

// line is the n-th line. Its name and its addresses are its own.
func (r *speaker) line(n int) string {
	long := strings.Repeat
	var b strings.Builder
	b.WriteString(r.mostly("OSSEC A:'", "OSSEC A:", " OSSEC A:'", "OSSEC PASS: secret OSSEC A:'"))
	b.WriteString(r.mostly(fmt.Sprint("line-", n), "", "a", "a b", "é", "a\nb", "a\x00b", long("x", 129), long("x", 2050)))
	b.WriteString(r.mostly("'", "''", "", " ", "'  "))
	part := func(name string, values ...string) {
		if r.IntN(2) == 0 {
			b.WriteString(r.mostly(" ", "", "  ", "\t") + name + ":" + r.quoted(values...))
		}
	}
	// Of longer ones without a second point the service reads what it should not.
	part("V", "", "v4.7.5", "v4.7.9", "4.7", "v4.8.0", "v5", "junk", "v 5.0", "v.5", "..5.1", "v4.7.5-rc1", "v4.10", "-1", long(".", 2048), long(".", 2049))
	part("G", "", "default", "a,b,a", "a,,b", ",", ",,", "a,", "a b", "a,b c", "a@b", "x.y", "nope", "a/b", "a,b?", "é",
		long("a,", 200)+"a", long("a,b,", 40)+"web", long("g", 256), long("g", 256)+",a", "a,"+long("g", 256), long("no,", 4000)+"no")
	own := fmt.Sprintf("10.%d.%d", n/250, n%250)
	part("IP", "", "src", "srcx", "any", "!any", "ANY", own+".1", own+".2/24", own+".3/255.255.0.0", own+".4/32", "!"+own+".5", "::ffff:"+own+".6",
		"::FFFF:"+own+".7/255.0.0.0", own+".8/255.0.255.0", fmt.Sprintf("2001:db8::%x:1", n+1), fmt.Sprintf("2001:db8:1::%x:1/64", n+1),
		fmt.Sprintf("2001:db8:2::%x:1/128", n+1), fmt.Sprintf("2001:db8:3::%x:1/0", n+1), "1.2.3", "1.2.3.4/33", "::/64", "fe80::1%eth0", "::1.2.3.4", long("1", 47))
	part("K", "", "abc", long("a", 40), long("a", 41), long("A", 40))
	return b.String() + r.mostly("\n", "", "x")
}

// message is the n-th message. It says nothing that would end the service, nor
// what we refuse on purpose.
func (r *speaker) message(n int) string {
	object := func(members ...string) string {
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return "{" + strings.Join(slices.DeleteFunc(members, func(m string) bool { return m == "" }), r.mostly(",", " ,\n")) + "}"
	}
	member := func(name string, values ...string) string {
		return r.mostly(fmt.Sprintf("%q:%s", name, r.pick(values...)), "", fmt.Sprintf("%q:%s", strings.ToUpper(name), values[0]))
	}
	seldom := func(member string) string { return r.pick(member, "", "") }
	force := object(
		member("enabled", "true", "false", "1", "null", `"x"`), member("key_mismatch", "true", "false", "0"),
		member("disconnected_time", r.mostly(object(member("enabled", "true", "false"),
			member("value", "0", "3600", `"1h"`, `"1w"`, `"0x10"`, `"08"`, `"1hour"`, `"-1"`, "true", "null", "-5", "1.5", `""`, `" 5"`)), "7", "null", "[]")),
		member("after_registration_time", "0", "3600", `"1d"`, "null", "false", `"x"`, `"010"`),
	)
	name := fmt.Sprintf(`"message-%d"`, n)
	arguments := object(
		member("name", name, name, `"message/1"`), member("ip", `"any"`, `"any"`, `"10.200.1.1"`, `"x"`, `""`, `"!10.200.0.1"`, `"::1/64"`),
		seldom(member("id", `"001"`, `"777777"`, `"5"`)), seldom(member("groups", `""`, `"a"`, `"a,b"`, `"nope"`, `"a,,b"`, `","`)),
		seldom(member("key_hash", `"abc"`, "7", "null")), seldom(member("key", `"kkkk"`, "null")),
		seldom(member("purge", "true", "1", "false", `"true"`)), seldom(member("force", r.mostly(force, "null", "7", "{}"))),
	)
	text := object(
		member("function", `"add"`, `"add"`, `"add"`, `"get"`, `"remove"`, `"list"`, `""`),
		member("arguments", r.mostly(arguments, "[]", "7", "null", `"x"`)),
	) + r.mostly("", " x", "}")
	if r.IntN(30) == 0 {
		text = text[:1+r.IntN(len(text))]
	}
	return text
}
