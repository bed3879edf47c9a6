# What Intel TDX and SGX have in common (specs evidence-intel.md sections 18, 20 and 21): the TCB status and the platform.
# The status is Intel's word about firmware; stage 1 has verified the documents that it comes from, and refuses Revoked
# and unsupported TCBs itself. input.params.tdx and input.params.sgx hold the operator's settings (docs/policy.md).
package assay

intel_attesters := [a | some a in input.attesters; a.tee in {"tdx", "sgx"}]

intel_params(a) := input.params[a.tee]

# ---- TCB status --------------------------------------------------------------------------------------------------

# Hardware 2: the chain ends at Intel's root and the TCB is up to date, or of a status that the operator accepts with
# every advisory that comes with it.
assertion contains {"attester": a.label, "member": "hardware", "value": 2} if {
	some a in intel_attesters
	intel_tcb_accepted(a)
}

intel_tcb_accepted(a) if {
	a.claims.tcb_status == "UpToDate"
}

intel_tcb_accepted(a) if {
	p := intel_params(a)
	a.claims.tcb_status in p.accepted_tcb_status
	not a.claims.tcb_status in {"UpToDate", "Revoked"}
	every id in a.claims.advisory_ids { id in p.allowed_advisories }
}

finding contains {
	"attester": a.label, "member": "hardware", "value": intel_status_value(a), "code": "tcb-status", "claim": "tcb_status",
	"what": sprintf("Intel calls this TCB %v (as of %v, advisories %v)", [said(a, "tcb_status"), said(a, "tcb_date"), said(a, "advisory_ids")]),
	"why": intel_status_why(a),
	"next": sprintf(
		"update firmware, BIOS settings or TDX module of the machine; to accept this status, list it in the parameter %s.accepted_tcb_status and each advisory in %s.allowed_advisories",
		[a.tee, a.tee],
	),
} if {
	some a in intel_attesters
	not intel_tcb_accepted(a)
}

intel_status_value(a) := 96 if a.claims.tcb_status == "Revoked"

else := 32 if a.claims.tcb_status in {
	"SWHardeningNeeded", "OutOfDate", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
	"OutOfDateConfigurationNeeded", "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded",
}

else := 1

intel_status_why(a) := object.get(a.claims.tcb, "below_highest_level", "the level that the platform meets has this status")

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "advisory", "claim": "advisory_ids",
	"what": sprintf("advisory %s applies to this TCB", [id]),
	"why": sprintf("it is in the parameter %s.rejected_advisories", [a.tee]),
	"next": "update the firmware of the machine",
} if {
	some a in intel_attesters
	some rejected in intel_params(a).rejected_advisories
	some id in a.claims.advisory_ids
	lower(id) == lower(rejected)
}

# "Up to date" is relative to an evaluation number: an attacker replays documents of a lower one (section 26, item 8).
finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "evaluation-number", "claim": "tcb_eval_num",
	"what": sprintf("the TCB was evaluated under number %v, at least %d is wanted", [said(a, "tcb_eval_num"), least]),
	"why": sprintf("the parameter %s.min_evaluation_number asks for it; older documents call older firmware up to date", [a.tee]),
	"next": "give newer collateral, or let it be fetched",
} if {
	some a in intel_attesters
	least := intel_params(a).min_evaluation_number
	least > 0
	not claimed(a, "tcb_eval_num") >= least
}

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "tcb-date", "claim": "tcb_date",
	"what": sprintf("the TCB level is of %v, wanted is %s or later", [said(a, "tcb_date"), least]),
	"why": sprintf("the parameter %s.min_tcb_date asks for it", [a.tee]),
	"next": "update the firmware of the machine",
} if {
	some a in intel_attesters
	least := intel_params(a).min_tcb_date
	least != ""
	not intel_date(a) >= time.parse_rfc3339_ns(least)
}

intel_date(a) := time.parse_rfc3339_ns(a.claims.tcb_date) if is_string(a.claims.tcb_date)

else := null

# ---- the platform ------------------------------------------------------------------------------------------------

finding contains {
	"attester": a.label, "member": "configuration", "value": 32, "code": "platform-configuration", "claim": "pck",
	"what": sprintf("the platform has %s", [name]),
	"why": sprintf("the parameter %s.deny_%s refuses it", [a.tee, name]),
	"next": "run on a machine that is configured as wanted",
} if {
	some name in ["dynamic_platform", "cached_keys", "smt_enabled"]
	some a in intel_attesters
	intel_params(a)[sprintf("deny_%s", [name])]
	not claimed(a, ["pck", name]) == false
}

finding contains {
	"attester": a.label, "member": "hardware", "value": 97, "code": "fmspc", "claim": "pck",
	"what": sprintf("platforms of FMSPC %v are not among those allowed", [object.get(a.claims, ["pck", "fmspc"], "(not in the evidence)")]),
	"why": sprintf("the parameter %s.fmspc_allow lists them", [a.tee]),
} if {
	some a in intel_attesters
	allow := intel_params(a).fmspc_allow
	count(allow) > 0
	not claimed(a, ["pck", "fmspc"]) in allow
}

# A machine is known by its platform instance id, or by its PPID where it has none.
intel_machine(a) := object.get(a.claims, ["pck", "platform_instance_id"], object.get(a.claims, ["pck", "ppid"], "(not in the evidence)"))

assertion contains {"attester": a.label, "member": "instance-identity", "value": 2} if {
	some a in intel_attesters
	intel_machine(a) in intel_params(a).platform_allow
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "platform-unknown", "claim": "pck",
	"what": sprintf("platform %v is not in the register of the fleet", [intel_machine(a)]),
	"next": sprintf("add it to the parameter %s.platform_allow if it is yours", [a.tee]),
} if {
	some a in intel_attesters
	allow := intel_params(a).platform_allow
	count(allow) > 0
	not intel_machine(a) in allow
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 96, "code": "platform-denied", "claim": "pck",
	"what": sprintf("platform %v is withdrawn", [id]),
	"why": sprintf("it is in the parameter %s.platform_deny", [a.tee]),
} if {
	some a in intel_attesters
	some id in intel_params(a).platform_deny
	lower(id) in {intel_machine(a), a.claims.pck.ppid}
}

# Claims that only have to be one of a list, where the operator gave one.
finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "not-listed", "claim": name,
	"what": sprintf("%s %v is not among those allowed", [name, said(a, name)]),
	"why": sprintf("the parameter %s.%s lists them", [a.tee, param]),
} if {
	some [name, param] in [
		["mr_config_id", "mr_config_id"], ["mr_owner", "mr_owner"], ["mr_owner_config", "mr_owner_config"],
		["mr_seam", "mr_seam"], ["xfam", "xfam"], ["config_id", "config_id"], ["mr_signer", "mr_signer"],
		["isv_family_id", "isv_family_id"], ["isv_ext_prod_id", "isv_ext_prod_id"],
	]
	some a in intel_attesters
	allowed := intel_params(a)[param]
	count(allowed) > 0
	not claimed(a, name) in allowed
}
