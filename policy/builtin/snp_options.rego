# What the operator may ask of AMD SEV-SNP beyond snp.rego, each through a parameter (specs evidence-snp.md section 16). The
# file is left out while every one of these parameters has its default; which ones they are says rego.SNP.asksMore.
package assay

# A register of the fleet makes machines recognisable.
assertion contains {"attester": a.label, "member": "instance-identity", "value": 2} if {
	count(snp_params.chip_allow) > 0
	some a in snp_attesters
	a.claims.chip_id in snp_params.chip_allow
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "guest-policy", "claim": "policy",
	"what": sprintf("guest policy bit %s is not %v", [name, want]),
	"why": "the parameters snp.policy_set and snp.policy_clear ask for it",
	"next": "launch the guest with another policy",
} if {
	some want, names in {true: snp_params.policy_set, false: snp_params.policy_clear}
	some name in names
	some a in snp_attesters
	not claimed(a, ["policy", name]) == want
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 32, "code": "platform-info", "claim": "platform_info",
	"what": sprintf("platform info bit %s is not %v", [name, want]),
	"why": "the parameters snp.platform_set and snp.platform_clear ask for it; the owner of the machine configures it",
	"next": "run on a machine that is configured as wanted",
} if {
	some want, names in {true: snp_params.platform_set, false: snp_params.platform_clear}
	some name in names
	some a in snp_attesters
	not claimed(a, ["platform_info", name]) == want
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 36, "code": "report-version", "claim": "version",
	"what": sprintf("the report has version %v, at least %v is wanted", [said(a, "version"), snp_params.min_report_version]),
	"next": "run on a machine with newer firmware",
} if {
	snp_params.min_report_version > 0
	some a in snp_attesters
	not claimed(a, "version") >= snp_params.min_report_version
}

# Components are compared one by one: a higher microcode level must not hide an older SNP firmware.
finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "tcb-floor", "claim": sprintf("%s_tcb", [which]),
	"what": sprintf("%s TCB: %s is %v, at least %d is wanted", [which, component, snp_component(a, which, component), least]),
	"why": sprintf("the parameter snp.tcb_floor for %s asks for it", [a.product]),
	"next": "update the firmware of the machine; REPORTED_TCB follows when the host has committed it",
} if {
	some a in snp_attesters
	some which, components in snp_params.tcb_floor[a.product]
	some component, least in components
	not snp_component(a, which, component) >= least
}

# null sorts below all numbers: what the layout of a product does not have is never at least anything.
snp_component(a, which, component) := object.get(a.claims, [sprintf("%s_tcb", [which]), component], null)

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "firmware-floor", "claim": "committed_version",
	"what": sprintf("committed firmware is %s, at least %d.%d.%d is wanted", [said(a, "committed_version"), f.major, f.minor, f.build]),
	"why": sprintf("the parameter snp.firmware_floor for %s asks for it", [a.product]),
	"next": "update the firmware of the machine and have the host commit it",
} if {
	some a in snp_attesters
	f := snp_params.firmware_floor[a.product]
	not snp_version(claimed(a, "committed_version")) >= [f.major, f.minor, f.build]
}

snp_version(s) := [to_number(n) | some n in split(s, ".")] if is_string(s)

else := null

finding contains {
	"attester": a.label, "member": "hardware", "value": 97, "code": "no-floor",
	"what": sprintf("%s is set for other products, but not for %s", [name, a.product]),
	"why": "once one product has a floor, a product without one would be the way around it",
	"next": sprintf("add %s to the parameter snp.%s", [a.product, name]),
} if {
	some name in ["tcb_floor", "firmware_floor"]
	count(snp_params[name]) > 0
	some a in snp_attesters
	not snp_params[name][a.product]
}

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "mitigations", "claim": name,
	"what": sprintf("%s is %v, bits %d must be set", [name, said(a, name), mask]),
	"why": "the firmware has not verified every mitigation that the parameters ask for; reports below version 5 cannot say",
	"next": "update the firmware of the machine",
} if {
	some name, mask in {"launch_mit_vector": snp_params.launch_mitigations, "current_mit_vector": snp_params.current_mitigations}
	mask > 0
	some a in snp_attesters
	not snp_has_bits(claimed(a, name), mask)
}

snp_has_bits(v, mask) if {
	is_number(v)
	bits.and(v, mask) == mask
}

finding contains {
	"attester": a.label, "member": "hardware", "value": 1, "code": "crl", "claim": "crl",
	"what": "AMD's revocation list was not checked",
	"why": "the parameter snp.require_crl asks for it; a list that is missing decides nothing",
	"next": "give the list with --collateral, or allow it to be fetched",
} if {
	snp_params.require_crl
	some a in snp_attesters
	not claimed(a, ["crl", "status"]) == "good"
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "vlek", "claim": "signing_key",
	"what": "the report is signed by a provider's key (VLEK), which proves no machine",
	"why": "the parameter snp.deny_vlek asks for VCEK-signed reports",
	"next": "run where reports are signed by the chip's own key",
} if {
	snp_params.deny_vlek
	some a in snp_attesters
	not claimed(a, "signing_key") == "vcek"
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "csp", "claim": "csp_id",
	"what": sprintf("the report is signed by the key of provider %v", [said(a, "csp_id")]),
	"why": "it is not among the providers in the parameter snp.csps",
} if {
	count(snp_params.csps) > 0
	some a in snp_attesters
	a.claims.signing_key == "vlek"
	not claimed(a, "csp_id") in snp_params.csps
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "chip-unknown", "claim": "chip_id",
	"what": sprintf("chip %v is not in the register of the fleet", [said(a, "chip_id")]),
	"next": "add it to the parameter snp.chip_allow if it is yours",
} if {
	count(snp_params.chip_allow) > 0
	some a in snp_attesters
	not claimed(a, "chip_id") in snp_params.chip_allow
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 96, "code": "chip-denied", "claim": "chip_id",
	"what": sprintf("chip %s is withdrawn", [said(a, "chip_id")]),
	"why": "it is in the parameter snp.chip_deny",
} if {
	some chip in snp_params.chip_deny
	some a in snp_attesters
	a.claims.chip_id == lower(chip)
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": code, "claim": name,
	"what": sprintf("%s %v is not among those allowed", [name, said(a, name)]),
	"why": sprintf("the parameter snp.%s lists them", [param]),
} if {
	some [name, param, code] in [
		["id_key_digest", "id_key_digests", "id-key"], ["author_key_digest", "author_key_digests", "author-key"],
		["host_data", "host_data", "host-data"],
	]
	count(snp_params[param]) > 0
	some a in snp_attesters
	not claimed(a, name) in snp_params[param]
}

finding contains {
	"attester": a.label, "member": "executables", "value": 32, "code": "guest-svn", "claim": "guest_svn",
	"what": sprintf("the guest has security version %v, at least %d is wanted", [said(a, "guest_svn"), snp_params.min_guest_svn]),
	"next": "launch a newer image",
} if {
	snp_params.min_guest_svn > 0
	some a in snp_attesters
	not claimed(a, "guest_svn") >= snp_params.min_guest_svn
}
