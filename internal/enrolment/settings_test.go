package enrolment

import "testing"

func TestSettings_JSON(t *testing.T) {
	shipped := DefaultSettings()
	shipped.Purge = true
	const want = `{"auth":{"port":1515,"disabled":"no","remote_enrollment":"yes","ipv6":"no","use_source_ip":"no","purge":"yes","use_password":"no",` +
		`"ssl_verify_host":"no","ssl_auto_negotiate":"no","ciphers":"HIGH:!ADH:!EXP:!MD5:!RC4:!3DES:!CAMELLIA:@STRENGTH",` +
		`"ssl_manager_cert":"etc/sslmanager.cert","ssl_manager_key":"etc/sslmanager.key","key_request":{"enabled":"no"},` +
		`"force":{"enabled":"yes","key_mismatch":"yes","disconnected_time":{"enabled":"yes","value":3600},"after_registration_time":3600},` +
		`"agents":{"allow_higher_versions":"no"}}}`
	if got := string(shipped.JSON()); got != want {
		t.Error(got)
	}
	all := Settings{
		Port: 1, Disabled: true, IPv6: true, UseSourceIP: true, UsePassword: true, VerifyHost: true, AutoNegotiate: true,
		Ciphers: "A<B", AgentCA: "ca", Certificate: "c", Key: "k", AllowHigherVersions: true,
		KeyRequest: KeyRequest{true, "/bin/x", "s", 60, 1, 1024},
	}
	const other = `{"auth":{"port":1,"disabled":"yes","remote_enrollment":"no","ipv6":"yes","use_source_ip":"yes","purge":"no","use_password":"yes",` +
		`"ssl_verify_host":"yes","ssl_auto_negotiate":"yes","ciphers":"A<B","ssl_agent_ca":"ca","ssl_manager_cert":"c","ssl_manager_key":"k",` +
		`"key_request":{"enabled":"yes","exec_path":"/bin/x","socket":"s","timeout":60,"threads":1,"queue_size":1024},` +
		`"force":{"enabled":"no","key_mismatch":"no","disconnected_time":{"enabled":"no"}},"agents":{"allow_higher_versions":"yes"}}}`
	if got := string(all.JSON()); got != other {
		t.Error(got)
	}
}

func TestSettings_Answer(t *testing.T) {
	const unknown = "err Unrecognized command" //nolint:misspell // the original's spelling
	s := DefaultSettings()
	for command, want := range map[string]string{
		"getconfig auth":     "ok " + string(s.JSON()),
		"getconfig auth\x00": "ok " + string(s.JSON()),
		"getconfig":          "err AUTHCOM getconfig needs arguments",
		"getconfig ":         "err Could not get requested section",
		"getconfig other":    "err Could not get requested section",
		"getconfig auth ":    "err Could not get requested section",
		"":                   unknown,
		"restart":            unknown,
		"getconfigs auth":    unknown,
	} {
		if got := string(s.Answer(command)); got != want {
			t.Errorf("%q: %q", command, got)
		}
	}
}
