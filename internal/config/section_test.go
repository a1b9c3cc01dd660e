package config

import "testing"

func TestCluster_JSON(t *testing.T) {
	c := defaultCluster()
	c.Present, c.Disabled, c.NodeName, c.Key, c.Nodes = true, false, "mnode", "0123456789abcdef0123456789ABCDEF", []string{"192.0.2.1", "::1"}
	want := `{"name": "wazuh", "node_name": "mnode", "node_type": "master", "key": "0123456789abcdef0123456789ABCDEF", ` +
		`"port": 1516, "bind_addr": "0.0.0.0", "nodes": ["192.0.2.1", "::1"], "hidden": "no", "disabled": false}`
	got, err := c.JSON()
	if err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
	c.Extra = map[string]string{"b": `"<&>`, "a": "é"}
	want = want[:len(want)-1] + `, "a": "é", "b": "\"<&>"}`
	if got, err = c.JSON(); err != nil || string(got) != want {
		t.Errorf("%s, %v\nwant %s", got, err, want)
	}
}
