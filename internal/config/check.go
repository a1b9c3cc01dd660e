package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"testudo/internal/fault"
)

// checker judges the values of an enabled <cluster> section, in the order of
// the original (docs/configuration.md §1), then what the original finds out
// only when it is running.
type checker struct {
	*report
	cluster *Cluster
	lines   map[string]int
}

// line gives an option's line, or the section's when the option is absent.
func (ch *checker) line(option string) int {
	if line, ok := ch.lines[option]; ok {
		return line
	}
	return ch.lines[""]
}

func (ch *checker) refuse(option, format string, args ...any) {
	ch.add(SeverityError, fault.ClusterConfig, ch.line(option), "cluster."+option, fmt.Sprintf(format, args...))
}

func (ch *checker) warn(option, format string, args ...any) {
	ch.warnf(ch.line(option), "cluster."+option, format, args...)
}

func (ch *checker) deprecatedRole() {
	if ch.cluster.Role == "client" {
		ch.cluster.Role = Worker
		ch.add(SeverityInfo, 0, ch.line("node_type"), "cluster.node_type", "Deprecated node type 'client'. Using 'worker' instead.")
	}
}

func (ch *checker) all() {
	ch.key()
	if role := ch.cluster.Role; role != Master && role != Worker {
		ch.refuse("node_type", "Invalid node type %s. Correct values are master and worker", printable(string(role)))
	}
	if port := ch.cluster.Port; port <= 1024 || port >= 65535 {
		ch.refuse("port", "Port must be higher than 1024 and lower than 65535.")
	}
	ch.nodes()
	ch.names()
	ch.addresses()
	ch.others()
}

// keyForm leaves out the letters beyond ASCII that the original lets pass here
// and fails upon when it is running.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9_]{32}$`)

func (ch *checker) key() {
	switch key := ch.cluster.Key.Reveal(); {
	case key == "":
		ch.refuse("key", "Unspecified key")
	case !keyForm.MatchString(key):
		ch.refuse("key", "Key must be 32 characters long and only have alphanumeric characters")
	}
}

var reservedNodes = []string{"localhost", "NODE_IP", "0.0.0.0", "127.0.1.1"}

func (ch *checker) nodes() {
	nodes := ch.cluster.Nodes
	if len(nodes) > 1 {
		ch.warn("nodes", "Found more than one node in configuration. Only master node should be specified. Using %s as master.",
			printable(nodes[0]))
	}
	var reserved []string
	for _, node := range nodes {
		if slices.Contains(reservedNodes, node) && !slices.Contains(reserved, node) {
			reserved = append(reserved, node)
		}
	}
	if len(reserved) > 0 {
		ch.refuse("nodes", "Invalid elements in node fields: %s.", strings.Join(reserved, ", "))
	}
}

// nodeNameForm is what masters that guard themselves let in. Names become
// directories and parts of requests there.
var nodeNameForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$`)

// names looks at what travels in the hello, whose words are parted by blanks.
// On a master nothing breaks at once, so there it is only a warning.
func (ch *checker) names() {
	breaks := func(option, name string) bool {
		if !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return false
		}
		if ch.cluster.Role == Worker {
			ch.refuse(option, "A blank in '%s' breaks the introduction to the master.", option)
		} else {
			ch.warn(option, "a blank in '%s' keeps workers from introducing themselves", option)
		}
		return true
	}
	breaks("name", ch.cluster.Name)
	name := ch.cluster.NodeName
	switch {
	case breaks("node_name", name), ch.cluster.Role != Worker:
	case strings.ContainsAny(name, "/*") || name == "." || name == "..":
		ch.refuse("node_name", "Node name %s cannot be used as the name of a directory.", printable(name))
	case name == "master":
		ch.warn("node_name", "a worker called 'master' is refused by careful masters and ends careless ones")
	case !nodeNameForm.MatchString(name):
		ch.warn("node_name", "careful masters accept only 1 to 128 letters, digits, '_', '.', '-' and no leading dot")
	}
}

// addresses warns of texts that no connection or listener can come from. The
// original does not trim them either.
func (ch *checker) addresses() {
	if ch.cluster.Role == Master {
		if addr := ch.cluster.BindAddr; !plausibleHost(addr) {
			ch.warn("bind_addr", "'%s' is no address and no host name; listening will not succeed", printable(addr))
		}
		return
	}
	if addr := ch.cluster.MasterAddress(); !plausibleHost(addr) {
		ch.warn("nodes", "'%s' is no address and no host name; the master will not be found", printable(addr))
	}
}

// others warns of what only neighbouring daemons look at.
func (ch *checker) others() {
	if h := ch.cluster.Hidden; h != "yes" && h != "no" {
		ch.warn("hidden", "other daemons accept only 'yes' and 'no' for 'hidden'")
	}
	for _, name := range sortedKeys(ch.cluster.Extra) {
		switch name {
		case "interval", "socket_timeout", "connection_timeout": // of older versions
		default:
			ch.warn(name, "option '%s' is not known to the cluster and is left alone", printable(name))
		}
	}
}

func metricsExposed(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsLoopback()
}
