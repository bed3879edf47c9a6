# AMD SEV-SNP (specs evidence-snp.md sections 3 to 7 and 16). Everything that the chip signed is already authentic;
# these rules say which of it is acceptable. input.params.snp holds the operator's settings (docs/policy.md).
package assay

launch_claim["snp"] := "measurement"

snp_attesters := [a | some a in input.attesters; a.tee == "snp"]

snp_params := input.params.snp

# ---- what holds unless a finding says otherwise ------------------------------------------------------------------

# Hardware 2: the chain ends at AMD's root, and the TCB is the one that the key was derived for.
assertion contains {"attester": a.label, "member": "hardware", "value": 2} if some a in snp_attesters

# Configuration 2, "known and approved": approved by this policy, which looks at every bit that takes protection away.
# Runtime-opaque 2: memory is encrypted against the host as long as these bits are right.
assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in snp_attesters
	a.claims.policy.debug == false
	a.claims.vmpl in snp_params.vmpl
	some member in ["configuration", "runtime-opaque"]
}

# A register of the fleet makes machines recognisable.
assertion contains {"attester": a.label, "member": "instance-identity", "value": 2} if {
	count(snp_params.chip_allow) > 0
	some a in snp_attesters
	a.claims.chip_id in snp_params.chip_allow
}

# ---- guest policy ------------------------------------------------------------------------------------------------

# The rules below compare claims; where one is absent nothing would be undefined into a yes.
finding contains {
	"attester": a.label, "member": "configuration", "value": 1, "code": "claims-missing",
	"what": "the evidence lacks a claim that this policy must see (policy.debug, policy.migrate_ma, vmpl, report_id_ma, current_version, committed_version)",
} if {
	some a in snp_attesters
	not snp_complete(a.claims)
}

snp_complete(c) if {
	is_boolean(c.policy.debug)
	is_boolean(c.policy.migrate_ma)
	is_number(c.vmpl)
	is_string(c.report_id_ma)
	is_string(c.current_version)
	is_string(c.committed_version)
}

finding contains {
	"attester": a.label, "member": member, "value": 96, "code": "debug", "claim": "policy",
	"what": "this is a debug guest: the host can read and change its memory",
	"why": "bit 19 (DEBUG) of the guest policy is set; the measurement does not show it",
	"next": "launch the guest with DEBUG clear in its policy",
} if {
	some a in snp_attesters
	a.claims.policy.debug != false
	some member in ["configuration", "runtime-opaque"]
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "vmpl", "claim": "vmpl",
	"what": snp_vmpl_text(a.claims.vmpl),
	"why": sprintf("this policy wants a report from VMPL %v; other levels share the measurement, but not the trust", [snp_params.vmpl]),
	"next": "attest from the level that you trust, or name the level in the parameter snp.vmpl",
} if {
	some a in snp_attesters
	not a.claims.vmpl in snp_params.vmpl
}

snp_vmpl_text(v) := "the host asked for this report, not the guest" if v == 4294967295

else := sprintf("the report comes from VMPL %v", [v])

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "migration-agent", "claim": "policy",
	"what": "a migration agent may take this guest to another machine",
	"why": "bit 18 (MIGRATE_MA) of the guest policy is set: whoever runs the agent holds the keys of the guest",
	"next": "launch with MIGRATE_MA clear; if you trust the agent, set the parameter snp.allow_migration_agent",
} if {
	not snp_params.allow_migration_agent
	some a in snp_attesters
	a.claims.policy.migrate_ma != false
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "migration-agent", "claim": "report_id_ma",
	"what": "a migration agent is associated with this guest",
	"why": "REPORT_ID_MA names one; it is all ones for a guest without",
	"next": "launch without a migration agent; if you trust it, set the parameter snp.allow_migration_agent",
} if {
	not snp_params.allow_migration_agent
	some a in snp_attesters
	a.claims.report_id_ma != "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
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
	not a.claims.policy[name] == want
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
	not a.claims.platform_info[name] == want
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 36, "code": "report-version", "claim": "version",
	"what": sprintf("the report has version %v, at least %v is wanted", [a.claims.version, snp_params.min_report_version]),
	"next": "run on a machine with newer firmware",
} if {
	snp_params.min_report_version > 0
	some a in snp_attesters
	not a.claims.version >= snp_params.min_report_version
}

# ---- firmware ----------------------------------------------------------------------------------------------------

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "provisional-firmware", "claim": "committed_version",
	"what": sprintf("firmware %s is provisional: committed is only %s", [a.claims.current_version, a.claims.committed_version]),
	"why": "the host can go back to the older firmware after this appraisal",
	"next": "have the host commit the firmware (SNP_COMMIT), or set the parameter snp.allow_provisional_firmware",
} if {
	not snp_params.allow_provisional_firmware
	some a in snp_attesters
	a.claims.current_version != a.claims.committed_version
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
	"what": sprintf("committed firmware is %s, at least %d.%d.%d is wanted", [a.claims.committed_version, f.major, f.minor, f.build]),
	"why": sprintf("the parameter snp.firmware_floor for %s asks for it", [a.product]),
	"next": "update the firmware of the machine and have the host commit it",
} if {
	some a in snp_attesters
	f := snp_params.firmware_floor[a.product]
	not snp_version(a.claims.committed_version) >= [f.major, f.minor, f.build]
}

snp_version(s) := [to_number(n) | some n in split(s, ".")]

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
	"what": sprintf("%s is %v, bits %d must be set", [name, a.claims[name], mask]),
	"why": "the firmware has not verified every mitigation that the parameters ask for; reports below version 5 cannot say",
	"next": "update the firmware of the machine",
} if {
	some name, mask in {"launch_mit_vector": snp_params.launch_mitigations, "current_mit_vector": snp_params.current_mitigations}
	mask > 0
	some a in snp_attesters
	not snp_has_bits(a.claims[name], mask)
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
	not a.claims.crl.status == "good"
}

# ---- which machine, whose guest ----------------------------------------------------------------------------------

finding contains {
	"attester": a.label, "member": "configuration", "value": 36, "code": "chip-id-masked", "claim": "chip_id",
	"what": "CHIP_ID reads zero, so the certificate could not be compared with the chip",
	"why": "the host has set MASK_CHIP_ID",
	"next": "have the host unmask the id, or set the parameter snp.allow_masked_chip_id",
} if {
	not snp_params.allow_masked_chip_id
	some a in snp_attesters
	"chip_id_masked" in a.notes
	a.claims.signing_key != "vlek"
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "vlek", "claim": "signing_key",
	"what": "the report is signed by a provider's key (VLEK), which proves no machine",
	"why": "the parameter snp.deny_vlek asks for VCEK-signed reports",
	"next": "run where reports are signed by the chip's own key",
} if {
	snp_params.deny_vlek
	some a in snp_attesters
	not a.claims.signing_key == "vcek"
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "csp", "claim": "csp_id",
	"what": sprintf("the report is signed by the key of provider %v", [a.claims.csp_id]),
	"why": "it is not among the providers in the parameter snp.csps",
} if {
	count(snp_params.csps) > 0
	some a in snp_attesters
	a.claims.signing_key == "vlek"
	not a.claims.csp_id in snp_params.csps
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "chip-unknown", "claim": "chip_id",
	"what": sprintf("chip %v is not in the register of the fleet", [a.claims.chip_id]),
	"next": "add it to the parameter snp.chip_allow if it is yours",
} if {
	count(snp_params.chip_allow) > 0
	some a in snp_attesters
	not a.claims.chip_id in snp_params.chip_allow
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 96, "code": "chip-denied", "claim": "chip_id",
	"what": sprintf("chip %s is withdrawn", [a.claims.chip_id]),
	"why": "it is in the parameter snp.chip_deny",
} if {
	some chip in snp_params.chip_deny
	some a in snp_attesters
	a.claims.chip_id == chip
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": code, "claim": name,
	"what": sprintf("%s %v is not among those allowed", [name, a.claims[name]]),
	"why": sprintf("the parameter snp.%s lists them", [param]),
} if {
	some [name, param, code] in [
		["id_key_digest", "id_key_digests", "id-key"], ["author_key_digest", "author_key_digests", "author-key"],
		["host_data", "host_data", "host-data"],
	]
	count(snp_params[param]) > 0
	some a in snp_attesters
	not a.claims[name] in snp_params[param]
}

finding contains {
	"attester": a.label, "member": "executables", "value": 32, "code": "guest-svn", "claim": "guest_svn",
	"what": sprintf("the guest has security version %v, at least %d is wanted", [a.claims.guest_svn, snp_params.min_guest_svn]),
	"next": "launch a newer image",
} if {
	snp_params.min_guest_svn > 0
	some a in snp_attesters
	not a.claims.guest_svn >= snp_params.min_guest_svn
}
