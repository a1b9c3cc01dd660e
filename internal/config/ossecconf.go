package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"testudo/internal/fault"
	"testudo/internal/ossecxml"
)

const multipleSections = "There are multiple cluster sections in configuration. Using only last section."

// clusterReader takes the <cluster> section over (docs/configuration.md §1).
// What is wrong with the values themselves is checker's matter.
type clusterReader struct {
	*report
	config *Config
	lines  map[string]int // where each option stands; "" is the section
	given  map[string]string
}

// readClusterFile reads ossec.conf. The lines it returns are those of the
// options found; nil when there is no section or the file cannot be read.
func (r *report) readClusterFile(c *Config) map[string]int {
	file, err := os.Open(r.file)
	if err != nil {
		r.unreadable(0, systemText(err, r.file))
		return nil
	}
	defer file.Close()
	return r.readCluster(c, file)
}

func (r *report) readCluster(c *Config, from io.Reader) map[string]int {
	roots, err := ossecxml.Parse(from, ossecxml.Limits{})
	if err != nil {
		line, text := 0, systemText(err, r.file)
		if syntax, ok := errors.AsType[*ossecxml.SyntaxError](err); ok {
			line, text = syntax.Line, syntax.Error()
		}
		r.unreadable(line, text)
		return nil
	}
	var section *ossecxml.Element
	for _, root := range roots {
		if root.Name != "ossec_config" {
			continue
		}
		for _, e := range root.Children {
			if e.Name != "cluster" {
				continue
			}
			if section != nil {
				r.warnf(e.Line, "cluster", multipleSections)
			}
			section = e
		}
	}
	if section == nil {
		return nil
	}
	cr := clusterReader{report: r, config: c, lines: map[string]int{"": section.Line}, given: map[string]string{}}
	cr.section(section)
	if !c.Cluster.Disabled {
		(&daemonReader{report: r, config: c}).all(roots)
	}
	return cr.lines
}

// unreadable reports error 3006 as the original words it: it finds a component
// (error 1101) that it cannot use.
func (r *report) unreadable(line int, why string) {
	r.add(SeverityError, fault.ReadConfig, line, "", fault.UnknownComponent.Text()+": "+why)
}

// systemText words a failed system call as the original does:
// [Errno 2] No such file or directory: '/x'.
func systemText(err error, path string) string {
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return err.Error()
	}
	text := number.Error()
	return fmt.Sprintf("[Errno %d] %s%s: '%s'", int(number), strings.ToUpper(text[:1]), text[1:], path)
}

func (cr *clusterReader) section(section *ossecxml.Element) {
	cl := &cr.config.Cluster
	cl.Present, cl.Disabled = true, false
	var nodes []string
	for _, option := range section.Children {
		if option.Name == "nodes" {
			nodes = append(nodes, cr.nodes(option)...)
			continue
		}
		cr.option(option)
	}
	if len(nodes) > 0 {
		cl.Nodes = nodes
	}
	for name, text := range cr.given {
		cr.keep(name, text)
	}
	cr.port()
	cr.disabled()
}

func (cr *clusterReader) nodes(option *ossecxml.Element) (nodes []string) {
	for _, e := range option.Children {
		if e.Text == "" {
			continue
		}
		if _, again := cr.lines["nodes"]; !again {
			cr.note("nodes", e.Line)
		}
		nodes = append(nodes, e.Text)
	}
	return nodes
}

// option notes one option. An empty one counts as absent, and of several of one
// name the last counts.
func (cr *clusterReader) option(option *ossecxml.Element) {
	name := option.Name
	if len(option.Children) > 0 || len(option.Attrs) > 0 {
		if clusterOption(name) {
			cr.add(SeverityError, fault.ClusterConfig, option.Line, "cluster."+name,
				fmt.Sprintf("Option '%s' must hold a plain text.", name))
		}
		return
	}
	if option.Text == "" {
		return
	}
	if first, again := cr.lines[name]; again {
		cr.warnf(option.Line, "cluster."+name, "option '%s' is given again (first on line %d); the last one counts", name, first)
	}
	cr.given[name] = option.Text
	cr.note(name, option.Line)
}

// note remembers where an option stands.
func (cr *clusterReader) note(name string, line int) {
	cr.lines[name] = line
	cr.config.sources["cluster."+name] = fmt.Sprintf("%s:%d", cr.file, line)
}

func clusterOption(name string) bool {
	switch name {
	case "disabled", "name", "node_name", "node_type", "key", "port", "bind_addr", "nodes", "hidden":
		return true
	}
	return false
}

// keep puts a text into its place. Port and disabled have their own readers.
func (cr *clusterReader) keep(name, text string) {
	cl := &cr.config.Cluster
	switch name {
	case "port", "disabled":
	case "name":
		cl.Name = text
	case "node_name":
		cl.NodeName = text
	case "node_type":
		cl.Role = Role(text)
	case "key":
		cl.Key = Secret(text)
	case "bind_addr":
		cl.BindAddr = text
	case "hidden":
		cl.Hidden = text
	default:
		cl.Extra[name] = text
	}
}

// port reads the port; its range is checked later, and only when the cluster is
// enabled.
func (cr *clusterReader) port() {
	text, given := cr.given["port"]
	if !given {
		return
	}
	for _, r := range text {
		if r < '0' || r > '9' {
			cr.add(SeverityError, fault.ClusterConfig, cr.lines["port"], "cluster.port", "Cluster port must be an integer.")
			return
		}
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		number = -1 // too large for any port
	}
	cr.config.Cluster.Port = number
}

func (cr *clusterReader) disabled() {
	switch text, given := cr.given["disabled"]; {
	case !given || text == "no":
	case text == "yes":
		cr.config.Cluster.Disabled = true
	default:
		cr.add(SeverityError, fault.ClusterConfig, cr.lines["disabled"], "cluster.disabled",
			fmt.Sprintf("Allowed values for 'disabled' field are 'yes' and 'no'. Found: '%s'", printable(text)))
	}
}
