package simulate

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"testudo/internal/agent"
	"testudo/internal/certificate"
	"testudo/internal/enrolment"
	"testudo/internal/enrolport"
)

// register gives each agent a key, but for those of the names that are taken.
type register struct {
	mu    sync.Mutex
	next  agent.ID
	taken string
	asked []enrolment.Request
}

type registered []byte

func (r registered) Answer() []byte     { return r }
func (registered) Delivered()           {}
func (registered) Lost(context.Context) {}

func (r *register) Register(_ context.Context, q enrolment.Request, _ string) (enrolport.Registration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q)
	if strings.HasSuffix(q.Name, r.taken) {
		return nil, enrolment.DuplicateName(q.Name)
	}
	r.next++
	return registered(enrolment.Accepted(r.next.String(), q.Name, "any", agent.NewSecret("key-"+r.next.String()))), nil
}

// listen serves a port with a registrar and gives its address.
func (r *register) listen(t *testing.T, password string) string {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := certificate.Make(root, certificate.Place{Certificate: "cert", Key: "key", UID: -1, GID: -1}, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	server, err := enrolport.Listen(ctx, enrolport.Config{
		Addresses: []string{"127.0.0.1"}, Home: root.Name(), Certificate: "cert", Key: "key", Registrar: r, Rate: -1,
		Line: enrolment.LineOptions{WantPassword: password != "", Password: agent.NewSecret(password), Version: "4.7.5"},
	})
	if err != nil {
		end()
		t.Fatal(err)
	}
	var task sync.WaitGroup
	task.Go(func() { _ = server.Serve(ctx) })
	t.Cleanup(func() {
		end()
		task.Wait()
	})
	if _, err := netip.ParseAddrPort(server.Addresses()[0]); err != nil {
		t.Fatal(err)
	}
	return server.Addresses()[0]
}

func TestEnrolment_AsksRealPorts(t *testing.T) {
	r := &register{taken: "-7"}
	one, other := r.listen(t, "secret"), r.listen(t, "")
	o := EnrolOptions{
		Servers: []string{one, other}, Count: 40, Clients: 8, Mark: "aa", Groups: []string{"default", "web"}, Password: agent.NewSecret("secret"),
	}
	e, err := NewEnrolment(o)
	if err != nil {
		t.Fatal(err)
	}
	e.Run(t.Context())
	report := e.Report()
	if report.Enrolled != 20 || report.Servers[0].Enrolled != 20 || report.Failures["ERROR: Invalid request for new agent"] != 20 {
		t.Errorf("where a password is not wanted there are no keys for it: %+v", report)
	}
	for _, q := range r.asked {
		if !isEnrolName(q.Name, "aa") || q.Version != enrolVersion || len(q.Groups) != 2 {
			t.Fatalf("asked %+v", q)
		}
	}
	o.Servers, o.Password = []string{other}, agent.Secret{}
	if e, err = NewEnrolment(o); err != nil {
		t.Fatal(err)
	}
	e.Run(t.Context())
	if report := e.Report(); report.Enrolled != 39 || report.Failures["ERROR: Duplicate agent name: NAME"] != 1 || report.Latency.P50 <= 0 {
		t.Errorf("got %+v", report)
	}
	if _, err := NewEnrolment(EnrolOptions{Servers: []string{one}, Count: 1, CA: "absent"}); err == nil {
		t.Error("an authority that is not there")
	}
}
