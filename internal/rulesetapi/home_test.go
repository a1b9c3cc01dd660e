package rulesetapi

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
)

const configuration = `<ossec_config>
  <ruleset>
    <decoder_dir>ruleset/decoders</decoder_dir>
    <rule_dir>ruleset/rules</rule_dir>
    <rule_exclude>0215-policy_rules.xml</rule_exclude>
    <list>etc/lists/audit-keys</list>
    <decoder_dir>etc/decoders</decoder_dir>
    <rule_dir>etc/rules</rule_dir>
    <rule_dir>etc/rules/web</rule_dir>
    <rule_dir>etc/rules/gone</rule_dir>
    <rule_dir>custom/rules</rule_dir>
  </ruleset>
</ossec_config>
`

// world is a home with a small ruleset, and the functions over it.
type world struct {
	t   *testing.T
	dir string
	api *API
	c   *dapi.Call
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), c: &dapi.Call{Node: "m1", Master: true, Permissions: rbac.All()}}
	w.write("etc/ossec.conf", configuration)
	w.write("ruleset/rules/0010-base_rules.xml", `<var name="BAD">core_dumped|failure</var>
<group name="syslog,base,">
  <rule id="1" level="0" noalert="1"><category>syslog</category><description>Base.</description></rule>
  <rule id="2" level="5">
    <if_sid>1</if_sid>
    <match>$BAD</match>
    <regex type="pcre2">^a</regex>
    <regex type="pcre2">b$</regex>
    <field name="win.system.eventID" negate="yes">^4625$</field>
    <list field="audit.key" lookup="match_key_value">etc/lists/audit-keys</list>
    <info type="link">http://example.com</info>
    <info type="text">more</info>
    <options>no_full_log</options>
    <options>alert_by_email</options>
    <description>Bad </description><description>words.</description>
    <mitre><id>T1078</id><id>T1021</id></mitre>
    <group>failed,pci_dss_10.2.4,gdpr_IV_32.2,tsc_CC6.8,failed,</group>
  </rule>
</group>
`)
	w.write("ruleset/rules/0215-policy_rules.xml", `<group name="policy"><rule id="5" level="9"><description>Off.</description></rule></group>`)
	w.write("etc/rules/local_rules.xml", `<group name="local,"><rule id="100001" level="12"><if_sid>2</if_sid><description>Local.</description></rule></group>`)
	w.write("etc/rules/web/web_rules.xml", `<group name="web,"><rule id="100100" level="3"><description>Web.</description></rule></group>`)
	w.write("ruleset/decoders/0005-a_decoders.xml", `<decoder name="aa"><prematch>^x</prematch></decoder>
<decoder name="aa-child"><parent>aa</parent><regex offset="after_parent">(\d)</regex><regex> (\w)</regex><order>id, user</order></decoder>
`)
	w.write("etc/decoders/local_decoder.xml", `<decoder name="mine"><program_name>mine</program_name></decoder>`)
	w.write("etc/lists/audit-keys", "w:write\nr:read\n")
	w.write("etc/lists/amazon/sources", "s3:\n\"ec2:x\":\"a:b\"\nbroken\n")
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	w.api = New(Config{Home: root})
	return w
}

// write puts a file into the home, with times that are long over.
func (w *world) write(name, text string) {
	w.t.Helper()
	at := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o750); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o640); err != nil {
		w.t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(at, old, old); err != nil {
		w.t.Fatal(err)
	}
}

// read gives a file of the home; gone says that there is none.
func (w *world) read(name string) (text string, gone bool) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(b), err != nil
}

// ask runs a function.
func (w *world) ask(function, args string) (result.Result, error) {
	for _, f := range w.api.Functions() {
		if f.Key() == "wazuh."+function {
			return f.Run(context.Background(), w.c, json.RawMessage(args))
		}
	}
	return nil, errors.New("no such function")
}

// list runs a function that lists something, and must not fail.
func (w *world) list(function, args string) *result.Affected {
	w.t.Helper()
	r, err := w.ask(function, args)
	if err != nil {
		w.t.Fatalf("%s %s: %v", function, args, err)
	}
	return r.(*result.Affected)
}

// may gives the user these permissions.
func (w *world) may(permissions string) {
	w.t.Helper()
	p, err := rbac.Parse(json.RawMessage(permissions))
	if err != nil {
		w.t.Fatal(err)
	}
	w.c.Permissions = p
}

// column is a member of each item.
func column(t *testing.T, r *result.Affected, name string) (list []any) {
	t.Helper()
	for _, item := range r.Items {
		var o map[string]any
		if err := json.Unmarshal(item, &o); err != nil {
			t.Fatalf("item %s: %v", item, err)
		}
		list = append(list, o[name])
	}
	return list
}

// failures are the codes of the failed items, by id.
func failures(r *result.Affected) map[string]fault.Code {
	list := map[string]fault.Code{}
	for _, f := range r.Failed {
		for _, id := range f.IDs {
			list[id.String()] = f.Err.Code
		}
	}
	return list
}

func codeOf(err error) fault.Code {
	if err == nil {
		return 0
	}
	return fault.From(err).Code
}

// later makes all files older than just written.
func (w *world) later() {
	w.api.disk.now = func() time.Time { return time.Now().Add(time.Hour) }
}
