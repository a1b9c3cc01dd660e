package rbac

import (
	"encoding/json"
	"testing"
)

func TestAllowsAll(t *testing.T) {
	for permissions, want := range map[string]bool{
		`{"rbac_mode": "black"}`: true,
		`{"rbac_mode": "white"}`: false,
		`{"rbac_mode": "white", "agent:read": {"agent:id:*": "allow", "agent:group:*": "allow"}}`: true,
		`{"rbac_mode": "white", "agent:read": {"agent:id:001": "allow"}}`:                         false,
		`{"rbac_mode": "white", "agent:read": {"agent:group:*": "allow"}}`:                        false,
		`{"rbac_mode": "white", "agent:read": {"agent:id:*": "allow", "agent:id:001": "deny"}}`:   false,
		`{"rbac_mode": "white", "agent:read": {"agent:id:001": "deny", "agent:id:*": "allow"}}`:   true,
		`{"rbac_mode": "black", "agent:read": {"agent:group:web": "deny"}}`:                       false,
		`{"rbac_mode": "black", "agent:delete": {"agent:id:*": "deny"}}`:                          true,
	} {
		p, err := Parse(json.RawMessage(permissions))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.AllowsAll("agent:read", "agent:id"); got != want {
			t.Errorf("%s: all agents allowed is %v, want %v", permissions, got, want)
		}
	}
}
