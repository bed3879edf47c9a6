# Project Oak (specs oak.md): DICE layers under an SNP report or TDX quote. The root is an attester of its own, the part
# "root", and is judged by the rules of its TEE; this file judges the layers above it.
package assay

launch_claim["oak"] := "kernel" if {
	some a in input.attesters
	a.tee == "oak"
	a.claims.kernel
}

else := "event_0"

oak_attesters := [a | some a in input.attesters; a.tee == "oak"]

# The hardware under it is what the part "root" says; configuration and runtime-opaque rest on it, so they are asserted
# where such a part was authenticated with the evidence. Unsafe roots have no such part.
assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in oak_attesters
	a.claims.platform in {"AMD_SEV_SNP", "INTEL_TDX"}
	not oak_rootless(a)
	some member in ["hardware", "configuration", "runtime-opaque"]
}

oak_rootless(a) if "oak-no-root" in a.unsafe

oak_rootless(a) if "oak-software-root" in a.unsafe

# What each layer measured must be vouched for: an unvouched layer below a vouched one could do anything in its name.
finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "layer-not-vouched", "claim": name,
	"what": sprintf("nobody vouches for %s %v", [name, said(a, name)]),
	"why": "each layer decides what the next one is; one that nobody vouches for makes all above it worthless",
	"next": sprintf("say --expect %s=HEX, or --expect %s=HEX for the whole event, or give a statement about it", [name, event]),
} if {
	some a in oak_attesters
	some [name, event] in oak_executables
	name != launch_claim.oak
	not oak_skipped(name)
	a.claims[name]
	not oak_vouched(a, name, event)
}

# A statement about the whole event speaks of everything in it.
oak_vouched(a, name, _) if a.trail[name].accepted == true

oak_vouched(a, _, event) if a.trail[event].accepted == true

# The command line and its digest say the same.
oak_vouched(a, name, _) if {
	name in oak_cmdline
	some other in oak_cmdline
	a.trail[other].accepted == true
}

oak_cmdline := ["kernel_cmdline", "kernel_cmdline_digest"]

oak_executables := [
	["initrd", "event_0"], ["kernel_setup_data", "event_0"], ["kernel_cmdline_digest", "event_0"],
	["system_image", "event_1"], ["container", "event_2"], ["application", "event_1"],
]

# What CB's readable events measured, wherever they stand.
finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "layer-not-vouched", "claim": name,
	"what": sprintf("nobody vouches for %s %v", [name, said(a, name)]),
	"why": "each layer decides what the next one is; one that nobody vouches for makes all above it worthless",
	"next": sprintf("say --expect %s=HEX, or --expect event_%d=HEX for the whole event, or give a statement about it", [name, i]),
} if {
	some a in oak_attesters
	some type, names in oak_cb_executables
	some i, event in a.claims.events
	event.type == type
	some name in names
	a.claims[name]
	not oak_vouched(a, name, sprintf("event_%d", [i]))
}

oak_cb_executables := {
	"oak.attestation.v1.CbLayer1TransparentEvent": ["runtime_agent", "runtime_agent_binary", "userspace"],
	"oak.attestation.v1.BinaryArgvRegexMeasurement": ["argv_binary"],
}

# CB's events are opaque: nothing but the digest of the event says what is in it.
finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "layer-not-vouched", "claim": name,
	"what": sprintf("nobody vouches for %s %v, of type %s", [name, said(a, name), event.type]),
	"why": "what the event says is not public; only its digest can be compared",
	"next": sprintf("say --expect %s=HEX, or give a statement about it", [name]),
} if {
	some a in oak_attesters
	a.claims.shape == "cb"
	some i, event in a.claims.events
	name := sprintf("event_%d", [i])
	name != launch_claim.oak
	not oak_skipped(name)
	not a.trail[name].accepted
	not oak_readable(event.type)
	not oak_cb_executables[event.type]
}

# A name of Oak's that is not known here is as opaque as any other. Events that hold keys alone differ with each start.
oak_readable(type) if type in {sprintf("oak.attestation.v1.%s", [n]) | some n in [
	"Stage0Measurements", "Stage0TransparentMeasurements", "SystemLayerData", "Stage1Measurements", "ContainerLayerData",
	"OrchestratorMeasurements", "ApplicationLayerData", "SessionBindingPublicKeyData", "ApplicationKeysData",
]}

# Machine shape and configuration are values that a relying party may expect; they are told, and hold nothing up.
finding contains {
	"attester": a.label, "status": "affirming", "code": "layer-skipped", "claim": name,
	"what": sprintf("nobody vouches for %s %v; this policy does not ask for it", [name, said(a, name)]),
	"why": "it depends on the shape of the machine or on its configuration",
} if {
	some a in oak_attesters
	some name in oak_untold
	a.claims[name]
	not a.trail[name].accepted
}

oak_skipped(name) if name in input.params.oak.skip

oak_skipped("kernel_cmdline_digest") if "kernel_cmdline" in input.params.oak.skip

# What the operator skips stands among the remarks too.
oak_untold := {"memory_map", "acpi", "container_config", "application_config"} | {n | some n in input.params.oak.skip}

finding contains {
	"attester": a.label, "status": "affirming", "code": "aad-none",
	"what": "the signatures of the DICE certificates do not cover what each is for",
	"why": "that is how all published versions of Oak sign; the place in the evidence tells a layer's certificate from an application's",
} if {
	some a in oak_attesters
	a.claims.certificate_aad in {"none", "mixed"}
}
