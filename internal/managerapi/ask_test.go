package managerapi

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
)

func TestActiveConf(t *testing.T) {
	const mail, analysis, auth = sockets + "mail", analysisSock, sockets + "auth"
	tests := []struct {
		name, component, socket, answer, want string
		code                                  fault.Code
		class                                 fault.Class
	}{
		{"text", "mail", mail, `ok {"email":{"a":1}}`, `[{"email":{"a":1}}]`, 0, ""},
		{"JSON", "analysis", analysis, `{"error":0,"data":{"global":{"x":1}}}`, `[{"global":{"x":1}}]`, 0, ""},
		{"nothing", "mail", mail, `ok {}`, `[]`, 0, ""},
		{"the agent of the manager", "agent", analysis, `{"error":0,"data":{"q":1}}`, `[{"q":1}]`, 0, ""},
		{"password of registration", "auth", auth, `ok {"auth":{"use_password":"yes"}}`, `[{"auth":{"use_password":"yes"},"authd.pass":"secret"}]`, 0, ""},
		{"no password", "auth", auth, `ok {"auth":{"use_password":"no"}}`, `[{"auth":{"use_password":"no"}}]`, 0, ""},
		{"unknown", "mail", mail, `err Could not get requested section`, "", fault.ConfigUnknown, fault.ClassBadRequest},
		{"unknown in JSON", "analysis", analysis, `{"error":2,"data":"bad section"}`, "", fault.ConfigUnknown, fault.ClassBadRequest},
		{"not to be reached", "auth", auth, `err Cannot send request`, "", fault.ComponentSilent, fault.ClassBadRequest},
		{"one word", "mail", mail, `okwithoutspace`, "", fault.ComponentFailed, fault.ClassInternal},
		{"no object", "mail", mail, `ok [1]`, "", fault.ComponentFailed, fault.ClassInternal},
		{"no JSON", "analysis", analysis, `nope`, "", fault.ComponentFailed, fault.ClassInternal},
		{"no error", "analysis", analysis, `{"data":{}}`, "", fault.ComponentFailed, fault.ClassInternal},
		{"cut", "mail", mail, ``, "", fault.SocketTalk, fault.ClassException},
		{"not there", "syscheck", "", ``, "", fault.SocketRefused, fault.ClassBadRequest},
		{"no component", "zzz", "", ``, "", fault.UnknownComponent, fault.ClassBadRequest},
		{"none named", "", "", ``, "", fault.StatsParameters, fault.ClassBadRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.write(passwordFile, "secret\n")
			if test.socket != "" {
				h.serve(test.socket, always(test.answer))
			}
			o := h.call("wazuh.manager.get_config", `{"component": "`+test.component+`", "config": "global"}`)
			if test.code == 0 {
				if got := strings.ReplaceAll(h.items(o), " ", ""); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
				return
			}
			if got := h.failure(o); got.Code != test.code || got.Class != test.class {
				t.Errorf("error %v (%s), want %d (%s)", got, got.Class, test.code, test.class)
			}
		})
	}
}

// Names of configurations cannot become more than one word of what is asked.
func TestActiveConf_Names(t *testing.T) {
	h := newHouse(t)
	h.serve(sockets+"mail", always(`ok {}`))
	for _, name := range []string{"a b", "a\nb", "\u00e9", strings.Repeat("x", mostName+1)} {
		kwargs, err := json.Marshal(map[string]string{"component": "mail", "config": name})
		if err != nil {
			t.Fatal(err)
		}
		if got := h.failure(h.call("wazuh.manager.get_config", string(kwargs))); got.Code != fault.ConfigUnknown {
			t.Errorf("%q: error %v, want 1116", name, got)
		}
	}
	if asked := h.requests(sockets + "mail"); len(asked) != 0 {
		t.Errorf("the daemon was asked %q", asked)
	}
}

// A dead socket, and a daemon that does not answer.
func TestAsk_Silent(t *testing.T) {
	h := newHouse(t)
	h.dead(comSocket)
	if got := h.failure(h.call("wazuh.manager.validation", `{}`)); got.Code != fault.SocketMissing || !strings.Contains(got.Error(), "'com' cannot receive connections") {
		t.Errorf("validation: %v", got)
	}
	if got := h.failure(h.call("wazuh.manager.get_config", `{"component": "com", "config": "logging"}`)); got.Code != fault.SocketRefused || got.Class != fault.ClassInternal {
		t.Errorf("get_config: %v", got)
	}
	h.build(Config{Talk: 50 * time.Millisecond})
	until := make(chan struct{})
	h.serve(remoteSocket, func(string) string { <-until; return "ok" })
	defer close(until)
	if got := h.failure(h.call("wazuh.manager.get_config", `{"component": "request", "config": "remote"}`)); got.Code != fault.RequestTimeout {
		t.Errorf("a silent daemon: %v, want 3020", got)
	}
	h.build(Config{})
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(fault.New(fault.APITimeout, nil))
	o := h.run(ctx, &dapi.Call{Node: "w3", Permissions: rbac.All()}, "wazuh.manager.validation", `{}`)
	if o.Err == nil {
		t.Errorf("a request whose time is over: %s", o.JSON())
	}
}

// dead leaves a socket that nobody listens at.
func (h *house) dead(socket string) {
	h.t.Helper()
	h.serve(socket, always("ok"))
	path := filepath.Join(h.dir, socket)
	if err := os.Rename(path, path+".living"); err != nil {
		h.t.Fatal(err)
	}
	conn := h.queue()
	if err := os.Rename(filepath.Join(h.dir, executeSocket), path); err != nil {
		h.t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		h.t.Fatal(err)
	}
}

func TestRestart(t *testing.T) {
	h := newHouse(t)
	queue := h.queue()
	if got := h.items(h.call("wazuh.manager.restart", `{}`)); got != `["w3"]` {
		t.Fatalf("items %s", got)
	}
	buf := make([]byte, 4096)
	n, err := queue.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":1,"origin":{"module":"API"},"command":"restart-wazuh","parameters":{"alert":{},"extra_args":[]}}`
	if string(buf[:n]) != want {
		t.Errorf("sent %s, want %s", buf[:n], want)
	}
	if err := queue.Close(); err != nil { // the socket stays
		t.Fatal(err)
	}
	if got := h.failure(h.call("wazuh.manager.restart", `{}`)); got.Code != fault.ExecQueueRefused {
		t.Errorf("nobody there: %v, want 1902", got)
	}
}

// Whoever waits for the lock of the queue gives up with the request.
func TestRestart_Locked(t *testing.T) {
	h := newHouse(t)
	h.queue()
	unlock, err := h.api.lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 3*lockEvery, fault.New(fault.APITimeout, nil))
	defer cancel()
	c := &dapi.Call{Node: "w3", Permissions: rbac.All()}
	if got := h.failure(h.run(ctx, c, "wazuh.manager.restart", `{}`)); got.Code != fault.APITimeout {
		t.Errorf("error %v, want 3021", got)
	}
	unlock()
	if got := h.items(h.call("wazuh.manager.restart", `{}`)); got != `["w3"]` {
		t.Errorf("items %s", got)
	}
}

func TestDaemons(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	tests := []struct {
		name  string
		files []string
		want  string
	}{
		{"none", nil, Stopped},
		{"lives", []string{"wazuh-execd-" + pid + ".pid"}, Running},
		{"died", []string{"wazuh-execd-2147483647.pid"}, Failed},
		{"one of two lives", []string{"wazuh-execd-2147483647.pid", "wazuh-execd-" + pid + ".pid"}, Running},
		{"failed", []string{"wazuh-execd.failed", ".restart", "wazuh-execd-" + pid + ".pid"}, Failed},
		{"all restart", []string{".restart", "wazuh-execd.start", "wazuh-execd-" + pid + ".pid"}, Restarting},
		{"starts", []string{"wazuh-execd.start", "wazuh-execd-" + pid + ".pid"}, Starting},
		{"files of others", []string{"wazuh-execd-x" + pid + ".pid", "wazuh-execd_child-" + pid + ".pid", "wazuh-execd-.pid", "wazuh-execd-" + pid}, Stopped},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range append(test.files, ".") {
				path := filepath.Join(dir, runDir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if name != "." {
					if err := os.WriteFile(path, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			d := Daemons{Dir: dir, Embedded: []string{"wazuh-clusterd"}}
			if got := d.State("wazuh-execd"); got != test.want {
				t.Errorf("wazuh-execd is %s, want %s", got, test.want)
			}
			if got := d.State("wazuh-clusterd"); got != Running {
				t.Errorf("what this process does is %s", got)
			}
		})
	}
	if _, err := (Daemons{Dir: t.TempDir(), Proc: "/nowhere"}).All(); !fault.Has(err, fault.ProcessUnknown) {
		t.Errorf("without /proc: %v, want 1913", err)
	}
	if states, err := (Daemons{Dir: t.TempDir()}).All(); err != nil || len(states) != len(daemonNames) {
		t.Errorf("an empty home: %v, %v", states, err)
	}
}
