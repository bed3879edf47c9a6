# AMD SEV-SNP (specs evidence-snp.md sections 3 to 7 and 16). Everything that the chip signed is already authentic;
# these rules say which of it is acceptable. input.params.snp holds the operator's settings (docs/policy.md).
package assay

launch_claim["snp"] := "measurement"

snp_attesters := [a | some a in input.attesters; a.tee == "snp"]

snp_params := input.params.snp

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
	"what": snp_vmpl_text(claimed(a, "vmpl")),
	"why": sprintf("this policy wants a report from VMPL %v; other levels share the measurement, but not the trust", [snp_params.vmpl]),
	"next": "attest from the level that you trust, or name the level in the parameter snp.vmpl",
} if {
	some a in snp_attesters
	not claimed(a, "vmpl") in snp_params.vmpl
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
	"attester": a.label, "member": "hardware", "value": 32, "code": "provisional-firmware", "claim": "committed_version",
	"what": sprintf("firmware %s is provisional: committed is only %s", [said(a, "current_version"), said(a, "committed_version")]),
	"why": "the host can go back to the older firmware after this appraisal",
	"next": "have the host commit the firmware (SNP_COMMIT), or set the parameter snp.allow_provisional_firmware",
} if {
	not snp_params.allow_provisional_firmware
	some a in snp_attesters
	a.claims.current_version != a.claims.committed_version
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 36, "code": "chip-id-masked", "claim": "chip_id",
	"what": "CHIP_ID reads zero, so the certificate could not be compared with the chip",
	"why": "the host has set MASK_CHIP_ID",
	"next": "have the host unmask the id, or set the parameter snp.allow_masked_chip_id",
} if {
	not snp_params.allow_masked_chip_id
	some a in snp_attesters
	"chip_id_masked" in a.notes
	not claimed(a, "signing_key") == "vlek"
}
