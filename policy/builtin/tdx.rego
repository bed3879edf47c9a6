# Intel TDX (specs evidence-intel.md sections 4, 18 and 21): what the TD's attributes take away. TCB and platform are in
# intel.rego. input.params.tdx holds the operator's settings (docs/policy.md).
package assay

launch_claim["tdx"] := "mr_td"

tdx_attesters := [a | some a in input.attesters; a.tee == "tdx"]

tdx_params := input.params.tdx

# Configuration 2, "known and approved": approved by this policy, which looks at every attribute that takes protection
# away. Runtime-opaque 2: memory is encrypted against the host as long as no debug bit is set.
assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in tdx_attesters
	a.claims.td_attributes.debug == false
	a.claims.td_attributes.under_debug == false
	some member in ["configuration", "runtime-opaque"]
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 1, "code": "claims-missing",
	"what": "the evidence lacks a claim that this policy must see (td_attributes)",
} if {
	some a in tdx_attesters
	not tdx_complete(claimed(a, "td_attributes"))
}

tdx_complete(t) if {
	every name in ["debug", "under_debug", "septve_disable", "migratable", "perfmon"] { is_boolean(t[name]) }
	is_number(t.unknown_bits)
}

finding contains {
	"attester": a.label, "member": member, "value": 96, "code": "debug", "claim": "td_attributes",
	"what": "this is a debug TD: the host can read and change its memory",
	"why": "a bit in the group \"TD under debug\" of TDATTRIBUTES is set; MRTD does not show it",
	"next": "launch the TD without debug",
} if {
	some a in tdx_attesters
	a.claims.td_attributes.under_debug != false
	some member in ["configuration", "runtime-opaque"]
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": code, "claim": "td_attributes",
	"what": what, "why": why, "next": sprintf("launch the TD with another attribute, or set the parameter tdx.%s", [param]),
} if {
	some [name, bad, param, code, what, why] in [
		[
			"septve_disable", false, "allow_sept_ve", "sept-ve", "the host may inject #VE exceptions on the TD's pages",
			"bit 28 (SEPT_VE_DISABLE) of TDATTRIBUTES is clear",
		],
		[
			"migratable", true, "allow_migratable", "migratable", "a migration TD may move this TD to another machine",
			"bit 29 (MIGRATABLE) of TDATTRIBUTES is set",
		],
		[
			"perfmon", true, "allow_perfmon", "perfmon", "the TD uses performance counters, which are a side channel",
			"bit 63 (PERFMON) of TDATTRIBUTES is set",
		],
	]
	not tdx_params[param]
	some a in tdx_attesters
	a.claims.td_attributes[name] == bad
}

# Bits that nobody here knows may affect security (section 4).
finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "attributes-unknown", "claim": "td_attributes",
	"what": sprintf("TDATTRIBUTES %v has bits that are not known here", [object.get(a.claims, ["td_attributes", "raw"], "(not in the evidence)")]),
	"next": "find out what they mean; to let them pass, set the parameter tdx.allow_unknown_attributes",
} if {
	not tdx_params.allow_unknown_attributes
	some a in tdx_attesters
	a.claims.td_attributes.unknown_bits != 0
}

# common.rego speaks of MRTD, which is the firmware; what it loaded is in the RTMRs. One that is zero was never extended.
finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "not-vouched", "claim": "rtmr",
	"what": sprintf("nobody vouches for RTMR%d %v", [n, object.get(a.claims, sprintf("rtmr_%d", [n]), "(absent)")]),
	"why": "the parameter tdx.launch_rtmrs names it, and no statement by somebody you trust speaks of this part of what booted",
	"next": sprintf("if you know this value to be good, say --expect rtmr_%d=HEX, or give a statement about it", [n]),
} if {
	some n in tdx_params.launch_rtmrs
	some a in tdx_attesters
	not tdx_rtmr_vouched(a, n)
}

tdx_rtmr_vouched(a, n) if sprintf("%d", [n]) in a.trail.rtmr.registers

tdx_rtmr_vouched(a, n) if {
	v := a.claims[sprintf("rtmr_%d", [n])]
	is_string(v)
	trim(v, "0") == ""
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "service-td", "claim": "mr_servicetd",
	"what": "a service TD is bound to this TD and can act on it",
	"why": sprintf("MRSERVICETD is %v; it is zero without one", [m]),
	"next": "launch without a service TD; if you trust it, list its value in the parameter tdx.service_tds",
} if {
	some a in tdx_attesters
	m := a.claims.mr_servicetd
	trim_left(m, "0") != ""
	not m in tdx_params.service_tds
}

# Components are compared one by one; the operator's floor is 16 bytes in hex, in the order of TEE_TCB_SVN.
finding contains {
	"attester": a.label, "member": "hardware", "value": 32, "code": "tee-tcb-svn", "claim": "tee_tcb_svn",
	"what": sprintf("TEE_TCB_SVN is %v, at least %s is wanted in each byte", [said(a, "tee_tcb_svn"), floor]),
	"why": "the parameter tdx.min_tee_tcb_svn asks for it",
	"next": "update the TDX module of the machine, and launch the TD again",
} if {
	floor := lower(tdx_params.min_tee_tcb_svn)
	floor != ""
	some a in tdx_attesters
	not tdx_at_least(claimed(a, "tee_tcb_svn"), floor)
}

# Two hexadecimal digits of equal length compare as their numbers.
tdx_at_least(have, want) if {
	is_string(have)
	count(have) == 32
	count(want) == 32
	every i in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] { substring(have, i * 2, 2) >= substring(want, i * 2, 2) }
}
