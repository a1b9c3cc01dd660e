package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"testudo/internal/manifest"
)

const goodKey = "0123456789abcdefghijklmnopqrstuv"

// writeHome makes a home of the given files, by their paths in it.
func writeHome(t *testing.T, files map[string]string) string {
	t.Helper()
	home := t.TempDir()
	for name, text := range files {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// lines writes problems as the command line would, the home's name cut off.
func lines(home string, problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(strings.ReplaceAll(p.String(), home+"/", "") + "\n")
	}
	return b.String()
}

// conf is an ossec.conf with these lines in its section, the first on line 3.
func conf(options ...string) string {
	return "<ossec_config>\n<cluster>\n" + strings.Join(options, "\n") + "\n</cluster>\n</ossec_config>\n"
}

func loadConf(t *testing.T, text string) (*Config, string) {
	t.Helper()
	home := writeHome(t, map[string]string{ConfPath: text})
	c, problems := Load(LoadOptions{Home: home})
	return c, lines(home, problems)
}

const (
	keyOption   = "<key>" + goodKey + "</key>"
	nodesOption = "<nodes><node>192.0.2.1</node></nodes>"
)

// clusterTest is a section with what is read from it.
type clusterTest struct {
	name, text string
	want       Cluster
	problems   string
}

func (test clusterTest) run(t *testing.T) {
	c, problems := loadConf(t, test.text)
	if diff := cmp.Diff(test.want, c.Cluster); diff != "" {
		t.Errorf("section (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(test.problems, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// with is the section of keyOption and nodesOption, changed.
func with(change func(c *Cluster)) Cluster {
	c := defaultCluster()
	c.Present, c.Disabled, c.Key, c.Nodes = true, false, goodKey, []string{"192.0.2.1"}
	change(&c)
	return c
}

func TestLoad_Cluster(t *testing.T) {
	tests := []clusterTest{
		{"no section", "<ossec_config><global/></ossec_config>", defaultCluster(), ""},
		{"empty file", "", defaultCluster(), ""},
		{"section outside a root", "<cluster><disabled>no</disabled></cluster>", defaultCluster(), ""},
		{"least that works", conf(keyOption, nodesOption), with(func(*Cluster) {}), ""},
		{
			"every option", conf("<name>prod</name>", "<node_name>w-1</node_name>", "<node_type>worker</node_type>",
				keyOption, "<port>1517</port>", "<bind_addr>::</bind_addr>",
				"<nodes>", "<node>master.example</node>", "</nodes>", "<hidden>yes</hidden>", "<disabled>no</disabled>"),
			with(func(c *Cluster) {
				c.Name, c.NodeName, c.Role, c.Port = "prod", "w-1", Worker, 1517
				c.BindAddr, c.Nodes, c.Hidden = "::", []string{"master.example"}, "yes"
			}), "",
		},
		{
			"names in any case", "<OSSEC_config>\n<Cluster>" + "<KEY>" + goodKey + "</KEY>" + nodesOption + "</Cluster></OSSEC_config>",
			with(func(*Cluster) {}), "",
		},
		{
			"of several sections the last counts, whole", conf("<name>one</name>", "<port>1600</port>") + conf(keyOption, nodesOption),
			with(func(*Cluster) {}),
			"etc/ossec.conf:8: warning: cluster: There are multiple cluster sections in configuration. Using only last section.\n",
		},
		{
			"option given twice, the last counts", conf(keyOption, nodesOption, "<name>one</name>", "<name>two</name>"),
			with(func(c *Cluster) { c.Name = "two" }),
			"etc/ossec.conf:6: warning: cluster.name: option 'name' is given again (first on line 5); the last one counts\n",
		},
		{
			"empty options are absent", conf(keyOption, nodesOption, "<name></name>", "<port/>", "<name>x</name>", "<name></name>"),
			with(func(c *Cluster) { c.Name = "x" }), "",
		},
		{
			"lists of nodes append; the first is used", conf(keyOption, "<nodes>", "<node>192.0.2.9</node>", "<node></node>", "</nodes>", nodesOption),
			with(func(c *Cluster) { c.Nodes = []string{"192.0.2.9", "192.0.2.1"} }),
			"etc/ossec.conf:5: warning: cluster.nodes: Found more than one node in configuration. Only master node should be specified. Using 192.0.2.9 as master.\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func TestLoad_ClusterOddities(t *testing.T) {
	tests := []clusterTest{
		{
			"client is an old word", conf(keyOption, nodesOption, "<node_type>client</node_type>"),
			with(func(c *Cluster) { c.Role = Worker }),
			"etc/ossec.conf:5: info: cluster.node_type: Deprecated node type 'client'. Using 'worker' instead.\n",
		},
		{
			"disabled is not looked at further", conf("<disabled>yes</disabled>", "<key>short</key>", "<node_type>boss</node_type>"),
			with(func(c *Cluster) { c.Disabled, c.Key, c.Role, c.Nodes = true, "short", "boss", []string{"NODE_IP"} }), "",
		},
		{
			"options of old versions and of others", conf(keyOption, nodesOption, "<interval>2m</interval>", "<nice>1</nice>"),
			with(func(c *Cluster) { c.Extra = map[string]string{"interval": "2m", "nice": "1"} }),
			"etc/ossec.conf:6: warning: cluster.nice: option 'nice' is not known to the cluster and is left alone\n",
		},
		{
			"leading zeros", conf(keyOption, nodesOption, "<port>01700</port>"), with(func(c *Cluster) { c.Port = 1700 }), "",
		},
		{
			"loopback is a legal master", conf(keyOption, "<nodes><node>127.0.0.1</node></nodes>"),
			with(func(c *Cluster) { c.Nodes = []string{"127.0.0.1"} }), "",
		},
		{
			"reserved text with blanks passes", conf(keyOption, "<node_type>worker</node_type>", "<nodes><node> localhost </node></nodes>"),
			with(func(c *Cluster) { c.Role, c.Nodes = Worker, []string{" localhost "} }),
			"etc/ossec.conf:5: warning: cluster.nodes: ' localhost ' is no address and no host name; the master will not be found\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, test.run)
	}
}

func TestLoad_ClusterRefused(t *testing.T) {
	const e = "Error 3004 - Error in cluster configuration: "
	tests := []struct {
		name   string
		text   string
		want   string // text of the first error, as the original logs it
		line   int
		others int // further errors
	}{
		{"port is a word", conf(keyOption, nodesOption, "<port>http</port>"), e + "Cluster port must be an integer.", 5, 0},
		{"port with blanks", conf(keyOption, nodesOption, "<port> 1516 </port>"), e + "Cluster port must be an integer.", 5, 0},
		{"port 1024", conf(keyOption, nodesOption, "<port>1024</port>"), e + "Port must be higher than 1024 and lower than 65535.", 5, 0},
		{"port 65535", conf(keyOption, nodesOption, "<port>65535</port>"), e + "Port must be higher than 1024 and lower than 65535.", 5, 0},
		{"port 0", conf(keyOption, nodesOption, "<port>0</port>"), e + "Port must be higher than 1024 and lower than 65535.", 5, 0},
		{"port beyond numbers", conf(keyOption, nodesOption, "<port>99999999999999999999</port>"), e + "Port must be higher than 1024 and lower than 65535.", 5, 0},
		{"disabled in capitals", conf(keyOption, nodesOption, "<disabled>YES</disabled>"), e + "Allowed values for 'disabled' field are 'yes' and 'no'. Found: 'YES'", 5, 0},
		{"no key", conf(nodesOption), e + "Unspecified key", 2, 0},
		{"empty key", conf("<key></key>", nodesOption), e + "Unspecified key", 2, 0},
		{"short key", conf("<key>abc</key>", nodesOption), e + "Key must be 32 characters long and only have alphanumeric characters", 3, 0},
		{"key with a dash", conf("<key>"+goodKey[:31]+"-</key>", nodesOption), e + "Key must be 32 characters long and only have alphanumeric characters", 3, 0},
		{"key with blanks around", conf("<key> "+goodKey+" </key>", nodesOption), e + "Key must be 32 characters long and only have alphanumeric characters", 3, 0},
		{"key of letters that would fail later", conf("<key>"+goodKey[:31]+"ü</key>", nodesOption), e + "Key must be 32 characters long and only have alphanumeric characters", 3, 0},
		{"unknown role", conf(keyOption, nodesOption, "<node_type>boss</node_type>"), e + "Invalid node type boss. Correct values are master and worker", 5, 0},
		{"no nodes", conf(keyOption), e + "Invalid elements in node fields: NODE_IP.", 2, 0},
		{"nodes without node", conf(keyOption, "<nodes>192.0.2.1</nodes>"), e + "Invalid elements in node fields: NODE_IP.", 2, 0},
		{"reserved nodes", conf(keyOption, "<nodes>", "<node>localhost</node>", "<node>192.0.2.1</node>", "<node>127.0.1.1</node>", "<node>localhost</node>", "</nodes>"),
			e + "Invalid elements in node fields: localhost, 127.0.1.1.", 5, 0},
		{"option with an attribute", conf(keyOption, nodesOption, `<name x="1">y</name>`), e + "Option 'name' must hold a plain text.", 5, 0},
		{"worker's name with a blank", conf(keyOption, nodesOption, "<node_type>worker</node_type>", "<node_name>w 1</node_name>"),
			e + "A blank in 'node_name' breaks the introduction to the master.", 6, 0},
		{"worker's name that leads elsewhere", conf(keyOption, nodesOption, "<node_type>worker</node_type>", "<node_name>../x</node_name>"),
			e + "Node name ../x cannot be used as the name of a directory.", 6, 0},
		{"all at once, in the original's order", conf("<node_type>boss</node_type>", "<port>x</port>", "<disabled>maybe</disabled>"),
			e + "Cluster port must be an integer.", 4, 4},
		{"not well-formed", "<ossec_config>\n<cluster>\n</ossec_config>\n",
			"Error 3006 - Error reading cluster configuration: Requested component does not exist: " +
				"closing tag </ossec_config> does not fit <cluster> of line 2: line 3", 3, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			home := writeHome(t, map[string]string{ConfPath: test.text})
			c, problems := Load(LoadOptions{Home: home})
			var errors []Problem
			for _, p := range problems {
				if p.Severity == SeverityError {
					errors = append(errors, p)
				}
			}
			if len(errors) != 1+test.others {
				t.Fatalf("got %d errors, want %d:\n%s", len(errors), 1+test.others, lines(home, problems))
			}
			if errors[0].Text != test.want || errors[0].Line != test.line {
				t.Errorf("got %q line %d\nwant %q line %d", errors[0].Text, errors[0].Line, test.want, test.line)
			}
			if !HasErrors(problems) || Error(problems) == nil {
				t.Error("HasErrors or Error says that all is well")
			}
			if c == nil {
				t.Error("no Config in spite of errors")
			}
		})
	}
}

func TestLoad_NameWarnings(t *testing.T) {
	tests := []struct{ name, role, node, want string }{
		{"blank on a master", "master", "my node", "a blank in 'node_name' keeps workers from introducing themselves"},
		{"the name master", "worker", "master", "a worker called 'master' is refused by careful masters and ends careless ones"},
		{"leading dot", "worker", ".w", "careful masters accept only 1 to 128 letters, digits, '_', '.', '-' and no leading dot"},
		{"other characters", "worker", "w#1", "careful masters accept only 1 to 128 letters, digits, '_', '.', '-' and no leading dot"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, problems := loadConf(t, conf(keyOption, nodesOption,
				"<node_type>"+test.role+"</node_type>", "<node_name>"+test.node+"</node_name>"))
			want := "etc/ossec.conf:6: warning: cluster.node_name: " + test.want + "\n"
			if diff := cmp.Diff(want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_NoConf(t *testing.T) {
	home := t.TempDir()
	c, problems := Load(LoadOptions{Home: home})
	if c.Cluster.Present || !c.Cluster.Disabled {
		t.Errorf("section of a missing file: %+v", c.Cluster)
	}
	want := fmt.Sprintf("Error 3006 - Error reading cluster configuration: Requested component does not exist: "+
		"[Errno 2] No such file or directory: '%s/etc/ossec.conf'", home)
	if len(problems) != 1 || problems[0].Text != want {
		t.Errorf("got %v\nwant %s", problems, want)
	}
}

func TestLoad_ConfIsDirectory(t *testing.T) {
	home := writeHome(t, map[string]string{ConfPath + "/x": ""})
	_, problems := Load(LoadOptions{Home: home})
	if len(problems) != 1 || !strings.Contains(problems[0].Text, "[Errno 21] Is a directory: '"+home) {
		t.Errorf("got %v", problems)
	}
}

func TestLoad_OtherConfFile(t *testing.T) {
	home := writeHome(t, map[string]string{ConfPath: conf("<key>bad</key>"), "other.conf": conf(keyOption, nodesOption, "<name>x</name>")})
	c, problems := Load(LoadOptions{Home: home, ConfFile: filepath.Join(home, "other.conf")})
	if c.Cluster.Name != "x" || len(problems) > 0 {
		t.Errorf("got name %q and %v", c.Cluster.Name, problems)
	}
}

func TestLoad_AllFilesAtOnce(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:          conf(nodesOption, "<port>80</port>"),
		InstalledJSONPath: `{"intervals": {"worker": {"sync_integrity": 0}}}`,
		OwnJSONPath:       "{\n\"distributed_api\": {\"enabled\": 1}}",
		OptionsPath:       debugOption + "=7\n",
		SettingsPath:      "limits:\n  uploads: many\nservice: {}\n",
	})
	_, problems := Load(LoadOptions{Home: home})
	want := `framework/wazuh/core/cluster/cluster.json:1: error: Error 3005 - Error reading cluster JSON file: intervals.worker.sync_integrity: 0 is not between 0.01 s and 31536000 s
etc/cluster.json:2: error: Error 3005 - Error reading cluster JSON file: distributed_api.enabled: must be true or false, not 1
etc/ossec.conf:2: error: cluster.key: Error 3004 - Error in cluster configuration: Unspecified key
etc/ossec.conf:4: error: cluster.port: Error 3004 - Error in cluster configuration: Port must be higher than 1024 and lower than 65535.
etc/internal_options.conf:1: warning: wazuh_clusterd.debug: "7" is not 0, 1 or 2; the log level is info
etc/testudo.yaml:2: error: limits.uploads: must be a whole number, not "many"
etc/testudo.yaml:3: error: service: unknown key; is services meant?
`
	if diff := cmp.Diff(want, lines(home, problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestDefault_IsTheDocumentedTable(t *testing.T) {
	c := Default("/h")
	if diff := cmp.Diff(manifest.DefaultItems(), c.Items); diff != "" {
		t.Errorf("items:\n%s", diff)
	}
	if c.Intervals.Worker.SyncIntegrity != 9*time.Second || c.Intervals.Communication.MinZipSize != 31_457_280 ||
		c.Intervals.Communication.MaxZipSize != 1_073_741_824 || c.Intervals.Master.MaxLockedIntegrityTime != 1000*time.Second {
		t.Errorf("intervals: %+v", c.Intervals)
	}
}

func TestConfig_DebugLevel(t *testing.T) {
	tests := []struct {
		name        string
		shipped     string
		local       string
		flags, want int
	}{
		{"no files, no flags", "", "", 0, 0},
		{"no files, -d", "", "", 1, 1},
		{"-ddd", "", "", 3, 2},
		{"option zero leaves it to the flags", "wazuh_clusterd.debug=0\n", "", 2, 2},
		{"option beats the flags", "# x\nwazuh_clusterd.debug=1\n", "", 2, 1},
		{"local beats shipped", "wazuh_clusterd.debug=1\n", "wazuh_clusterd.debug=2\n", 0, 2},
		{"local without the option", "wazuh_clusterd.debug=1\n", "other.debug=2\n", 0, 1},
		{"blanks, colon, case", "  \n; c\nWazuh_Clusterd.Debug : 2 \r\n", "", 0, 2},
		{"other sections do not count", "wazuh_clusterd.debug=1\n[x]\nwazuh_clusterd.debug=2\n", "", 0, 1},
		{"out of range", "wazuh_clusterd.debug=3\n", "", 2, 0},
		{"no number", "wazuh_clusterd.debug=yes\n", "", 2, 0},
		{"empty", "wazuh_clusterd.debug=\n", "", 2, 0},
		{"continued on an indented line", "wazuh_clusterd.debug=1\n 2\n", "", 2, 0},
		{"given twice", "wazuh_clusterd.debug=1\nwazuh_clusterd.debug=1\n", "", 2, 0},
		{"one bad line spoils the file", "nonsense\nwazuh_clusterd.debug=1\n", "", 2, 0},
		{"indented option of another one's value", "a=1\n wazuh_clusterd.debug=1\n", "", 2, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{ConfPath: ""}
			if test.shipped != "" {
				files[OptionsPath] = test.shipped
			}
			if test.local != "" {
				files[LocalOptionsPath] = test.local
			}
			c, problems := Load(LoadOptions{Home: writeHome(t, files)})
			if got := c.DebugLevel(test.flags); got != test.want {
				t.Errorf("level: got %d, want %d", got, test.want)
			}
			if c.DebugUnusable != (len(problems) == 1) {
				t.Errorf("unusable %v, problems %v", c.DebugUnusable, problems)
			}
		})
	}
}
