package inventory

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestSync_Dialogue replays records and compares what is then in the tables with
// what the original has after the same ones.
func TestSync_Dialogue(t *testing.T) {
	s := openStore(t, Options{})
	data, err := os.ReadFile("testdata/sync.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		command := strings.TrimPrefix(lines[i], "> agent 009 ")
		want := strings.TrimSpace(strings.TrimPrefix(lines[i+1], "< "))
		got := "ok"
		if statement, ok := strings.CutPrefix(command, "sql "); ok {
			got = "ok " + query(t, s, 9, statement)
		} else {
			w := strings.SplitN(command, " ", 4)
			if err := s.Sync(t.Context(), 9, w[1], w[2], []byte(w[3])); errors.Is(err, ErrSync) {
				got = "err"
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if got != want {
			t.Errorf("line %d: %s\n got %s\nwant %s", i+1, command, got, want)
		}
	}
}

func TestSync_LargeNumbersAndEmptyKeys(t *testing.T) {
	s := openStore(t, Options{})
	for _, record := range []string{
		`{"name":"eth0","checksum":"c","mtu":1500,"tx_bytes":12345678901234}`,
		`{"name":"","checksum":"c","mtu":1}`,
		`{"name":"","checksum":"d","mtu":2}`,
	} {
		if err := s.Sync(t.Context(), 1, "network_iface", "INSERTED", []byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	want := `[{"name":"eth0","mtu":1500,"tx_bytes":12345678901234},{"mtu":2}]`
	if got := query(t, s, 1, "select name, mtu, nullif(tx_bytes, 0) as tx_bytes from sys_netiface"); got != want {
		t.Error(got)
	}
}

func FuzzSync(f *testing.F) {
	f.Add("packages", `{"name":"n","version":"1","checksum":"c","size":"5"}`)
	f.Add("hwinfo", `{"board_serial":1e400,"checksum":"\u0000","cpu_mhz":-0.5,"ram_usage":"101"}`)
	f.Add("ports", `{"local_port":"0x10","inode":9223372036854775808,"pid":null}`)
	f.Add("nope", "[")
	f.Fuzz(func(t *testing.T, kind, text string) {
		table, ok := tableOf(kind)
		if !ok {
			return
		}
		r, err := readRecord(table, []byte(text))
		if err != nil {
			return
		}
		if !json.Valid([]byte(strings.TrimRight(text, " ]}"))) && !json.Valid([]byte(text)) {
			return // what follows the object is not looked at
		}
		if len(r.insert) != len(table.columns) || len(r.update) != len(table.columns) {
			t.Fatalf("%d values for %d columns", len(r.insert), len(table.columns))
		}
	})
}
