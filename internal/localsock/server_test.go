package localsock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"testudo/internal/fault"
	"testudo/internal/session"
)

func TestServer_SocketBelongsToGroup(t *testing.T) {
	_, path := serve(t, Commands{})
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fs.ModeSocket | 0o660; info.Mode() != want {
		t.Errorf("mode %v, want %v", info.Mode(), want)
	}
}

func TestClient_NobodyThere(t *testing.T) {
	_, err := Dial(t.Context(), socketPath(t), ClientOptions{})
	if !fault.Has(err, fault.NotRunning) {
		t.Errorf("%v, want error 3012", err)
	}
}

// roles gives the commands of a master, of a worker, and of a worker without a
// master.
func roles() (master, worker, cut Commands) {
	gone := func() error { return fault.New(fault.NotConnected, nil) }
	answer := func(_ context.Context, _ string, request []byte) ([]byte, error) {
		switch string(request) {
		case "fail":
			return nil, fault.New(fault.UnknownAgent, "007")
		case "text":
			return nil, session.PlainError("'rbac_mode'")
		}
		return append([]byte("answer to "), request...), nil
	}
	api := func(ctx context.Context, client string, request []byte, take func(...[]byte) error) error {
		data, err := answer(ctx, client, request)
		if err != nil {
			return err
		}
		return take(data)
	}
	forward := func(ctx context.Context, client, node string, request []byte, take func(...[]byte) error) error {
		return api(ctx, client, append([]byte(node+":"), request...), take)
	}
	failing := func(context.Context, []byte) ([]byte, error) { return nil, fault.New(fault.NodeAbsent, nil) }
	master = Commands{
		Config: func() ([]byte, error) { return []byte(`{"name": "wazuh"}`), nil },
		Nodes:  constant("nodes"), Health: failing, Hash: func(context.Context) ([]byte, error) { return []byte("{}"), nil },
		DAPI: api, Forward: forward, Known: func(node string) bool { return node == "w1" },
	}
	worker = Commands{
		Relayed: true, Connected: func() error { return nil }, Nodes: constant("nodes"), Health: failing,
		DAPI: api, Sync: answer,
	}
	cut = worker
	cut.Connected = gone
	return master, worker, cut
}

func TestClient_Answers(t *testing.T) {
	master, worker, cut := roles()
	tests := []struct {
		name     string
		commands Commands
		command  string
		payload  string
		want     string
		code     fault.Code
		extra    any
	}{
		{"configuration", master, cmdConfig, "", `{"name": "wazuh"}`, 0, nil},
		{"hashes", master, cmdHash, "x", "{}", 0, nil},
		{"nodes on master", master, cmdNodes, "{}", "nodes", 0, nil},
		{"nodes on worker", worker, cmdNodes, "{}", "nodes", 0, nil},
		{"nodes without master", cut, cmdNodes, "{}", "", fault.NotConnected, nil},
		{"error on master", master, cmdHealth, "{}", "", fault.NodeAbsent, nil},
		{"error of the master on worker", worker, cmdHealth, "{}", "", fault.NodeAbsent, nil},
		{"api", master, cmdDAPI, "x", "answer to x", 0, nil},
		{"empty api answer", master, cmdDAPI, "x", "answer to x", 0, nil},
		{"api error", worker, cmdDAPI, "fail", "", fault.UnknownAgent, "007"},
		{"api error as text", worker, cmdDAPI, "text", "", fault.RemoteText, "'rbac_mode'"},
		{"api without master", cut, cmdDAPI, "x", "", fault.NotConnected, nil},
		{"forwarded", master, cmdForward, "w1 x y", "answer to w1:x y", 0, nil},
		{"forwarded to nobody", master, cmdForward, "w2 x", "", fault.UnknownNode, nil},
		{"forwarded without node", master, cmdForward, "x", "", fault.Unspecified, "node and request expected"},
		{"forwarded by worker", worker, cmdForward, "w1 x", "", fault.RemoteText, "unknown command 'b'dapi_fwd''"},
		{"daemon", worker, cmdSync, "x", "answer to x", 0, nil},
		{"daemon fails", worker, cmdSync, "fail", "", fault.RemoteText, "Error 1701 - Agent does not exist: 007"},
		{"daemon without master", cut, cmdSync, "x", "", fault.NotConnected, nil},
		{"daemon, with first reply", worker, cmdAsync, "x", "answer to x", 0, nil},
		{"daemon of the master itself", master, cmdSync, "x", "", fault.RemoteText, "unknown command 'b'sendsync''"},
		{"file", master, cmdFile, "etc/x w1", "", fault.SendRequest, "files are not sent for local programs"},
		{"file to nobody", master, cmdFile, "etc/x w2", "", fault.UnknownNode, nil},
		{"file without node", worker, cmdFile, "etc/x", "", fault.Unspecified, "path and node expected"},
		{"file with too many nodes", worker, cmdFile, "etc/x w1 w2", "", fault.Unspecified, "path and node expected"},
		{"file without master", cut, cmdFile, "etc/x w1", "", fault.NotConnected, nil},
		{"unknown", master, "nosuchcmd", "hello", "", fault.RemoteText, "unknown command 'b'nosuchcmd''"},
		{"hello", master, "hello", "w1 wazuh worker 4.7.5", "", fault.RemoteText, "unknown command 'b'hello''"},
		{"upload", master, "new_file", "/queue/cluster/w1/x", "", fault.RemoteText, "unknown command 'b'new_file''"},
		{"answer of nobody", master, "dapi_res", "1 2", "", fault.RemoteText, "unknown command 'b'dapi_res''"},
		{"no name", master, "", "", "", fault.RemoteText, "unknown command 'b'''"},
		{"echo", master, "echo", "x", "x", 0, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, path := serve(t, tc.commands)
			got, err := Ask(t.Context(), path, ClientOptions{}, tc.command, []byte(tc.payload))
			var f *fault.Error
			switch {
			case tc.code == 0 && err != nil:
				t.Fatal(err)
			case tc.code != 0 && !errors.As(err, &f):
				t.Fatalf("%q, %v, want error %d", got, err, tc.code)
			case tc.code != 0 && (f.Code != tc.code || f.Extra != tc.extra):
				t.Errorf("%v (%v), want %d with %v", f, f.Extra, tc.code, tc.extra)
			case string(got) != tc.want:
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
