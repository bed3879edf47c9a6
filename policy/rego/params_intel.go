package rego

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// Intel are the settings that TDX and SGX share (specs evidence-intel.md sections 18 and 21).
type Intel struct {
	AcceptedTCBStatus  []string `json:"accepted_tcb_status"`   // statuses besides UpToDate; never Revoked
	AllowedAdvisories  []string `json:"allowed_advisories"`    // with an accepted status, every advisory must be here
	RejectedAdvisories []string `json:"rejected_advisories"`   // with any status
	MinEvaluationNum   uint64   `json:"min_evaluation_number"` // least tcbEvaluationDataNumber of TCBInfo and identity
	MinTCBDate         string   `json:"min_tcb_date"`          // RFC 3339; least tcbDate of the level met

	DenyDynamicPlatform bool `json:"deny_dynamic_platform"`
	DenyCachedKeys      bool `json:"deny_cached_keys"`
	DenySMT             bool `json:"deny_smt_enabled"`

	FMSPCAllow    []string `json:"fmspc_allow"`    // if any: only platforms of these FMSPCs
	PlatformAllow []string `json:"platform_allow"` // register of the fleet: platform instance ids, or PPIDs, in lower-case hex
	PlatformDeny  []string `json:"platform_deny"`  // withdrawn platforms
}

// TDX are the settings of builtin/tdx.rego and intel.rego.
type TDX struct {
	Intel
	// LaunchRTMRs are the RTMRs that somebody must vouch for, as far as they were extended. MRTD covers the firmware alone:
	// kernel, command line and initrd are in 1 and 2. Empty means that MRTD is enough.
	LaunchRTMRs            []uint32 `json:"launch_rtmrs"`
	AllowSEPTVE            bool     `json:"allow_sept_ve"`            // SEPT_VE_DISABLE may be clear (Azure)
	AllowMigratable        bool     `json:"allow_migratable"`         // a migration TD may move the TD
	AllowPerfmon           bool     `json:"allow_perfmon"`            // performance counters
	AllowUnknownAttributes bool     `json:"allow_unknown_attributes"` // bits that are not known here
	ServiceTDs             []string `json:"service_tds"`              // MRSERVICETD values that are trusted
	MinTEETCBSVN           string   `json:"min_tee_tcb_svn"`          // 16 bytes in hex: least value of each byte
	MRSEAM                 []string `json:"mr_seam"`                  // if any: MRSEAM must be one of them
	XFAM                   []string `json:"xfam"`
	MRConfigID             []string `json:"mr_config_id"`
	MROwner                []string `json:"mr_owner"`
	MROwnerConfig          []string `json:"mr_owner_config"`
}

// SGX are the settings of builtin/sgx.rego and intel.rego.
type SGX struct {
	Intel
	AllowPrivilegedKeys bool     `json:"allow_privileged_keys"` // PROVISIONKEY, EINITTOKENKEY
	MinISVSVN           uint16   `json:"min_isv_svn"`
	ISVProdIDs          []uint16 `json:"isv_prod_ids"`
	MRSigner            []string `json:"mr_signer"` // if any: MRSIGNER must be one of them
	ConfigID            []string `json:"config_id"`
	ISVFamilyID         []string `json:"isv_family_id"`
	ISVExtProdID        []string `json:"isv_ext_prod_id"`
}

// check refuses settings that could not be compared with anything: a misspelt floor must not be no floor, nor fail later.
func (p *Params) check() error {
	for name, i := range map[string]Intel{"tdx": p.TDX.Intel, "sgx": p.SGX.Intel} {
		if _, err := time.Parse(time.RFC3339, i.MinTCBDate); i.MinTCBDate != "" && err != nil {
			return fault.New(fault.Policy, "policy parameters: %s.min_tcb_date %q is not a time such as 2024-03-13T00:00:00Z", name, i.MinTCBDate)
		}
		if slices.Contains(i.AcceptedTCBStatus, "Revoked") {
			return fault.New(fault.Policy, "policy parameters: %s.accepted_tcb_status: a revoked TCB cannot be accepted", name)
		}
	}
	if b, err := hex.DecodeString(p.TDX.MinTEETCBSVN); p.TDX.MinTEETCBSVN != "" && (err != nil || len(b) != 16) {
		return fault.New(fault.Policy, "policy parameters: tdx.min_tee_tcb_svn is not 16 bytes in hex")
	}
	return nil
}
