package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"testudo/internal/fault"
)

// Setting is one setting with its value and where that came from.
type Setting struct {
	Path   string // "cluster.port", "intervals.worker.keep_alive", "limits.uploads"
	Value  string // texts in quotes, times and sizes with their unit; secrets are masked
	Source string // FILE:LINE, or BuiltIn
}

// Sources that are no line of a file.
const (
	BuiltIn   = "built-in"   // no file sets it
	AsStarted = "as started" // no file sets it, but the program or its flags do
)

// Explain lists every setting: the <cluster> section, what of other daemons'
// settings is in force here, the internal options, cluster.json, testudo.yaml.
func (c *Config) Explain() []Setting {
	var out []Setting
	add := func(path, value string) {
		out = append(out, Setting{path, value, c.source(path)})
	}
	c.explainCluster(add)
	tables := [][]field{intervalFields(), settingFields()}
	if c.EnrolmentEmbedded() {
		tables = append([][]field{authFields(), authOptionFields()}, tables...)
	}
	if c.AgentDBEmbedded() {
		tables = append([][]field{daemonFields(), optionFields()}, tables...)
	}
	add(debugOption, strconv.Itoa(c.Debug))
	c.explainItems(add)
	for _, fields := range tables {
		for i := range fields {
			add(fields[i].path, show(fields[i].at(c)))
		}
	}
	return out
}

func (c *Config) explainCluster(add func(path, value string)) {
	cl := &c.Cluster
	yesNo := map[bool]string{true: "yes", false: "no"}
	add("cluster.disabled", yesNo[cl.Disabled])
	add("cluster.name", strconv.Quote(cl.Name))
	add("cluster.node_name", strconv.Quote(cl.NodeName))
	add("cluster.node_type", string(cl.Role))
	add("cluster.key", cl.Key.String())
	add("cluster.port", strconv.Itoa(cl.Port))
	add("cluster.bind_addr", strconv.Quote(cl.BindAddr))
	add("cluster.nodes", quoteAll(cl.Nodes))
	add("cluster.hidden", strconv.Quote(cl.Hidden))
	for _, name := range sortedKeys(cl.Extra) {
		add("cluster."+printable(name), strconv.Quote(cl.Extra[name]))
	}
}

func (c *Config) explainItems(add func(path, value string)) {
	for _, item := range c.Items.List {
		words := []string{fmt.Sprintf("%#o", item.Mode), quoteAll(item.Files)}
		if item.Recursive {
			words = append(words, "recursive")
		}
		if item.RemoveEmpty {
			words = append(words, "remove_subdirs_if_empty")
		}
		add("files."+item.Key, strings.Join(words, " "))
	}
	add("files.excluded_files", quoteAll(c.Items.ExcludedFiles))
	add("files.excluded_extensions", quoteAll(c.Items.ExcludedExtensions))
}

func (c *Config) source(path string) string {
	if source, ok := c.sources[path]; ok {
		return source
	}
	return BuiltIn
}

// place gives a report for the file, and the line in it, that set the first of
// these settings that any file set.
func (c *Config) place(code fault.Code, paths ...string) (*report, int) {
	for _, path := range paths {
		source, ok := c.sources[path]
		if colon := strings.LastIndexByte(source, ':'); ok && colon >= 0 {
			line, _ := strconv.Atoi(source[colon+1:])
			return &report{file: source[:colon], code: code}, line
		}
	}
	return &report{file: c.Home, code: code}, 0
}

func quoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = strconv.Quote(text)
	}
	return strings.Join(quoted, ", ")
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
