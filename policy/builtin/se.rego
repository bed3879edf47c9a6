# IBM Secure Execution (specs ibm-se.md section 14). Stage 1 has checked the measurement against a reference header, both
# host keys against verified documents, and the user data against the binding; these rules say what else is asked.
# input.params.se holds the operator's settings (docs/policy.md).
package assay

launch_claim["se"] := "image_hdr_tags"

se_attesters := [a | some a in input.attesters; a.tee == "se"]

se_params := input.params.se

assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in se_attesters
	is_boolean(a.claims.pcf.dump_allowed)
	some member in ["configuration", "hardware", "runtime-opaque"]
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 32, "code": "dump-allowed", "claim": "pcf",
	"what": "the host may dump this guest",
	"why": "bit 34 of the plaintext control flags is set; a dump is encrypted to the owner of the image, and leaves the machine",
	"next": "build the image without it, or set the parameter se.allow_dump",
} if {
	some a in se_attesters
	a.claims.pcf.dump_allowed == true
	not se_params.allow_dump
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "components-unencrypted", "claim": "pcf",
	"what": "kernel, command line and initrd of this image are not encrypted",
	"why": "bit 35 of the plaintext control flags is set",
	"next": "build the image with its components encrypted",
} if {
	some a in se_attesters
	a.claims.pcf.components_unencrypted == true
}

finding contains {
	"attester": a.label, "member": "instance-identity", "value": 97, "code": "unknown-guest", "claim": "cuid",
	"what": sprintf("the guest %s is not one of those that are expected", [said(a, "cuid")]),
	"next": "add its configuration UID to the parameter se.cuids",
} if {
	count(se_params.cuids) > 0
	some a in se_attesters
	not claimed(a, "cuid") in se_params.cuids
}
