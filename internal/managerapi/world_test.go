package managerapi

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"testudo/internal/dapi"
	"testudo/internal/fault"
	"testudo/internal/rbac"
	"testudo/internal/result"
	"testudo/internal/shortdir"
	"testudo/internal/unixsock"
)

// house is a home with stand-ins of the daemons that are asked.
type house struct {
	t   *testing.T
	dir string
	api *API

	mu      sync.Mutex
	answers map[string]func(request string) string // by socket
	asked   map[string][]string
}

// newHouse makes a home as an installation has it, of the node w3. Its path is
// short, since sockets are in it.
func newHouse(t *testing.T) *house {
	t.Helper()
	dir := shortdir.New(t)
	h := &house{t: t, dir: dir, answers: map[string]func(string) string{}, asked: map[string][]string{}}
	for name, text := range map[string]string{
		"etc/ossec.conf":         conf("w3"),
		"bin/" + executorDaemon:  "",
		"queue/sockets/.keep":    "",
		"queue/alerts/.keep":     "",
		"queue/db/.keep":         "",
		"var/run/.keep":          "",
		installFile:              `{"install_type": "server", "wazuh_version": "v4.7.5", "installation_date": "Thu May 30 00:00:00 UTC 2024"}`,
		"stats/hourly-average/3": "7", "stats/hourly-average/24": "2\n", "stats/weekly-average/0/5": "4",
	} {
		h.write(name, text)
	}
	for _, daemon := range []string{"wazuh-analysisd", "wazuh-execd", "wazuh-remoted", "wazuh-modulesd"} {
		h.write("var/run/"+daemon+"-"+strconv.Itoa(os.Getpid())+".pid", "")
	}
	h.build(Config{})
	return h
}

// build makes the functions anew, with what is set in cfg.
func (h *house) build(cfg Config) {
	h.t.Helper()
	root, err := os.OpenRoot(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { root.Close() })
	cfg.Dir, cfg.Home, cfg.Version, cfg.UID, cfg.GID = h.dir, root, "4.7.5", -1, -1
	cfg.Embedded = []string{"wazuh-clusterd", "wazuh-db"}
	h.api = New(cfg)
}

func conf(node string) string {
	return "<ossec_config>\n  <global>\n    <jsonout_output>yes</jsonout_output>\n    <agents_disconnection_time>10m</agents_disconnection_time>\n" +
		"  </global>\n  <cluster>\n    <name>wazuh</name>\n    <node_name>" + node + "</node_name>\n    <node_type>worker</node_type>\n" +
		"    <key>c98b62a9b6169ac5f67dae55ae4a9088</key>\n    <port>1616</port>\n    <bind_addr>127.0.0.1</bind_addr>\n    <nodes>\n" +
		"      <node>127.0.0.1</node>\n    </nodes>\n    <hidden>no</hidden>\n    <disabled>no</disabled>\n  </cluster>\n</ossec_config>\n"
}

func (h *house) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(name string) string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.dir, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

// serve answers at a socket from now on. An empty answer ends the connection.
func (h *house) serve(socket string, answer func(request string) string) {
	h.t.Helper()
	h.mu.Lock()
	_, there := h.answers[socket]
	h.answers[socket] = answer
	h.mu.Unlock()
	if there {
		return
	}
	listener, err := unixsock.Listen(filepath.Join(h.dir, socket), 0o600, -1, -1)
	if err != nil {
		h.t.Fatal(err)
	}
	limits := unixsock.DefaultLimits()
	limits.Reply = mostAnswer
	server := unixsock.NewServer(unixsock.LengthPrefix(), limits, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, listener, func(_ context.Context, conn *unixsock.Conn, request []byte) []byte {
			reply := h.answer(socket, string(request))
			if reply == "" {
				conn.Hangup()
				return nil
			}
			return []byte(reply)
		})
	}()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
}

func (h *house) answer(socket, request string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[socket] = append(h.asked[socket], request)
	return h.answers[socket](request)
}

// requests lists what was asked at a socket.
func (h *house) requests(socket string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked[socket])
}

// queue makes the queue of the daemon that executes commands.
func (h *house) queue() *net.UnixConn {
	h.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(h.dir, executeSocket), Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

// always is the answer to whatever is asked.
func always(text string) func(string) string { return func(string) string { return text } }

// call runs a function as a request does.
func (h *house) call(name, kwargs string) result.Outcome {
	h.t.Helper()
	return h.callAs(&dapi.Call{Node: "w3", Permissions: rbac.All()}, name, kwargs)
}

func (h *house) callAs(c *dapi.Call, name, kwargs string) result.Outcome {
	h.t.Helper()
	return h.run(context.Background(), c, name, kwargs)
}

func (h *house) run(ctx context.Context, c *dapi.Call, name, kwargs string) result.Outcome {
	h.t.Helper()
	list := h.api.Functions()
	i := slices.IndexFunc(list, func(f dapi.Function) bool { return f.Key() == name })
	if i < 0 {
		h.t.Fatalf("no function %s", name)
	}
	r, err := list[i].Run(ctx, c, json.RawMessage(kwargs))
	if err != nil {
		return result.Outcome{Err: result.Origin{Node: c.Node, Readable: true}.Blame(err)}
	}
	return result.Outcome{Result: r}
}

// items gives the affected items of an answer, which must have nothing else.
func (h *house) items(o result.Outcome) string {
	h.t.Helper()
	r, ok := o.Result.(*result.Affected)
	if !ok || len(r.Failed) > 0 {
		h.t.Fatalf("answer %s, want only items", o.JSON())
	}
	data, err := json.Marshal(append([]json.RawMessage{}, r.Items...))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

// failure is the error that an answer is, or that its one failed item has.
func (h *house) failure(o result.Outcome) *fault.Error {
	h.t.Helper()
	if o.Err != nil {
		return o.Err
	}
	if r, ok := o.Result.(*result.Affected); ok && len(r.Failed) == 1 {
		return r.Failed[0].Err
	}
	h.t.Fatalf("answer %s, want an error", o.JSON())
	return nil
}
