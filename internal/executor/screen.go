package executor

import (
	"encoding/json"
	"slices"
	"strings"

	"testudo/internal/fault"
	"testudo/internal/result"
)

// screen refuses what is not for the program. A framework that looks up whatever
// a request names would run any code of its machine for whoever has the key of
// the cluster; so only the functions of the API are handed on, and no argument
// may hold what such a framework makes objects of.
func screen(request []byte) error {
	var r struct {
		Function result.Callable `json:"f"`
		Args     any             `json:"f_kwargs"`
	}
	if err := json.Unmarshal(request, &r); err != nil {
		return fault.Wrap(fault.NotJSON, nil, err)
	}
	names, known := handed()[r.Function.Module]
	if !known || !slices.Contains(strings.Fields(names), r.Function.Qualname) || r.Function.Name != r.Function.Qualname {
		return fault.New(fault.Unspecified, "the function "+r.Function.Key()+" is not there on this node")
	}
	if hasObject(r.Args) {
		return fault.New(fault.Unspecified, "an argument holds an object that is not plain JSON")
	}
	return nil
}

// hasObject says whether a value holds anything that is marked as more than
// plain JSON (docs/dapi.md §2), at any depth.
func hasObject(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if strings.HasPrefix(name, "__") || hasObject(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasObject)
	}
	return false
}

// handed are the functions of the original's API, by module.
func handed() map[string]string {
	return map[string]string{
		"api.authentication":         "check_token check_user_master get_security_conf",
		"wazuh.rbac.preprocessor":    "get_permissions",
		"wazuh.active_response":      "run_command",
		"wazuh.agent":                agentFunctions,
		"wazuh.cdb_list":             "delete_list_file get_list_file get_lists get_path_lists upload_list_file",
		"wazuh.ciscat":               "get_ciscat_results",
		"wazuh.cluster":              "get_node_wrapper read_config_wrapper get_health_nodes get_nodes_info get_status_json get_ruleset_sync_status",
		"wazuh.core.cluster.control": "get_node_ruleset_integrity",
		"wazuh.core.security":        "revoke_tokens",
		"wazuh.decoder":              "get_decoders get_decoders_files delete_decoder_file get_decoder_file upload_decoder_file",
		"wazuh.event":                "send_event_to_analysisd",
		"wazuh.logtest":              "run_logtest end_logtest_session",
		"wazuh.manager": "get_api_config get_basic_info get_config get_status ossec_log ossec_log_summary read_ossec_conf restart " +
			"update_ossec_conf validation",
		"wazuh.mitre":     "mitre_groups mitre_metadata mitre_mitigations mitre_references mitre_software mitre_tactics mitre_techniques",
		"wazuh.rootcheck": "clear get_last_scan get_rootcheck_agent run",
		"wazuh.rule":      "get_groups get_requirement get_rules get_rules_files delete_rule_file get_rule_file upload_rule_file",
		"wazuh.sca":       "get_sca_checks get_sca_list",
		"wazuh.security": "get_rbac_actions get_rbac_resources add_policy add_role add_rule create_user edit_run_as get_policies get_roles " +
			"get_rules get_security_config get_user_me get_users remove_policies remove_role_policy remove_role_rule remove_roles " +
			"remove_rules remove_user_role remove_users revoke_current_user_tokens set_role_policy set_role_rule set_user_role " +
			"update_policy update_role update_rule update_security_config update_user wrapper_revoke_tokens",
		"wazuh.stats":         "deprecated_get_daemons_stats get_daemons_stats hourly totals weekly get_agents_component_stats_json get_daemons_stats_agents",
		"wazuh.syscheck":      "clear files last_scan run",
		"wazuh.syscollector":  "get_item_agent",
		"wazuh.task":          "get_task_status",
		"wazuh.vulnerability": "get_agent_cve get_inventory_summary last_scan run_vulnerability_scan",
	}
}

const agentFunctions = "get_agent_config reconnect_agents restart_agents restart_agents_by_group restart_agents_by_node upgrade_agents " +
	"add_agent assign_agents_to_group create_group delete_agents delete_groups get_agent_conf get_agent_groups get_agents " +
	"get_agents_in_group get_agents_keys get_agents_summary_os get_agents_summary_status get_agents_sync_group get_distinct_agents " +
	"get_file_conf get_full_overview get_group_files get_outdated_agents get_upgrade_result remove_agent_from_group " +
	"remove_agent_from_groups remove_agents_from_group upload_group_file"
