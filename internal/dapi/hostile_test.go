package dapi

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"testudo/internal/fault"
	"testudo/internal/pairtest"
)

// stranger is a worker made by hand, with what the master sends it.
func (w *world) stranger(name string) (*pairtest.End, chan string) {
	got := make(chan string, 10)
	_, far, _ := pairtest.Connect(w.t, name, true, pairtest.Of(w.Offer), pairtest.ByHand(got, "dapi", "dapi_res", "dapi_err"))
	w.mu.Lock()
	w.names = append(w.names, name)
	w.mu.Unlock()
	synctest.Wait()
	return far, got
}

// Requests that make no sense are told so, and the master goes on. (A 4.7.5
// master ends at one without a space.)
func TestHostile_Requests(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		far, got := w.stranger("w3")
		for _, payload := range []string{"", "nospace", " {}", strings.Repeat("x", maxID+1) + " {}"} {
			if _, err := far.Request(t.Context(), "dapi", []byte(payload)); !fault.Has(err, fault.Unspecified) {
				t.Errorf("dapi %.20q: %v", payload, err)
			}
		}
		for _, payload := range []string{"", "1", "1 2", "1 x {}", "1 -5 {}", "1 99999999999 {}"} {
			if _, err := far.Request(t.Context(), "t_dapi", []byte(payload)); !fault.Has(err, fault.Unspecified) {
				t.Errorf("t_dapi %q: %v", payload, err)
			}
		}
		for name, text := range hostile {
			if _, err := far.Request(t.Context(), "dapi", []byte("1 "+text)); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if answer := <-got; !strings.HasPrefix(answer, `dapi_err 1 {"__wazuh_exception__"`) {
				t.Errorf("%s: %.200s", name, answer)
			}
		}
		for _, command := range []string{"dapi_res", "t_dapi_res", "dapi_err"} {
			for _, payload := range []string{"", "nospace"} {
				if _, err := far.Request(t.Context(), command, []byte(payload)); !fault.Has(err, fault.Unspecified) {
					t.Errorf("%s %q: %v", command, payload, err)
				}
			}
		}
		w.owesNothing(t)
	})
}

// A worker cannot answer for another, nor twice.
func TestHostile_AnswersForOthers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		honest, requests := w.stranger("w3")
		forger, _ := w.stranger("w4")
		done := aside(func() ([]byte, error) { return w.AskNode(t.Context(), "7", "w3", []byte("{}")) })
		id := idOf(<-requests)
		sid := forger.SendText(t, "forged")
		if _, err := forger.Request(t.Context(), "dapi_res", []byte(id+" "+sid)); !fault.Has(err, fault.NoForwarding) {
			t.Errorf("got %v", err)
		}
		if _, err := forger.Request(t.Context(), "dapi_err", []byte(id+" forged")); !fault.Has(err, fault.NoForwarding) {
			t.Errorf("got %v", err)
		}
		sid = honest.SendText(t, "true")
		if reply, err := honest.Request(t.Context(), "dapi_res", []byte(id+" "+sid)); err != nil || string(reply) != "Response forwarded to worker" {
			t.Errorf("got %s, %v", reply, err)
		}
		if got := <-done; string(got.answer) != "true" {
			t.Errorf("got %s %v", got.answer, got.err)
		}
		if _, err := honest.Request(t.Context(), "dapi_err", []byte(id+" again")); !fault.Has(err, fault.NoForwarding) {
			t.Errorf("got %v", err)
		}
		w.owesNothing(t)
	})
}

// An answer that is none is an error of the node that gave it, beside the
// answers of others.
func TestHostile_Answers(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":    "nonsense",
		"no result":  `{"a": 1}`,
		"of a class": `{"__wazuh_result__": {"__class__": "os.system", "__object__": {}}}`,
		"code":       `{"__unhandled_exc__": {"__class__": "exit", "__args__": []}}`,
		"deep":       strings.Repeat(`{"__wazuh_result__": `, 10_000) + "1" + strings.Repeat("}", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				far, requests := w.stranger("w3")
				done := aside(func() ([]byte, error) {
					return w.Ask(t.Context(), "7", ask{restart, `{"agent_list": ["001", "005"]}`, DistributedMaster, everybody}.JSON())
				})
				id := idOf(<-requests)
				sid := far.SendText(t, text)
				if _, err := far.Request(t.Context(), "dapi_res", []byte(id+" "+sid)); err != nil {
					t.Fatal(err)
				}
				got := <-done
				if items(t, mustAsk(t, got.answer, got.err)) != `"001"` || !strings.HasSuffix(failures(t, got.answer), " [w3] ") {
					t.Errorf("got %s", got.answer)
				}
				w.owesNothing(t)
			})
		})
	}
}

// A string that is not there, or the original's error text in its place, is an
// error at once.
func TestHostile_NoString(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		far, requests := w.stranger("w3")
		for _, sid := range []string{"12345", "Error 3020 - Timeout sending request", ""} {
			done := aside(func() ([]byte, error) { return w.AskNode(t.Context(), "7", "w3", []byte("{}")) })
			id := idOf(<-requests)
			_, _ = far.Request(t.Context(), "dapi_res", []byte(id+" "+sid))
			if got := <-done; !fault.Has(got.err, fault.StringAbsent) {
				t.Errorf("%q: got %s %v", sid, got.answer, got.err)
			}
		}
	})
}

// Permissions are what the request says they are, on whichever node it runs:
// a worker that says more than its user may is believed, like its original.
// What a worker cannot do is to have a function run that is not in the table.
func TestHostile_ForgedPermissions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		far, got := w.stranger("w3")
		for i, c := range []struct {
			ask  ask
			want string
		}{
			{ask{"test.may", `{"action": "agent:read", "resource": "agent:id:001"}`, LocalMaster, `, "rbac_permissions": {"rbac_mode": "white"}`}, "4000"},
			{ask{"test.may", `{"action": "agent:read", "resource": "agent:id:001"}`, LocalMaster, `, "rbac_permissions": {"rbac_mode": "black"}`}, ""},
			{ask{"os.execv", `{"path": "/bin/sh"}`, LocalMaster, ""}, "1000"},
			{ask{"subprocess.Popen", `{"args": "id"}`, LocalAny, ""}, "1000"},
		} {
			if _, err := far.Request(t.Context(), "dapi", append([]byte(fmt.Sprint(i, " ")), c.ask.JSON()...)); err != nil {
				t.Fatal(err)
			}
			id, sid, _ := strings.Cut(strings.TrimPrefix(<-got, "dapi_res "), " ")
			answer, err := far.TakeString(sid)
			if err != nil || id != fmt.Sprint(i) {
				t.Fatalf("%d: %s, %v", i, id, err)
			}
			text := ""
			if o := read(t, answer); o.Err != nil {
				text = fmt.Sprint(int(o.Err.Code))
			}
			if text != c.want {
				t.Errorf("%d: got %s", i, answer)
			}
		}
	})
}

// Names of a peer do not write lines of their own into the log.
func TestHostile_NamesInTheLog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		far, got := w.stranger("w3")
		request := strings.Replace(string(ask{function: "test.sleep"}.JSON()), "sleep", `a_name`, 1)
		if _, err := far.Request(t.Context(), "dapi", []byte("id\nERROR: forged "+request)); err != nil {
			t.Fatal(err)
		}
		<-got
		if w.log.Count("\nERROR: forged") > 0 {
			t.Errorf("%s", w.log)
		}
	})
}
