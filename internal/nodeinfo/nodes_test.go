package nodeinfo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/cluster"
	"testudo/internal/fault"
	"testudo/internal/manifest"
)

func TestGetNodes(t *testing.T) {
	m := small().master()
	const (
		master = `{"name": "master", "type": "master", "version": "4.7.5", "ip": "192.0.2.1"}`
		w1     = `{"name": "w1", "type": "worker", "version": "4.7.5", "ip": "192.0.2.2"}`
		w2     = `{"name": "W2", "type": "worker", "version": "4.7.6", "ip": "192.0.2.3"}`
	)
	cases := []struct {
		argument string
		total    int
		items    []string
	}{
		{`{}`, 3, []string{master, w1, w2}},
		{`{"filter_node": null, "filter_type": "all"}`, 3, []string{master, w1, w2}},
		{`{"filter_node": "w1"}`, 1, []string{w1}},
		{`{"filter_node": ["W2", "master", "W2"]}`, 2, []string{master, w2}},
		{`{"filter_node": []}`, 0, nil},
		{`{"filter_type": "master"}`, 1, []string{master}},
		{`{"filter_type": "worker", "filter_node": ["master", "w1"]}`, 1, []string{w1}},
		{`{"offset": 1}`, 3, []string{w1, w2}},
		{`{"offset": 1, "limit": 1}`, 3, []string{w1}},
		{`{"offset": 4}`, 3, nil},
		{`{"limit": null}`, 3, []string{master, w1, w2}},
		{`{"limit": 100000}`, 3, []string{master, w1, w2}},
		{`{"sort": {"fields": ["name"], "order": "asc"}}`, 3, []string{master, w1, w2}},
		{`{"sort": {"fields": ["type", "name"], "order": "desc"}}`, 3, []string{w2, w1, master}},
		{`{"sort": {"fields": ["version"], "order": "desc"}}`, 3, []string{w2, master, w1}},
		{`{"sort": {"fields": ["ip"], "order": "sideways"}}`, 3, []string{master, w1, w2}},
		{`{"sort": {"fields": null, "order": "desc"}}`, 3, []string{master, w1, w2}},
		{`{"sort": {"fields": [], "order": "desc"}}`, 3, []string{master, w1, w2}},
		{`{"search": {"value": "w2", "negation": false}}`, 1, []string{w2}},
		{`{"search": {"value": "4.7.5", "negation": true}}`, 1, []string{w2}},
		{`{"search": {"value": null, "negation": true}}`, 3, []string{master, w1, w2}},
		{`{"select": ["ip", "name"], "limit": 1}`, 3, []string{`{"ip": "192.0.2.1", "name": "master"}`}},
		{`{"select": ["name", "name"], "limit": 1}`, 3, []string{`{"name": "master"}`}},
		{`{"select": ["type"], "distinct": true}`, 2, []string{`{"type": "master"}`, `{"type": "worker"}`}},
		{`{"select": [], "limit": 1}`, 3, []string{master}},
		{`{"distinct": true, "sort": null, "search": null, "select": null}`, 3, []string{master, w1, w2}},
	}
	for _, c := range cases {
		got, err := m.GetNodes(t.Context(), []byte(c.argument))
		want := fmt.Sprintf(`{"items": [%s], "totalItems": %d}`, strings.Join(c.items, ", "), c.total)
		if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", c.argument, err, diff)
		}
		f, err := ParseNodeFilter([]byte(c.argument))
		if err != nil {
			t.Fatal(err)
		}
		items, total, err := m.List(t.Context(), f)
		var texts []string
		for _, item := range items {
			texts = append(texts, string(item))
		}
		if diff := cmp.Diff(c.items, texts); diff != "" || total != c.total || err != nil {
			t.Errorf("%s: %d, %v (-want +got):\n%s", c.argument, total, err, diff)
		}
	}
}

func TestGetNodes_Refuses(t *testing.T) {
	m := small().master()
	cases := []struct {
		argument      string
		code          fault.Code
		extra, remedy any
	}{
		{`{"select": ["name", "x", "y", "x"]}`, fault.BadSelect, "x, y", "name, type, version, ip"},
		{`{"filter_type": "client"}`, fault.BadNodeType, nil, nil},
		{`{"filter_type": null}`, fault.BadNodeType, nil, nil},
		{`{"filter_node": ["w1", "w9"]}`, fault.NodeAbsent, nil, nil},
		{`{"filter_node": "w"}`, fault.NodeAbsent, nil, nil},
		{`{"sort": {"fields": ["x"], "order": "asc"}}`, fault.BadSortField, nil, "Allowed sort fields: name, type, version, ip. Wrong fields: x"},
		{`{"offset": -1}`, fault.BadOffset, nil, nil},
		{`{"limit": -1}`, fault.BadLimit, nil, nil},
		{`{"limit": -99999999999999999999}`, fault.BadLimit, nil, nil},
		{`{"limit": 100001}`, fault.LimitTooHigh, "100001", nil},
		{`{"limit": 99999999999999999999}`, fault.LimitTooHigh, "99999999999999999999", nil},
		{`{"limit": 0}`, fault.LimitZero, nil, nil},
	}
	for _, c := range cases {
		_, err := m.GetNodes(t.Context(), []byte(c.argument))
		f := wantFault(t, err, c.code)
		if f.Extra != c.extra || f.Remedy != c.remedy {
			t.Errorf("%s: extra %v, remedy %v", c.argument, f.Extra, f.Remedy)
		}
	}
	for _, argument := range []string{
		``, `null`, `[]`, `"x"`, `7`, `{"q": "name=w1"}`, `{"Offset": 1}`, `{"offset": null}`, `{"offset": "1"}`, `{"limit": "1"}`, `{"limit": 1.5}`,
		`{"sort": {"fields": ["name"]}}`, `{"sort": {"order": "asc"}}`, `{"sort": "name"}`, `{"search": {"value": "x"}}`, `{"search": {"negation": true}}`,
		`{"search": "x"}`, `{"select": "name"}`, `{"filter_node": 7}`, `{"filter_node": [["w1"]]}`, `{"distinct": 1}`, `{} {}`,
		`{"filter_node": "` + strings.Repeat("x", maxArgument) + `"}`,
	} {
		_, err := m.GetNodes(t.Context(), []byte(argument))
		if f := wantFault(t, err, fault.Unspecified); f.Class != fault.ClassInternal {
			t.Errorf("%.50s: %s", argument, f.Class)
		}
	}
}

func TestNodeFilter_TravelsWhole(t *testing.T) {
	for _, f := range []NodeFilter{
		{},
		{Names: []string{}},
		{Names: []string{"w1"}, Type: typeWorker, Search: "x", Not: true, Select: []string{"ip"}, Distinct: true, Sort: []string{"name"}, Descending: true, Offset: 3, Limit: 9},
	} {
		argument, err := f.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseNodeFilter(argument)
		if got.Type == "all" {
			got.Type = ""
		}
		if diff := cmp.Diff(f, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", argument, err, diff)
		}
	}
}

// A thousand names of a thousand nodes are found as quickly as one.
func TestNodes_ManyNames(t *testing.T) {
	w := small()
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("n", i))
		w.members = append(w.members, cluster.Member{Name: names[i], Type: typeWorker})
	}
	nodes, total, err := w.master().Nodes(NodeFilter{Names: names, Limit: 10})
	if total != 1000 || len(nodes) != 10 || nodes[9].Name != "n9" || err != nil {
		t.Errorf("%d of %d, %v", len(nodes), total, err)
	}
}

type treeOf struct {
	m   *manifest.Manifest
	err error
}

func (t treeOf) Manifest(context.Context) (*manifest.Manifest, error) { return t.m, t.err }

func hashOf(t *testing.T, entries []manifest.Entry) []byte {
	t.Helper()
	m, err := manifest.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	got, err := NewWorker(WorkerConfig{Tree: treeOf{m: m}, Items: manifest.DefaultItems()}).GetHash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestGetHash(t *testing.T) {
	digest := manifest.DigestOf([]byte("x"))
	got := hashOf(t, []manifest.Entry{
		{Path: "etc/lists/a", ItemKey: "etc/lists/", Digest: digest},
		{Path: "etc/rules/b.xml", ItemKey: "etc/rules/", Digest: digest},
		{Path: "etc/shared/ar.conf", ItemKey: "etc/shared/", Digest: digest},
	})
	if want := fmt.Sprintf(`{"etc/rules/b.xml": "%s", "etc/lists/a": "%[1]s"}`, digest); string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, err := NewMaster(MasterConfig{Tree: treeOf{err: errors.New("no such thing")}}).GetHash(t.Context())
	wantFault(t, err, fault.Unspecified)
	if got, err := NewMaster(MasterConfig{}).GetHash(t.Context()); string(got) != "{}" || err != nil {
		t.Errorf("without a tree: %s, %v", got, err)
	}
}
