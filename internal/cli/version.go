package cli

import (
	"fmt"
	"runtime"

	"testudo/internal/buildinfo"
	"testudo/internal/config"
)

// versionCmd prints the version.
type versionCmd struct {
	JSON bool `name:"json" help:"Write JSON."`
}

// versionReport is what --json writes.
type versionReport struct {
	buildinfo.Info
	Protocol string `json:"protocol"` // the version shown to other nodes, unless etc/testudo.yaml says otherwise
	Platform string `json:"platform"`
}

// Run prints it.
func (c *versionCmd) Run(e *env) error {
	r := versionReport{
		Info: buildinfo.Read(), Protocol: config.Default("").Testudo.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if c.JSON {
		return writeJSON(e.out, r)
	}
	_, err := fmt.Fprintf(e.out, "testudo %s, cluster protocol %s, %s, %s\n", r.Info, r.Protocol, r.Go, r.Platform)
	return err
}
