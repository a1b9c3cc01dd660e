package rulesetapi

import (
	"testudo/internal/dapi"
	"testudo/internal/fault"
)

// kind is what tells rules, decoders and lists apart where they are handled
// alike.
type kind struct {
	module   string // of the functions
	action   string // before the colon: "rules"
	resource string // "rule:file"
	own      string // the folder that belongs to the cluster; all writing happens below it
	shipped  string // the folder of what came with the product

	// Elements of the section <ruleset> of ossec.conf.
	folder, include, exclude string

	unreadable, forbidden, absent              fault.Code // of a file
	folderUnknown, folderShipped, folderAbsent fault.Code

	uploaded, notUploaded, deleted, notDeleted string
}

var ruleKind = &kind{
	module: "wazuh.rule", action: "rules", resource: "rule:file", own: "etc/rules", shipped: "ruleset/rules",
	folder: "rule_dir", include: "rule_include", exclude: "rule_exclude",
	unreadable: fault.RuleParse, forbidden: fault.RuleRights, absent: fault.RuleFile,
	folderUnknown: fault.RuleFolderUnknown, folderShipped: fault.RuleFolderDefault, folderAbsent: fault.RuleFolderAbsent,
	uploaded: "Rule was successfully uploaded", notUploaded: "Could not upload rule",
	deleted: "Rule file was successfully deleted", notDeleted: "Could not delete rule file",
}

var decoderKind = &kind{
	module: "wazuh.decoder", action: "decoders", resource: "decoder:file", own: "etc/decoders", shipped: "ruleset/decoders",
	folder: "decoder_dir", include: "decoder_include", exclude: "decoder_exclude",
	unreadable: fault.DecoderParse, forbidden: fault.DecoderRights, absent: fault.DecoderFile,
	folderUnknown: fault.DecoderFolderUnknown, folderShipped: fault.DecoderFolderDefault, folderAbsent: fault.DecoderFolderAbsent,
	uploaded: "Decoder was successfully uploaded", notUploaded: "Could not upload decoder",
	deleted: "Decoder file was successfully deleted", notDeleted: "Could not delete decoder file",
}

var listKind = &kind{
	module: "wazuh.cdb_list", action: "lists", resource: "list:file", own: "etc/lists",
	unreadable: fault.ListFormat, forbidden: fault.ListRights, absent: fault.ListAbsent,
	uploaded: "CDB list file uploaded successfully", notUploaded: "Could not upload CDB list file",
	deleted: "CDB list file was successfully deleted", notDeleted: "Could not delete CDB list file",
}

// reader is a function that reads files of the kind.
func (k *kind) reader(name string, where dapi.RequestType) dapi.Function {
	return dapi.Function{
		Module: k.module, Name: name, Type: where,
		Needs: []dapi.Permission{{Action: k.action + ":read", Resource: k.resource}},
	}
}

// uploader and deleter are those that write.
func (k *kind) uploader(name string) dapi.Function {
	return dapi.Function{
		Module: k.module, Name: name, Type: dapi.LocalMaster,
		Needs: []dapi.Permission{
			{Action: k.action + ":update", Resource: "*:*"}, {Action: k.action + ":delete", Resource: k.resource},
		},
	}
}

func (k *kind) deleter(name string) dapi.Function {
	return dapi.Function{
		Module: k.module, Name: name, Type: dapi.LocalMaster,
		Needs: []dapi.Permission{{Action: k.action + ":delete", Resource: k.resource}},
	}
}
