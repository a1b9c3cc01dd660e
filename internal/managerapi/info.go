package managerapi

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"testudo/internal/dapi"
	"testudo/internal/result"
)

// installFile is written when an installation is made.
const (
	installFile = "framework/wazuh/core/wazuh.json"
	mostInstall = 64 << 10
)

// installed is what it says.
type installed struct {
	Type    string `json:"install_type"`
	Version string `json:"wazuh_version"`
	Date    string `json:"installation_date"`
}

// basicInfo is what a node tells of itself, in this order.
type basicInfo struct {
	Path     string      `json:"path"`
	Version  string      `json:"version"`
	Date     result.Time `json:"compilation_date"`
	Type     string      `json:"type"`
	Agents   string      `json:"max_agents"`
	OpenSSL  string      `json:"openssl_support"`
	TZOffset string      `json:"tz_offset"`
	TZName   string      `json:"tz_name"`
}

func (a *API) info(ctx context.Context, c *dapi.Call, _ none) (result.Result, error) {
	r := a.specified("Basic information was successfully read", "Could not read basic information", "Could not read basic information")
	return a.about(c, "read", r, func() error {
		var install installed
		if data, err := readFile(a.path(installFile), mostInstall); err == nil {
			// A home without a readable one is described by what we know.
			_ = json.Unmarshal(data, &install)
		}
		now := a.cfg.Now()
		name, _ := now.Zone()
		return r.Add(basicInfo{
			Path:    a.cfg.Dir,
			Version: cmp.Or(install.Version, "v"+strings.TrimPrefix(a.cfg.Version, "v")),
			Date:    result.Time(installDate(install.Date, now)),
			Type:    cmp.Or(install.Type, "server"),
			Agents:  "unlimited", OpenSSL: a.openSSL(ctx),
			TZOffset: now.Format("-0700"), TZName: name,
		})
	})
}

// installDate reads the date as the system's tools write it; one that they do not
// write so is now.
func installDate(text string, now time.Time) time.Time {
	at, err := time.Parse("Mon Jan _2 15:04:05 MST 2006", text)
	if err != nil {
		return now.UTC()
	}
	return at.UTC()
}

// openSSL is what the installation has noted of its encryption, "N/A" where it
// has not.
func (a *API) openSSL(ctx context.Context) string {
	rows, err := sql[struct {
		Value string `json:"value"`
	}](ctx, a, "SELECT value FROM info WHERE key = 'openssl_support'")
	if err != nil || len(rows) == 0 {
		return "N/A"
	}
	return rows[0].Value
}
