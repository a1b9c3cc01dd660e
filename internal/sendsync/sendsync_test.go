package sendsync

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
	"testudo/internal/session"
)

func TestAsk_Answered(t *testing.T) {
	home := newHome(t)
	for name := range daemons() {
		daemonOf(t, home, name, echo)
	}
	m, _ := master(home)
	w, _, _ := worker(t, m, "w1")
	large := strings.Repeat("x", 1<<19)
	tests := []struct{ name, request, want string }{
		{"object", `{"daemon_name": "authd", "message": {"function": "get", "b": [1, 2]}}`, `answer to {"function": "get", "b": [1, 2]}`},
		{"text", `{"message": "global sql \"x\" é", "daemon_name": "wazuh-db"}`, `answer to global sql "x" é`},
		{"remoted", `{"daemon_name":"remoted","message":{}}`, "answer to {}"},
		{"task-manager", `{"daemon_name":"task-manager","message":"x"}`, "answer to x"},
		{"large", `{"daemon_name":"authd","message":"` + large + `"}`, "answer to " + large},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := w.Ask(t.Context(), "17", []byte(tc.request))
			if err != nil || string(got) != tc.want {
				t.Errorf("%.100q, %v", got, err)
			}
		})
	}
}

// The texts are the original's, which programs and people look for.
func TestAsk_Fails(t *testing.T) {
	home := newHome(t)
	deadDaemon(t, home, "authd")
	m, log := master(home)
	w, _, _ := worker(t, m, "w1")
	tests := []struct{ name, request, want string }{
		{"no socket", `{"daemon_name": "task-manager", "message": {"a": 1}}`, "Error 1013 - Unable to connect with socket: task"},
		{"nobody listens", `{"daemon_name": "authd", "message": {"a": 1}}`,
			"Error 1121 - Error connecting with socket: Socket 'auth' cannot receive connections"},
		{"unknown daemon", `{"daemon_name": "bad", "message": {}}`, "Error 1014 - Error communicating with socket: 'bad'"},
		{"no daemon", `{"message": {}}`, "Error 1014 - Error communicating with socket: ''"},
		{"number as message", `{"daemon_name": "authd", "message": 1}`,
			"Error 1014 - Error communicating with socket: the message is neither an object nor a text"},
		{"no message", `{"daemon_name": "authd"}`, "Error 1014 - Error communicating with socket: the message is neither an object nor a text"},
		{"null as message", `{"daemon_name": "authd", "message": null}`,
			"Error 1014 - Error communicating with socket: the message is neither an object nor a text"},
		{"no JSON", `x`, "invalid character 'x' looking for beginning of value"},
		{"two values", `{} {}`, "more than one JSON value"},
		{"unknown key", `{"daemon_name": "authd", "message": {}, "x": 1}`, `json: unknown field "x"`},
		{"empty", ``, "EOF"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := w.Ask(t.Context(), "17", []byte(tc.request))
			if text, ok := errors.AsType[session.PlainError](err); !ok || string(text) != tc.want {
				t.Errorf("%q, %v\nwant %s", got, err, tc.want)
			}
		})
	}
	log.Want(t, "Error in SendSync (parameters {'daemon_name': 'authd'}): Error 1121")
	if log.Count(`"a"`) != 0 || log.Count(`\"a\"`) != 0 {
		t.Error("the log has a message, which may hold keys")
	}
}

// A daemon that closes instead of answering, and one that answers too much.
func TestAsk_DaemonMisbehaves(t *testing.T) {
	home := newHome(t)
	daemonOf(t, home, "remoted", func(context.Context, string) string { return strings.Repeat("x", 100) })
	daemonOf(t, home, "authd", func(context.Context, string) string { return strings.Repeat("x", 1<<21) }) // its server closes
	m, _ := master(home, func(c *MasterConfig) { c.MessageBytes = 99 })
	w, _, _ := worker(t, m, "w1")
	for name, want := range map[string]string{
		"remoted": "Error 1014 - Error communicating with socket: remote: message longer than the limit",
		"authd":   "Error 1014 - Error communicating with socket: auth closed the connection without an answer",
	} {
		if got, err := w.Ask(t.Context(), "17", []byte(`{"daemon_name": "`+name+`", "message": "x"}`)); err == nil || err.Error() != want {
			t.Errorf("%q, %v\nwant %s", got, err, want)
		}
	}
}

// A daemon that hangs keeps up nobody who asks another, or who asks for another
// worker; what is too much is refused at once, and time ends all waiting.
func TestMaster_HangingDaemon(t *testing.T) {
	home := newHome(t)
	got, may := make(chan string, 9), make(chan struct{})
	daemonOf(t, home, "authd", hang(got, may))
	daemonOf(t, home, "remoted", echo)
	m, _ := master(home, func(c *MasterConfig) { c.Parallel, c.Waiting = 2, 3 })
	w1, _, _ := worker(t, m, "w1")
	w2, _, _ := worker(t, m, "w2")
	request := []byte(`{"daemon_name": "authd", "message": "x"}`)
	ask := func(w *Worker, times int) <-chan string {
		texts := make(chan string, times)
		for range times {
			go func() {
				answer, err := w.Ask(t.Context(), "17", request)
				if err != nil {
					answer = []byte(err.Error())
				}
				texts <- string(answer)
			}()
		}
		return texts
	}
	first := ask(w1, 4) // one has w1's turn, two wait, the fourth is too much
	<-got
	if text := <-first; !strings.HasPrefix(text, "Error 3090 - ") {
		t.Errorf("%s, want busy", text)
	}
	second := ask(w2, 1)
	<-got // it has a turn of its own
	if answer, err := w1.Ask(t.Context(), "18", []byte(`{"daemon_name": "remoted", "message": "x"}`)); err != nil || string(answer) != "answer to x" {
		t.Errorf("%q, %v of another daemon", answer, err)
	}
	close(may)
	for _, text := range []string{<-first, <-first, <-first, <-second} {
		if text != "late answer" {
			t.Error(text)
		}
	}
}

// The one that has the daemon's turn waits in vain, the other for the turn: which
// is free at the very end, perhaps.
func TestMaster_AnswerTime(t *testing.T) {
	home := newHome(t)
	got, may := make(chan string, 9), make(chan struct{})
	defer close(may)
	daemonOf(t, home, "authd", hang(got, may))
	m, _ := master(home, func(c *MasterConfig) { c.Parallel, c.AnswerTime = 1, 200*time.Millisecond })
	w, _, _ := worker(t, m, "w1")
	request := []byte(`{"daemon_name": "authd", "message": "x"}`)
	texts := make(chan string, 2)
	for range 2 {
		go func() {
			_, err := w.Ask(t.Context(), "17", request)
			texts <- err.Error()
		}()
	}
	first, second := <-texts, <-texts
	late := "Error 1014 - Error communicating with socket: auth does not answer"
	if first != late && second != late {
		t.Errorf("%s\n%s", first, second)
	}
	for _, text := range []string{first, second} {
		if text != late && text != "Error 1014 - Error communicating with socket: auth is busy with earlier questions" {
			t.Error(text)
		}
	}
}

// Whoever asked has gone: the answer is reported, not dropped in silence.
func TestWorker_AskerGone(t *testing.T) {
	home := newHome(t)
	got, may := make(chan string, 1), make(chan struct{})
	daemonOf(t, home, "authd", hang(got, may))
	m, _ := master(home)
	w, log, stop := worker(t, m, "w1")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-got
		cancel()
	}()
	if _, err := w.Ask(ctx, "17", []byte(`{"daemon_name": "authd", "message": "x"}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(may)
	for log.Count("Error sending sendsync response to local client: it has gone") == 0 {
		select {
		case <-t.Context().Done():
			t.Fatal(log)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
}

// The connection to the master ends while an answer is owed.
func TestWorker_MasterGone(t *testing.T) {
	home := newHome(t)
	got, may := make(chan string, 1), make(chan struct{})
	defer close(may)
	daemonOf(t, home, "authd", hang(got, may))
	m, _ := master(home)
	w, _, stop := worker(t, m, "w1")
	go func() {
		<-got
		stop()
	}()
	request := []byte(`{"daemon_name": "authd", "message": "x"}`)
	for range 2 {
		if _, err := w.Ask(t.Context(), "17", request); !fault.Has(err, fault.NotConnected) {
			t.Errorf("%v, want 3023", err)
		}
		stop()
	}
}

// peerMaster is a worker's end whose master is played by hand.
func peerMaster(t *testing.T, patience time.Duration, commands func(*pairtest.End)) (*Worker, *pairtest.End) {
	t.Helper()
	w := NewWorker(WorkerConfig{Patience: patience})
	m, _, _ := pairtest.Connect(t, "w1", true, commands, pairtest.Of(w.Offer))
	ready(w)
	return w, m
}

func TestWorker_MasterRefusesOrIsSilent(t *testing.T) {
	refuse := func(e *pairtest.End) {
		e.Mux.Handle(cmdAsk, func(context.Context, *session.Session, []byte) (session.Reply, error) {
			return session.Reply{}, fault.New(fault.Unspecified, "x")
		})
	}
	w, _ := peerMaster(t, time.Minute, refuse)
	if _, err := w.Ask(t.Context(), "17", []byte("{}")); !fault.Has(err, fault.Unspecified) {
		t.Errorf("%v, want the master's error", err)
	}
	got := make(chan string, 9)
	w, m := peerMaster(t, 50*time.Millisecond, pairtest.ByHand(got, cmdAsk))
	if _, err := w.Ask(t.Context(), "17", []byte("{}")); !fault.Has(err, fault.RequestTimeout) {
		t.Errorf("%v, want 3020", err)
	}
	// What comes late, or for nobody, is answered as the original does.
	if answer, err := m.Request(t.Context(), cmdAnswer, []byte("17 "+m.SendText(t, "x"))); err != nil || string(answer) != textForwarded {
		t.Errorf("%q, %v", answer, err)
	}
	if _, err := m.Request(t.Context(), cmdError, []byte("17 x")); !fault.Has(err, fault.Unspecified) {
		t.Errorf("%v, want 1000", err)
	}
	for _, command := range []string{cmdAnswer, cmdError} {
		if _, err := m.Request(t.Context(), command, []byte("17")); !fault.Has(err, fault.Unspecified) {
			t.Errorf("%s: %v, want 1000", command, err)
		}
	}
}

// Two questions of one client are told apart; a string that is not there, or an
// error in its place, ends only the question.
func TestWorker_SeveralQuestions(t *testing.T) {
	got := make(chan string, 9)
	w, m := peerMaster(t, time.Minute, pairtest.ByHand(got, cmdAsk))
	type outcome struct {
		data string
		err  error
	}
	ask := func(request string) <-chan outcome {
		done := make(chan outcome, 1)
		go func() {
			data, err := w.Ask(t.Context(), "17", []byte(request))
			done <- outcome{string(data), err}
		}()
		return done
	}
	name := func(asked string) string { return strings.Fields(asked)[1] }
	first := ask("first")
	a := name(<-got)
	second := ask("second")
	b := name(<-got)
	if a != "17" || b == a {
		t.Errorf("asked as %q and %q", a, b)
	}
	if _, err := m.Request(t.Context(), cmdAnswer, []byte(b+" "+m.SendText(t, "second answer"))); err != nil {
		t.Error(err)
	}
	if o := <-second; o.err != nil || o.data != "second answer" {
		t.Errorf("%+v", o)
	}
	if _, err := m.Request(t.Context(), cmdAnswer, []byte(a+" Error 3020 - Timeout sending request")); err != nil {
		t.Error(err)
	}
	if o := <-first; o.err == nil || o.err.Error() != "Error 3020 - Timeout sending request" {
		t.Errorf("%+v", o)
	}
	third := ask("third")
	if _, err := m.Request(t.Context(), cmdAnswer, []byte(name(<-got)+" 12345")); err != nil {
		t.Error(err)
	}
	if o := <-third; !fault.Has(o.err, fault.StringAbsent) {
		t.Errorf("%+v", o)
	}
}

// What would end the original's daemon is an error for who sent it.
func TestMaster_NoClient(t *testing.T) {
	m, _ := master(newHome(t))
	_, w, _ := pairtest.Connect(t, "w1", true, pairtest.Of(m.Offer), pairtest.ByHand(make(chan string, 9)))
	for _, payload := range []string{"", "x", strings.Repeat("x", 100) + " {}"} {
		if _, err := w.Request(t.Context(), cmdAsk, []byte(payload)); !fault.Has(err, fault.Unspecified) {
			t.Errorf("%.10q: %v, want 1000", payload, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"daemon_name": "authd", "message": {"a": 1}}`, `{"daemon_name":"wazuh-db","message":"x"}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		daemon, message, err := parse(request)
		if err == nil && len(daemon)+len(message) > 3*len(request) {
			t.Errorf("%d bytes became %d", len(request), len(daemon)+len(message))
		}
	})
}
