package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAuth_NothingSet(t *testing.T) {
	for name, test := range map[string]struct {
		section  string
		embedded bool
	}{
		"no section": {"", false}, "empty": {"<auth></auth>", true}, "disabled": {"<auth><disabled>yes</disabled></auth>", false},
	} {
		c, problems := loadConf(t, daemonConf(test.section))
		want := defaultAuth()
		want.Present, want.Disabled = test.section != "", name == "disabled"
		if diff := cmp.Diff(want, c.Auth); diff != "" || problems != "" || c.EnrolmentEmbedded() != test.embedded {
			t.Errorf("%s: enrols %v; %s (-want +got):\n%s", name, c.EnrolmentEmbedded(), problems, diff)
		}
	}
}

func TestAuth_EveryOption(t *testing.T) {
	c, problems := loadConf(t, daemonConf(`<auth><port>2515</port><port>1615</port><ipv6>yes</ipv6><remote_enrollment>no</remote_enrollment>`+
		`<use_source_ip>yes</use_source_ip><purge>yes</purge><use_password>yes</use_password><ciphers> HIGH </ciphers>`+
		`<ssl_agent_ca>etc/ca.pem</ssl_agent_ca><ssl_verify_host>yes</ssl_verify_host><ssl_manager_cert>/c</ssl_manager_cert>`+
		`<ssl_manager_key>/k</ssl_manager_key><ssl_auto_negotiate>yes</ssl_auto_negotiate><agents><allow_higher_versions>yes</allow_higher_versions></agents>`+
		`<force><enabled>no</enabled><key_mismatch>no</key_mismatch><disconnected_time enabled="no">2h</disconnected_time>`+
		`<after_registration_time>90</after_registration_time></force></auth>`))
	want := Auth{
		Present: true, Port: 1615, IPv6: true, UseSourceIP: true, Purge: true, UsePassword: true, Ciphers: "HIGH",
		AgentCA: "etc/ca.pem", VerifyHost: true, Certificate: "/c", CertificateKey: "/k", AutoNegotiate: true, HigherVersions: true,
		Force:      AuthForce{Disconnected: 2 * time.Hour, AfterRegistration: 90 * time.Second},
		KeyRequest: defaultAuth().KeyRequest, Wait: time.Second,
	}
	if diff := cmp.Diff(want, c.Auth); diff != "" || problems != "" {
		t.Errorf("%s (-want +got):\n%s", problems, diff)
	}
}

func TestAuth_Problems(t *testing.T) {
	force := func(option string) string { return "<auth><force>" + option + "</force></auth>" }
	tests := []struct{ name, section, want string }{
		{"port", "<auth><port>0</port></auth>", "error: auth.port: 0 is not between 1 and 65535"},
		{"truth", "<auth><purge>true</purge></auth>", `error: auth.purge: must be yes or no, not "true"`},
		{"certificate", "<auth><ssl_manager_cert></ssl_manager_cert></auth>", "error: auth.ssl_manager_cert: is empty"},
		{"unknown", "<auth><colour>red</colour></auth>", "warning: auth.colour: there is no such option; it is passed over"},
		{"unknown rule", force("<colour>red</colour>"), "warning: auth.force.colour: there is no such option; it is passed over"},
		{"no attribute", force("<disconnected_time>1h</disconnected_time>"),
			`error: auth.force.disconnected_time: needs an attribute: enabled="yes" or enabled="no"`},
		{"wrong attribute", force(`<disconnected_time enabled="1">1h</disconnected_time>`),
			`error: auth.force.disconnected_time.enabled: must be yes or no, not "1"`},
		{"no time", force("<after_registration_time>soon</after_registration_time>"),
			`error: auth.force.after_registration_time: "soon" is no time such as 600, 10m or 1h`},
		{"limit", "<auth><limit_maxagents>yes</limit_maxagents></auth>",
			"warning: auth.limit_maxagents: is deprecated and has no effect: the number of agents has no limit"},
		{"old rule beside the new ones", "<auth><force_insert>no</force_insert><force/></auth>",
			"warning: auth.force_insert: is deprecated and has no effect beside <force>"},
		{"key request", "<auth><key_request><exec_path>/x</exec_path></key_request></auth>",
			"warning: auth.key_request: this node asks no other program for keys of agents that it does not know; the section has no effect"},
		{"key request off", "<auth><key_request><enabled>no</enabled></key_request></auth>", ""},
		{"host without authority", "<auth><ssl_verify_host>yes</ssl_verify_host></auth>",
			"warning: auth.ssl_verify_host: has no effect without <ssl_agent_ca>: agents show no certificate"},
		{"port of the cluster", "<auth><port>1516</port></auth>", "error: auth.port: 1516 is the port of the cluster as well"},
		{"port of the cluster, not used", "<auth><port>1516</port><remote_enrollment>no</remote_enrollment></auth>", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, problems := loadConf(t, daemonConf(test.section))
			want := ""
			if test.want != "" {
				want = "etc/ossec.conf:2: " + test.want + "\n"
			}
			if diff := cmp.Diff(want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// What there was before <force> still counts where that is not there.
func TestAuth_OldRules(t *testing.T) {
	tests := []struct {
		options string
		want    AuthForce
	}{
		{"<force_insert>no</force_insert>", AuthForce{false, true, true, time.Hour, time.Hour}},
		{"<force_time>0</force_time>", AuthForce{true, true, false, 0, time.Hour}},
		{"<force_insert>yes</force_insert><force_time>600</force_time>", AuthForce{true, true, true, 10 * time.Minute, time.Hour}},
	}
	for _, test := range tests {
		c, problems := loadConf(t, daemonConf("<auth>"+test.options+"</auth>"))
		if diff := cmp.Diff(test.want, c.Auth.Force); diff != "" || strings.Contains(problems, "error") || !strings.Contains(problems, "is deprecated; write <force>") {
			t.Errorf("%s: %s (-want +got):\n%s", test.options, problems, diff)
		}
	}
}

func TestAuth_ReadTime(t *testing.T) {
	tests := []struct {
		options, problem string
		want             time.Duration
	}{
		{"", "", time.Second},
		{"auth.timeout_seconds=3\nauth.timeout_microseconds=250000\n", "", 3250 * time.Millisecond},
		{"auth.timeout_seconds=0\nauth.timeout_microseconds=1000\n", "", time.Millisecond},
		{"auth.timeout_seconds=0\n", "etc/internal_options.conf:1: error: auth.timeout_seconds: " +
			"is 0, and so is auth.timeout_microseconds: agents would have no time for their request\n", 0},
		{"auth.timeout_microseconds=1000000\n", "etc/internal_options.conf:1: error: auth.timeout_microseconds: " +
			"1000000 is not between 0 and 999999\n", time.Second},
	}
	for _, test := range tests {
		home := writeHome(t, map[string]string{ConfPath: daemonConf("<auth/>"), OptionsPath: test.options})
		c, problems := Load(LoadOptions{Home: home})
		if got := c.Auth.ReadTime(); got != test.want || lines(home, problems) != test.problem {
			t.Errorf("%q: %v; %s", test.options, got, lines(home, problems))
		}
	}
}

// What belongs to another enrolment service is its own to judge.
func TestAuth_External(t *testing.T) {
	bad := daemonConf("<auth><port>x</port></auth>")
	for _, test := range []struct{ program, file, source string }{
		{"", "services:\n  enrolment: external\n", "etc/testudo.yaml:2"}, {External, "", AsStarted},
	} {
		home := writeHome(t, map[string]string{ConfPath: bad, OptionsPath: "auth.timeout_seconds=x\n", SettingsPath: test.file})
		c, problems := Load(LoadOptions{Home: home, Enrolment: test.program})
		source := strings.TrimPrefix(c.source(enrolmentService), home+"/")
		if len(problems) > 0 || c.EnrolmentEmbedded() || source != test.source {
			t.Errorf("%+v: %s from %s", test, lines(home, problems), source)
		}
		for _, s := range c.Explain() {
			if strings.HasPrefix(s.Path, "auth.") {
				t.Errorf("%s is explained, but is not in force", s.Path)
			}
		}
	}
}

func TestAuth_Explained(t *testing.T) {
	home := writeHome(t, map[string]string{
		ConfPath:         daemonConf("<auth><port>1615</port>", `<force><disconnected_time enabled="no">1d</disconnected_time></force></auth>`),
		LocalOptionsPath: "auth.timeout_seconds=2\n",
	})
	c, problems := Load(LoadOptions{Home: home})
	if len(problems) > 0 {
		t.Fatal(lines(home, problems))
	}
	wantExplained(t, c, map[string]string{
		"auth.port":                            "1615 from etc/ossec.conf:2",
		"auth.force.disconnected_time":         "24h from etc/ossec.conf:3",
		"auth.force.disconnected_time.enabled": "false from etc/ossec.conf:3",
		"auth.ssl_manager_cert":                `"etc/sslmanager.cert" from built-in`,
		"auth.timeout_seconds":                 "2s from etc/local_internal_options.conf:1",
		"services.enrolment":                   `"embedded" from built-in`,
		"enrolment.handshake_time":             "10s from built-in",
	})
}

func FuzzAuth(f *testing.F) {
	f.Add("<port>1515</port><force><disconnected_time enabled=\"yes\">1h</disconnected_time></force>")
	f.Add("<force_time>0</force_time><key_request/><agents><x>1</x></agents>")
	f.Fuzz(func(t *testing.T, options string) {
		c := Default("")
		r := &report{file: "f"}
		text := daemonConf("<auth>" + options + "</auth>")
		if lines := r.readCluster(c, strings.NewReader(text)); lines == nil {
			return
		}
		checkProblems(t, text, r.problems)
		a := c.Auth
		if a.Port < 1 || a.Port > 65535 || a.Ciphers == "" || a.Certificate == "" || a.CertificateKey == "" || a.Force.Disconnected < 0 || a.Force.AfterRegistration < 0 {
			t.Errorf("%q gives %+v", options, a)
		}
	})
}
