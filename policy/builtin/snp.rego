# AMD SEV-SNP (specs evidence-snp.md sections 3 to 6, 16). Everything that the chip signed is already authentic; these
# rules say which of it is acceptable. input.params.snp holds the operator's settings.
package assay

snp_attesters := [a | some a in input.attesters; a.tee == "snp"]

snp_params := input.params.snp

# ---- what holds unless a finding says otherwise ------------------------------------------------------------------

# Configuration 2, "known and approved": approved by this policy, which looks at every bit that takes protection away.
assertion contains {"attester": a.label, "member": "configuration", "value": 2} if {
	some a in snp_attesters
	snp_protected(a)
}

# Hardware 2: the chain ends at AMD's root, and the TCB is the one that the key was derived for.
assertion contains {"attester": a.label, "member": "hardware", "value": 2} if some a in snp_attesters

assertion contains {"attester": a.label, "member": "runtime-opaque", "value": 2} if {
	some a in snp_attesters
	snp_protected(a)
}

snp_protected(a) if {
	a.claims.policy.debug == false
	a.claims.vmpl in snp_params.vmpl
}

# ---- guest policy ------------------------------------------------------------------------------------------------

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "debug", "claim": "policy",
	"what": "this is a debug guest: the host can read and change its memory",
	"why": "bit 19 (DEBUG) of the guest policy is set; the measurement does not show it",
	"next": "launch the guest with DEBUG clear in its policy",
} if {
	some a in snp_attesters
	not a.claims.policy.debug == false
}

finding contains {
	"attester": a.label, "member": "runtime-opaque", "value": 96, "code": "debug", "claim": "policy",
	"what": "the memory of a debug guest is visible to the host",
} if {
	some a in snp_attesters
	not a.claims.policy.debug == false
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "vmpl", "claim": "vmpl",
	"what": snp_vmpl_text(a.claims.vmpl),
	"why": sprintf("this policy wants a report from VMPL %v; other levels share the measurement, but not the trust", [snp_params.vmpl]),
	"next": "attest from the level that you trust, or name the level in params.snp.vmpl",
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
	"next": "launch with MIGRATE_MA clear, or set params.snp.allow_migration_agent if you trust the agent",
} if {
	some a in snp_attesters
	not a.claims.policy.migrate_ma == false
	not snp_params.allow_migration_agent
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "migration-agent", "claim": "report_id_ma",
	"what": "a migration agent is associated with this guest",
	"why": "REPORT_ID_MA names one (it is all ones without)",
	"next": "launch without a migration agent, or set params.snp.allow_migration_agent if you trust it",
} if {
	some a in snp_attesters
	a.claims.report_id_ma != snp_no_agent
	not snp_params.allow_migration_agent
}

snp_no_agent := "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
