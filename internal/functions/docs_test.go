package functions

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"testudo/internal/agentapi"
	"testudo/internal/dapi"
	"testudo/internal/managerapi"
	"testudo/internal/rulesetapi"
)

var update = flag.Bool("update", false, "write the tables of docs/functions.md")

const page = "../../docs/functions.md"

// original lists the functions that the API of 4.7.5 asks for.
var original = map[string]string{
	"api.authentication":         "check_token check_user_master get_security_conf",
	"wazuh.rbac.preprocessor":    "get_permissions",
	"wazuh.active_response":      "run_command",
	"wazuh.core.agent":           "Agent.get_agents_overview",
	"wazuh.cdb_list":             "delete_list_file get_list_file get_lists get_path_lists upload_list_file",
	"wazuh.ciscat":               "get_ciscat_results",
	"wazuh.core.cluster.control": "get_node_ruleset_integrity",
	"wazuh.core.security":        "revoke_tokens",
	"wazuh.event":                "send_event_to_analysisd",
	"wazuh.logtest":              "run_logtest end_logtest_session",
	"wazuh.task":                 "get_task_status",
	"wazuh.sca":                  "get_sca_checks get_sca_list",
	"wazuh.syscheck":             "clear files last_scan run",
	"wazuh.syscollector":         "get_item_agent",
	"wazuh.rootcheck":            "clear get_last_scan get_rootcheck_agent run",
	"wazuh.vulnerability":        "get_agent_cve get_inventory_summary last_scan run_vulnerability_scan",
	"wazuh.mitre":                "mitre_groups mitre_metadata mitre_mitigations mitre_references mitre_software mitre_tactics mitre_techniques",
	"wazuh.decoder":              "get_decoders get_decoders_files delete_decoder_file get_decoder_file upload_decoder_file",
	"wazuh.rule":                 "get_groups get_requirement get_rules get_rules_files delete_rule_file get_rule_file upload_rule_file",
	"wazuh.cluster":              "get_node_wrapper read_config_wrapper get_health_nodes get_nodes_info get_status_json get_ruleset_sync_status",
	"wazuh.agent": "get_agent_config reconnect_agents restart_agents restart_agents_by_group restart_agents_by_node upgrade_agents add_agent " +
		"assign_agents_to_group create_group delete_agents delete_groups get_agent_conf get_agent_groups get_agents get_agents_in_group " +
		"get_agents_keys get_agents_summary_os get_agents_summary_status get_agents_sync_group get_distinct_agents get_file_conf " +
		"get_full_overview get_group_files get_outdated_agents get_upgrade_result remove_agent_from_group remove_agent_from_groups " +
		"remove_agents_from_group upload_group_file",
	"wazuh.manager": "get_api_config get_basic_info get_config get_status ossec_log ossec_log_summary read_ossec_conf restart update_ossec_conf validation",
	"wazuh.stats": "deprecated_get_daemons_stats get_daemons_stats hourly totals weekly get_agents_component_stats_json " +
		"get_daemons_stats_agents",
	"wazuh.security": "get_rbac_actions get_rbac_resources add_policy add_role add_rule create_user edit_run_as get_policies get_roles get_rules " +
		"get_security_config get_user_me get_users remove_policies remove_role_policy remove_role_rule remove_roles remove_rules remove_user_role " +
		"remove_users revoke_current_user_tokens set_role_policy set_role_rule set_user_role update_policy update_role update_rule " +
		"update_security_config update_user wrapper_revoke_tokens",
}

// everyFunction is the table of a node.
func everyFunction(t *testing.T) *dapi.Registry {
	t.Helper()
	agents := agentapi.New(agentapi.Config{})
	registry, err := dapi.NewRegistry(Table(Deps{Parts: []Part{
		agents, agentapi.NewChanges(agentapi.ChangeConfig{Reader: agents}), managerapi.New(managerapi.Config{}), rulesetapi.New(rulesetapi.Config{}),
	}})...)
	if err != nil {
		t.Fatal(err)
	}
	return registry
}

// ofLists are the arguments that lists have in common.
var ofLists = []string{
	"offset", "limit", "sort", "search", "select", "distinct", "q", "sort_by", "sort_ascending", "search_text", "complementary_search", "search_in_fields",
}

func presentTable(list []dapi.Function) string {
	var b strings.Builder
	b.WriteString("| Module | Function | Type | Arguments | Permissions |\n|---|---|---|---|---|\n")
	for _, f := range list {
		var params, needs []string
		for _, p := range f.Params {
			switch common := slices.Contains(ofLists, p.Name) && len(f.Params) >= len(ofLists); {
			case common && p.Name == ofLists[0]:
				params = append(params, "*list*")
			case common:
			case p.Required:
				params = append(params, "**"+p.Name+"**")
			default:
				params = append(params, p.Name)
			}
		}
		for _, n := range f.Needs {
			needs = append(needs, n.Action+" on "+strings.ReplaceAll(n.Resource, "*", `\*`))
		}
		kind := string(f.Type)
		if f.Client != "" {
			kind += " (client)"
		} else if f.Async {
			kind += " async"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", f.Module, f.Name, kind, strings.Join(params, ", "), strings.Join(needs, ", "))
	}
	return b.String()
}

func absentTable(list []dapi.Function) string {
	there := map[string]bool{}
	for _, f := range list {
		there[f.Key()] = true
	}
	var modules []string
	for module := range original {
		modules = append(modules, module)
	}
	slices.Sort(modules)
	var b strings.Builder
	b.WriteString("| Module | Functions |\n|---|---|\n")
	for _, module := range modules {
		names := slices.DeleteFunc(strings.Fields(original[module]), func(name string) bool { return there[module+"."+name] })
		slices.Sort(names)
		if len(names) > 0 {
			fmt.Fprintf(&b, "| %s | %s |\n", module, strings.Join(names, ", "))
		}
	}
	return b.String()
}

// docs/functions.md shows the functions that there are, and those that are not.
func TestDocs(t *testing.T) {
	list := everyFunction(t).Functions()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	now := string(text)
	for mark, table := range map[string]string{"functions": presentTable(list), "absent": absentTable(list)} {
		before, rest, ok := strings.Cut(now, "<!-- "+mark+" -->\n")
		_, after, also := strings.Cut(rest, "<!-- end of "+mark+" -->")
		if !ok || !also {
			t.Fatalf("no place for the table of %s", mark)
		}
		now = before + "<!-- " + mark + " -->\n" + table + "<!-- end of " + mark + " -->" + after
	}
	if now == string(text) {
		return
	}
	if !*update {
		t.Fatal("docs/functions.md does not show the functions as they are: go test ./internal/functions -run TestDocs -update")
	}
	if err := os.WriteFile(page, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A function is one of the original's, so that nobody relies on others.
func TestTable_NoStrangers(t *testing.T) {
	for _, f := range everyFunction(t).Functions() {
		if !slices.Contains(strings.Fields(original[f.Module]), f.Name) {
			t.Errorf("%s is no function of the original", f.Key())
		}
	}
}
