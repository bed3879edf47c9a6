# What publishers say, for a short time, about what was launched (status statements): good news may be demanded, bad
# news always counts. input.params.status holds the operator's settings (docs/policy.md).
package assay

finding contains {
	"attester": a.label, "member": "executables", "value": 32, "code": "subject-to",
	"what": sprintf("what was launched is subject to %s", [s.value]),
	"why": sprintf("said by %q", [s.signer]),
	"next": "move to an image that its publisher calls up to date",
} if {
	some a in input.attesters
	some s in a.endorsed["status.subject-to"]
}

finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "fleet-floor",
	"what": "the machine is below the level that the fleet has reached",
	"why": sprintf("said by %q", [s.signer]),
	"next": "update the firmware of the machine",
} if {
	some a in input.attesters
	some s in a.endorsed["status.fleet-floor"]
	s.value != "met"
}

finding contains {
	"attester": a.label, "status": "none", "code": "status-age",
	"what": sprintf("nobody has called this up to date within %d seconds", [input.params.status.max_age]),
	"why": "this policy demands that a publisher says so, and often",
	"next": "give a newer status statement of the publisher, and the trust anchor of its signer",
} if {
	some a in input.attesters
	input.params.status.max_age > 0
	not recent_status(a)
}

recent_status(a) if {
	some s in a.endorsed["status.up-to-date-as-of"]
	status_signer(s)
	s.value >= input.time_unix - input.params.status.max_age
	s.value <= input.time_unix
}

status_signer(_) if count(input.params.status.signers) == 0

status_signer(s) if s.anchor in input.params.status.signers
