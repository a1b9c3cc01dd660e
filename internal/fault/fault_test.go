package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestError_Printed(t *testing.T) {
	tests := []struct {
		name string
		err  *Error
		want string
	}{
		{"with extra", New(DuplicateName, "w1"), "Error 3028 - Worker node ID already exists: w1"},
		{"without extra", New(UnknownNode, nil), "Error 3022 - Unknown node ID"},
		{"remote text", New(RemoteText, "no"), "Error 3000 - Cluster: no"},
		{"placeholders", New(DaemonsNotReady, map[string]any{"node_name": "m3", "not_ready_daemons": "x->stopped"}),
			`Error 1017 - Some Wazuh daemons are not ready yet in node "m3" (x->stopped)`},
		{"object without placeholders", New(UnknownNode, map[string]any{"a": true}), `Error 3022 - Unknown node ID: {"a": true}`},
		{"foreign exception", New(DatabaseUnreachable, map[string]any{"__unhandled_exc__": map[string]any{
			"__class__": "FileNotFoundError", "__args__": []any{2, "No such file or directory"}}}),
			`Error 2005 - Could not connect to wdb socket: FileNotFoundError: [2, "No such file or directory"]`},
		{"code without text", New(9999, nil), "Error 9999 - Code 9999"},
		{"list", New(UnknownNode, []any{"a"}), `Error 3022 - Unknown node ID: ["a"]`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.err.Error(); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestError_IsByCode(t *testing.T) {
	err := fmt.Errorf("greet master: %w", New(WrongVersion, "4.8.0"))
	if !errors.Is(err, New(WrongVersion, nil)) || !Has(err, WrongVersion) {
		t.Error("same code is not recognised")
	}
	if Has(err, WrongCluster) || Has(nil, WrongCluster) || Has(fs.ErrExist, WrongCluster) {
		t.Error("another code is recognised")
	}
}

func TestFrom_KeepsNumberedAndNumbersOthers(t *testing.T) {
	numbered := New(RequestTimeout, "syn_i_w_m")
	if got := From(fmt.Errorf("ask for permission: %w", numbered)); got != numbered {
		t.Errorf("numbered error became %v", got)
	}
	got := From(fs.ErrNotExist)
	if got.Code != Unspecified || got.Class != ClassInternal || got.Extra != "file does not exist" {
		t.Errorf("other error became %+v", got)
	}
	if !errors.Is(got, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if From(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestWrap_CauseStaysHome(t *testing.T) {
	err := Wrap(FileVanished, nil, errors.New("open /home/x/etc/client.keys"))
	if want := "Error 3034 - Error sending file. File not found."; err.Error() != want {
		t.Errorf("printed %q, want %q", err, want)
	}
	if got := Parse(err.JSON()); got.Err != nil || got.Extra != nil {
		t.Errorf("the cause travelled: %+v", got)
	}
}

func TestCodes_EveryOneIsWhole(t *testing.T) {
	for _, table := range []map[Code]definition{codes, apiCodes} {
		for code, d := range table {
			if d.text == "" || !d.class.Known() {
				t.Errorf("code %d: %+v", code, d)
			}
			if code.Text() != d.text || code.Class() != d.class || code.Advice() != d.advice {
				t.Errorf("code %d: accessors differ from the table", code)
			}
		}
	}
	if c := Code(77); c.Class() != ClassInternal || c.Text() != "Code 77" || c.Advice() != "" {
		t.Error("a code that is not listed has no neutral meaning")
	}
}

func TestCodes_OfTheUpgradeModule(t *testing.T) {
	for number, class := range map[Code]Class{0: ClassInternal, 8: ClassInternal, 9: ClassBadRequest, 12: ClassBadRequest, 13: ClassBadRequest, 14: ClassInternal} {
		if got := New(Upgrade+number, "text of the module"); got.Class != class || got.Message() != "The upgrade of the agent was refused: text of the module" {
			t.Errorf("%d: %s %q", number, got.Class, got.Message())
		}
	}
	if Code(1900).Text() != "Code 1900" {
		t.Error("the numbers of the module do not end")
	}
}
