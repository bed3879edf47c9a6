# The part of the built-in policy that holds for every TEE. It fails closed: what is not asserted is not affirmed.
#
# A TEE is known when a file of its own adds it to launch_claim and asserts hardware, configuration and runtime-opaque.
# The documents are described in docs/policy.md.
package assay

# launch_claim names, per TEE, the claim that says what was launched. The file of each TEE adds its line.
# The rules of such a file speak of attesters of that TEE only; it is left out where there are none.
launch_claim[tee] := name if some tee, name in {}

# ---- what was launched -------------------------------------------------------------------------------------------

assertion contains {"attester": a.label, "member": "executables", "value": 3} if {
	some a in input.attesters
	a.trail[launch_claim[a.tee]].accepted == true
}

finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "not-vouched", "claim": name,
	"what": sprintf("nobody vouches for %s %v", [name, said(a, name)]),
	"why": "the evidence is authentic, but no statement by somebody you trust speaks of what was launched",
	"next": sprintf(
		"if you know this value to be good, say --expect %s=%v; otherwise give the statement of whoever built the image, and the key of its signer: --statement FILE --anchor KEY",
		[name, said(a, name)],
	),
} if {
	some a in input.attesters
	name := launch_claim[a.tee]
	not a.trail[name].accepted
	not a.trail[name].nearest
}

finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "not-vouched", "claim": name,
	"what": nearest_text(name, said(a, name), n),
	"why": sprintf("nearest is %s by %q: %s", [statement_name(n), n.signer, n.why]),
	"next": "compare what was launched with what was built; if the image is new, ask its builder for a statement about it",
} if {
	some a in input.attesters
	name := launch_claim[a.tee]
	not a.trail[name].accepted
	n := a.trail[name].nearest
	not expected(n, name)
}

# A finding whose text were undefined would not be made, so that evidence without the claim would be affirmed.
# What stands as an argument under "not" is evaluated before it: were it undefined, the whole rule would be. So claims that
# are compared under "not" are looked up with claimed, and null is equal to, in and at least nothing that is asked for.
claimed(a, path) := object.get(a.claims, path, null)

said(a, name) := object.get(a.claims, name, "(not in the evidence)")

nearest_text(name, value, n) := sprintf("%s %v is not what the nearest statement asks for", [name, value]) if n.what == name

else := sprintf("%s %v is in a statement, but that does not speak of this machine", [name, value])

# What the operator expected of the launch is said once, as not-as-expected.
expected(n, name) if {
	n.kind == "local"
	n.what == name
}

statement_name(s) := sprintf("statement %s", [s.id]) if s.kind != "local"

statement_name(s) := "what was given with --expect" if s.kind == "local"

# ---- what the local operator expected ----------------------------------------------------------------------------

# A value that the operator named for this run is a demand on the machine, whichever claim it is about.
finding contains object.union(consequence(a, u), {
	"attester": a.label, "code": "not-as-expected", "claim": u.what,
	"what": sprintf("%s %s is not what you expected, %s", [u.what, u.evidence, u.statement]),
	"why": "you named the value that this claim must have; what was expected together counts together",
	"next": "find out why the machine differs; it may not be the one you meant",
}) if {
	some a in input.attesters
	some u in a.unmet
}

consequence(a, u) := {"member": "executables", "value": 33} if u.what == launch_claim[a.tee]

else := {"status": "warning"}

finding contains {
	"attester": a.label, "status": "none", "code": "appraisal-ended",
	"what": sprintf("matching statements against the evidence was ended: %s", [a.failed]),
	"why": "nothing but the evidence itself was accepted",
} if {
	some a in input.attesters
	a.failed != ""
}

# ---- hardware ----------------------------------------------------------------------------------------------------

# Stage 1 has verified the chain; what is left are the vendor's words about this TCB, where a vendor speaks.
finding contains {
	"attester": a.label, "member": "hardware", "value": tcb_status_value(s), "code": "tcb-status",
	"what": sprintf("the TCB status is %s", [s.value]),
	"why": sprintf("said by %q", [s.signer]),
	"next": "update the firmware of the machine, or run on one that is up to date",
} if {
	some a in input.attesters
	some s in a.endorsed["tcb-status"]
	s.value != "UpToDate"
}

tcb_status_value(s) := 96 if s.value == "Revoked"

tcb_status_value(s) := 32 if {
	s.value in {
		"SWHardeningNeeded", "OutOfDate", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
		"OutOfDateConfigurationNeeded", "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded",
	}
}

# An unknown status hinders evaluation (AR4SI value 1).
else := 1 if s.value != "Revoked"

# ---- roots, binding, relaxations ---------------------------------------------------------------------------------

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "simulator-root",
	"what": sprintf("the root %q belongs to the simulator, not to hardware", [a.root.name]),
	"why": "a simulated machine protects nothing",
	"next": "attest a real machine; to try things out, use the insecure mode, which marks its results",
} if {
	some a in input.attesters
	simulated(a)
	not input.params.allow_simulator
}

finding contains {
	"attester": a.label, "status": "affirming", "code": "simulator-root",
	"what": sprintf("the root %q belongs to the simulator; accepted in insecure mode only", [a.root.name]),
} if {
	some a in input.attesters
	simulated(a)
	input.params.allow_simulator == true
}

simulated(a) if a.root.simulated == true

simulated(a) if "simulator-root" in a.unsafe

finding contains {
	"attester": a.label, "status": "none", "code": "unbound",
	"what": "nothing shows that this evidence is fresh, or whose it is",
	"why": "evidence has no time; only a nonce or key that was asked for and is found in it ties it to this moment",
	"next": "say what it must be bound to: --nonce HEX or --report-data HEX",
} if {
	some a in input.attesters
	not a.binding.bound
}

finding contains {
	"attester": a.label, "status": "none", "code": "unsafe",
	"what": sprintf("the relaxation %q was in force", [u]),
	"why": "what was let through by a relaxation is never affirmed",
} if {
	some a in input.attesters
	some u in a.unsafe
	not u in {"simulator-root", "unbound"}
}

finding contains {
	"attester": a.label, "status": "none", "code": "no-rules",
	"what": sprintf("this policy has no rules for evidence of %q", [a.tee]),
	"why": "authentic evidence of a kind that the policy does not know is never affirmed",
	"next": "give a policy that knows it: --policy FILE",
} if {
	some a in input.attesters
	not launch_claim[a.tee]
}

# ---- release -----------------------------------------------------------------------------------------------------

# A secret may be had by machines that are affirmed as a whole and whose evidence is bound to a key.
allow if {
	input.question.release == true
	input.verdict.status == "affirming"
	count(input.attesters) > 0
}
