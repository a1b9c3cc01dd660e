package agentapi

import (
	"regexp"
	"time"

	"testudo/internal/query"
)

// agentTable is the table of agents as users see it (docs/functions.md §3).
func (a *API) agentTable() *query.Table {
	_, external := a.cfg.Database.(External)
	return &query.Table{
		From: "agent", Key: "id", Fields: agentFields, Moments: "id <> 0", Value: valueOf, Now: a.cfg.Now, Plain: external,
	}
}

// Rows are written in this order: the parts of "os" must stand together.
var agentFields = []query.Field{
	{Name: "os.arch", Column: "os_arch"},
	{Name: "os.build", Column: "os_build"},
	{Name: "os.codename", Column: "os_codename"},
	{Name: "os.major", Column: "os_major"},
	{Name: "os.minor", Column: "os_minor"},
	{Name: "os.name", Column: "os_name"},
	{Name: "os.platform", Column: "os_platform"},
	{Name: "os.uname", Column: "os_uname"},
	{Name: "os.version", Column: "os_version", Order: []string{"CAST(os_major AS INTEGER)", "CAST(os_minor AS INTEGER)"}},
	{Name: "id", Column: "id", Kind: query.Number},
	{Name: "name", Column: "name"},
	{Name: "ip", Column: "coalesce(ip, register_ip)"},
	{Name: "registerIP", Column: "register_ip"},
	{Name: "status", Column: "connection_status"},
	{Name: "status_code", Column: "status_code", Kind: query.Number},
	{Name: "version", Column: "version"},
	{Name: "manager", Column: "manager_host"},
	{Name: "node_name", Column: "node_name"},
	{Name: "dateAdd", Column: "date_add", Kind: query.Moment},
	{Name: "lastKeepAlive", Column: "last_keepalive", Kind: query.Moment},
	{Name: "disconnection_time", Column: "disconnection_time", Kind: query.Moment},
	{Name: "group", Column: "`group`", Kind: query.Names},
	{Name: "group_config_status", Column: "group_config_status"},
	{Name: "mergedSum", Column: "merged_sum"},
	{Name: "configSum", Column: "config_sum"},
	// The original lets users ask which key an agent has, bit by bit.
	{Name: "internal_key", Column: "internal_key", Hidden: true},
}

var versionForm = regexp.MustCompile(`(?i)^(?:wazuh )?v?(\d+\.\d+\.\d+)$`)

// valueOf writes a version as the table has it, whichever way it was asked for.
func valueOf(f *query.Field, value string) string {
	if f.Name == "version" {
		if m := versionForm.FindStringSubmatch(value); m != nil {
			return "Wazuh v" + m[1]
		}
	}
	return value
}

// calendar writes times as answers have it. It remembers the day of the last
// one: rows side by side are mostly of the same.
type calendar struct {
	day  int64 // since 1970
	text string
}

const daySeconds = 24 * 60 * 60

// append appends a time that is not before 1970.
func (c *calendar) append(dst []byte, seconds int64) []byte {
	if day := seconds / daySeconds; c.text == "" || day != c.day {
		c.day, c.text = day, time.Unix(seconds, 0).UTC().Format(`{"__wazuh_datetime__":"2006-01-02T`)
	}
	rest := seconds % daySeconds
	dst = append(dst, c.text...)
	dst = append(twoDigits(dst, rest/3600), ':')
	dst = append(twoDigits(dst, rest/60%60), ':')
	return append(twoDigits(dst, rest%60), `+00:00"}`...)
}

func twoDigits(dst []byte, n int64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }
