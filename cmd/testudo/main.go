// Command testudo is the whole product: a node of a cluster and the tools
// around it. What it does depends on the name it is called by; see package cli.
package main

import (
	"os"

	"testudo/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
