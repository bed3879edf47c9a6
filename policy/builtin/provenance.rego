# What is demanded of the builds of what was launched: by whom, from what, at which level, recorded where, how long ago.
# input.params.provenance holds the operator's settings (docs/policy.md). The links were verified when the statements
# were admitted; here they are only compared.
package assay

provenance_asked if input.params.provenance.required == true

provenance_asked if count(input.params.provenance.builders) > 0

provenance_asked if count(input.params.provenance.sources) > 0

provenance_asked if count(input.params.provenance.logs) > 0

provenance_asked if count(input.params.provenance.artefacts) > 0

provenance_asked if input.params.provenance.min_level > 0

provenance_asked if input.params.provenance.max_age > 0

finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "provenance", "claim": name,
	"what": sprintf("no verified build of what was launched (%s) is as this policy demands", [what]),
	"why": provenance_why(a, name),
	"next": "give the build's attestation and whom to believe about it (--provenance FILE --provenance-expect FILE), or launch what was built as demanded",
} if {
	provenance_asked
	some a in input.attesters
	name := launch_claim[a.tee]
	some what in provenance_wanted
	not provenance_met(a, name, what)
}

# One build of the firmware, of the very thing measured, or of what the statement rests on, is enough by default.
provenance_wanted contains "firmware or statement" if count(input.params.provenance.artefacts) == 0

provenance_wanted contains what if some what in input.params.provenance.artefacts

provenance_met(a, name, what) if {
	some l in provenance_links(a, name)
	provenance_about(l, what)
	provenance_good(l)
}

provenance_links(a, name) := {l |
	a.trail[name].accepted == true
	some v in a.trail[name].vouchers
	some l in v.provenance
}

provenance_about(l, what) if l.artefact == what

provenance_about(l, "firmware or statement") if l.artefact in {"firmware", "reference", "statement"}

provenance_good(l) if {
	provenance_builder(l)
	provenance_source(l)
	l.level >= input.params.provenance.min_level
	provenance_log(l)
	provenance_age(l)
}

provenance_builder(_) if count(input.params.provenance.builders) == 0

provenance_builder(l) if l.builder in input.params.provenance.builders

provenance_builder(l) if {
	some b in input.params.provenance.builders
	not contains(b, "@")
	startswith(l.builder, sprintf("%s@", [b]))
}

provenance_source(_) if count(input.params.provenance.sources) == 0

provenance_source(l) if {
	some s in input.params.provenance.sources
	provenance_repository(l.source) == provenance_repository(s)
}

provenance_repository(s) := trim_prefix(trim_prefix(s, "git+"), "https://")

provenance_log(_) if count(input.params.provenance.logs) == 0

provenance_log(l) if {
	l.log in input.params.provenance.logs
	l.log_index != ""
}

provenance_age(_) if input.params.provenance.max_age == 0

provenance_age(l) if {
	l.time >= input.time_unix - input.params.provenance.max_age
	l.time <= input.time_unix
}

provenance_why(a, name) := sprintf("%s is vouched for, but by no statement that is linked to a verified build", [name]) if {
	a.trail[name].accepted == true
	count(provenance_links(a, name)) == 0
}

else := sprintf("nobody vouches for %s, so no build can be that of it", [name]) if not a.trail[name].accepted

else := sprintf("what is known: %v", [{sprintf("%s of %s at %s by %s", [l.artefact, l.source, l.commit, l.builder]) | some l in provenance_links(a, name)}])
