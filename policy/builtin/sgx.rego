# Intel SGX (specs evidence-intel.md sections 3, 18 and 21): what the enclave's attributes take away. TCB and platform are
# in intel.rego. input.params.sgx holds the operator's settings (docs/policy.md).
package assay

launch_claim["sgx"] := "mr_enclave"

sgx_attesters := [a | some a in input.attesters; a.tee == "sgx"]

sgx_params := input.params.sgx

# Configuration 2 and runtime-opaque 2: the enclave's memory is closed to the host unless it is a debug enclave.
assertion contains {"attester": a.label, "member": member, "value": 2} if {
	some a in sgx_attesters
	a.claims.attributes.debug == false
	some member in ["configuration", "runtime-opaque"]
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 1, "code": "claims-missing",
	"what": "the evidence lacks a claim that this policy must see (attributes)",
} if {
	some a in sgx_attesters
	not sgx_complete(claimed(a, "attributes"))
}

sgx_complete(t) if {
	every name in ["debug", "init", "provision_key", "einittoken_key"] { is_boolean(t[name]) }
}

finding contains {
	"attester": a.label, "member": member, "value": 96, "code": "debug", "claim": "attributes",
	"what": "this is a debug enclave: the host can read and change its memory",
	"why": "DEBUG is set in ATTRIBUTES; MRENCLAVE does not show it",
	"next": "launch the enclave without debug",
} if {
	some a in sgx_attesters
	a.claims.attributes.debug != false
	some member in ["configuration", "runtime-opaque"]
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "not-initialised", "claim": "attributes",
	"what": "the enclave was not initialised",
} if {
	some a in sgx_attesters
	a.claims.attributes.init != true
}

finding contains {
	"attester": a.label, "member": "configuration", "value": 96, "code": "privileged-enclave", "claim": "attributes",
	"what": sprintf("the enclave has %s", [name]),
	"why": "this key is for Intel's own enclaves: it identifies the platform, or admits others",
	"next": "launch another enclave, or set the parameter sgx.allow_privileged_keys",
} if {
	not sgx_params.allow_privileged_keys
	some name in ["provision_key", "einittoken_key"]
	some a in sgx_attesters
	a.claims.attributes[name] != false
}

finding contains {
	"attester": a.label, "member": "executables", "value": 33, "code": "isv-svn", "claim": "isv_svn",
	"what": sprintf("the enclave has security version %v, at least %d is wanted", [said(a, "isv_svn"), sgx_params.min_isv_svn]),
	"next": "launch a newer enclave",
} if {
	sgx_params.min_isv_svn > 0
	some a in sgx_attesters
	not claimed(a, "isv_svn") >= sgx_params.min_isv_svn
}

finding contains {
	"attester": a.label, "member": "executables", "value": 96, "code": "isv-prod-id", "claim": "isv_prod_id",
	"what": sprintf("the enclave is product %v of its signer", [said(a, "isv_prod_id")]),
	"why": "the parameter sgx.isv_prod_ids lists those allowed",
} if {
	count(sgx_params.isv_prod_ids) > 0
	some a in sgx_attesters
	not claimed(a, "isv_prod_id") in sgx_params.isv_prod_ids
}
