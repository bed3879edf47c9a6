# TPM quotes: of a TPM by itself, and of the vTPM of Azure's paravisor, whose CPU is an attester of its own with the rules
# of its TEE (specs tsm-tpm.md sections 6, 14 and 16; ear.md section 6). input.params.tpm holds the operator's settings
# (docs/policy.md).
package assay

launch_claim["tpm"] := "pcr04"

launch_claim["az-snp-vtpm"] := "pcr04"

launch_claim["az-tdx-vtpm"] := "pcr04"

tpm_azure := {"az-snp-vtpm", "az-tdx-vtpm"}

tpm_attesters := [a | some a in input.attesters; a.tee in (tpm_azure | {"tpm"})]

tpm_params := input.params.tpm

# ---- what holds unless a finding says otherwise ------------------------------------------------------------------

# Azure: the CPU vouches for the paravisor, the paravisor for the key that signed the quote. Memory is encrypted as long as
# the CPU's evidence shows no debug access, which the rules of that TEE look at too.
assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in tpm_attesters
	a.tee in tpm_azure
	tpm_cpu_opaque(a.claims.cpu)
	some member in ["hardware", "configuration", "runtime-opaque"]
}

tpm_cpu_opaque(c) if c.policy.debug == false

tpm_cpu_opaque(c) if {
	c.td_attributes.debug == false
	c.td_attributes.under_debug == false
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "debug", "claim": "cpu",
	"what": "the CPU's evidence does not show that the host is kept out of this guest's memory",
	"next": "launch the guest without debug",
} if {
	some a in tpm_attesters
	a.tee in tpm_azure
	not tpm_cpu_opaque(claimed(a, "cpu"))
}

# A TPM by itself is a device beside the machine that it speaks of: it protects no memory, and quotes what it is told.
assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in tpm_attesters
	a.tee == "tpm"
	tpm_bare_allowed(a)
	some member in ["hardware", "configuration"]
}

tpm_bare_allowed(a) if {
	tpm_params.allow_bare == true
	a.claims.ak_rooted == true
}

# A guest that controls what its CPU reports can commit to any key, one in software too, and then sign whatever PCRs it likes.
# The CPU's word for the key counts as a TPM's only where somebody vouches that the measured build alone decides over the report data.
tpm_bare_allowed(a) if {
	a.claims.ak_trust == "cpu"
	cpus := [c | some c in input.attesters; c.tee in {"snp", "tdx"}]
	count(cpus) > 0
	every c in cpus { tpm_binding_safe(c) }
}

tpm_binding_safe(c) if {
	some s in c.endorsed["binding-safe"]
	s.value == true
}

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "bare-tpm", "claim": "ak_trust",
	"what": "nothing but a TPM vouches for this machine",
	"why": sprintf("its attestation key is trusted by %q; no CPU is known to protect its memory and to keep the guest from naming a key of its own", [said(a, "ak_trust")]),
	"next": "if a TPM is enough for your purpose, set the parameter tpm.allow_bare; a key that the CPU's report names counts where a statement endorses the build as binding-safe",
} if {
	some a in tpm_attesters
	a.tee == "tpm"
	not tpm_bare_allowed(a)
}

# ---- what booted -------------------------------------------------------------------------------------------------

# common.rego speaks of PCR 4. What code runs also depends on the others; one that is still zero was never extended.
finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "not-vouched", "claim": name,
	"what": sprintf("nobody vouches for %s %v", [name, object.get(a.claims, name, "(not quoted)")]),
	"why": "the evidence is authentic, but no statement by somebody you trust speaks of this part of what booted",
	"next": sprintf("if you know this value to be good, say --expect %s=HEX, or give a statement about it; the parameter tpm.launch_pcrs names the PCRs that count", [name]),
} if {
	some a in tpm_attesters
	some n in tpm_params.launch_pcrs
	n != 4
	name := tpm_pcr(n)
	not tpm_vouched(a, name)
}

tpm_pcr(n) := sprintf("pcr0%d", [n]) if n < 10

else := sprintf("pcr%d", [n])

tpm_vouched(a, name) if a.trail[name].accepted == true

tpm_vouched(a, name) if {
	is_string(a.claims[name])
	trim(a.claims[name], "0") == ""
}

# Said once, as not-as-expected.
tpm_vouched(a, name) if a.trail[name].nearest.kind == "local"

# ---- what the operator asks for ----------------------------------------------------------------------------------

finding contains {
	"attester": a.label, "member": "configuration", "value": 32, "code": "user-data", "claim": "user_data_bound",
	"what": "the HCL report does not show that it was made for this session",
	"why": "user-data in it is zero; the quote below it is fresh, the report may be older",
	"next": "attest with a client that writes the report data into user-data, or set the parameter tpm.allow_zero_user_data",
} if {
	not tpm_params.allow_zero_user_data
	some a in tpm_attesters
	a.tee in tpm_azure
	a.claims.user_data_bound == false
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "secure-boot",
	"what": "Secure Boot is not known to be on",
	"why": "the parameter tpm.require_secure_boot asks for it",
	"next": "boot with Secure Boot, and give the event log if the evidence carries none",
} if {
	tpm_params.require_secure_boot == true
	some a in tpm_attesters
	not tpm_secure_boot(a)
}

tpm_secure_boot(a) if a.claims.boot.secure_boot == true

tpm_secure_boot(a) if {
	a.tee in tpm_azure
	not a.claims.boot
	a.claims.vm_configuration.secure_boot == true
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "vm-unknown", "claim": "vm_configuration",
	"what": sprintf("VM %v is not in the register", [object.get(a.claims, ["vm_configuration", "vm_unique_id"], null)]),
	"why": "the parameter tpm.vm_allow lists them",
	"next": "add it if it is yours",
} if {
	count(tpm_params.vm_allow) > 0
	some a in tpm_attesters
	a.tee in tpm_azure
	not claimed(a, ["vm_configuration", "vm_unique_id"]) in tpm_params.vm_allow
}
