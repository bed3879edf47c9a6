package rego

import (
	"encoding/json"
	"reflect"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Params are the operator's settings that policies read as input.params. The zero value is the strictest: nothing that
// is optional is allowed, and no floor is lower than what stage 1 demands anyway. Every member is described in
// docs/policy.md.
type Params struct {
	// AllowSimulatorUnsafe lets evidence under a simulator's root be affirmed, with the mark "simulator-root" in the
	// result. Only the insecure modes of the command line and the server set it.
	AllowSimulatorUnsafe bool `json:"allow_simulator"`
	// SNP holds the settings for AMD SEV-SNP.
	SNP SNP `json:"snp"`
	// TDX and SGX hold the settings for Intel's TEEs.
	TDX TDX `json:"tdx"`
	SGX SGX `json:"sgx"`
	// Status holds what is demanded of status statements.
	Status Status `json:"status"`
	// Provenance holds what is demanded of the builds of what was launched.
	Provenance Provenance `json:"provenance"`
	// SE holds the settings for IBM Secure Execution.
	SE SE `json:"se"`
	// TPM holds the settings for TPM quotes, also those of Azure.
	TPM TPM `json:"tpm"`
	// Oak holds the settings for Project Oak's layers.
	Oak Oak `json:"oak"`
	// Custom is handed to the operator's own policies as it is; a JSON object.
	Custom json.RawMessage `json:"custom"`
}

// SNP are the settings of builtin/snp.rego (specs evidence-snp.md section 16).
type SNP struct {
	VMPL                     []uint32 `json:"vmpl"`                       // privilege levels a report may come from; empty means 0 only
	AllowMigrationAgent      bool     `json:"allow_migration_agent"`      // a migration agent may hold the guest's keys
	AllowMaskedChipID        bool     `json:"allow_masked_chip_id"`       // CHIP_ID may read zero
	AllowProvisionalFirmware bool     `json:"allow_provisional_firmware"` // current and committed firmware may differ
	DenyVLEK                 bool     `json:"deny_vlek"`                  // only VCEK-signed reports, which prove a chip
	CSPs                     []string `json:"csps"`                       // if any: VLEK-signed reports only of these providers
	RequireCRL               bool     `json:"require_crl"`                // AMD's revocation list must have been checked

	// TCBFloor is the least TCB: product ("Milan") → which ("reported", "current", "committed", "launch") → component
	// ("bootloader", "tee", "snp", "microcode", "fmc") → least value. Once a product has a floor, products without
	// one are refused.
	TCBFloor map[string]map[string]map[string]uint8 `json:"tcb_floor"`
	// FirmwareFloor is the least firmware version of the committed firmware, per product.
	FirmwareFloor map[string]Firmware `json:"firmware_floor"`

	PolicySet     []string `json:"policy_set"`     // guest policy bits that must be 1, by name
	PolicyClear   []string `json:"policy_clear"`   // guest policy bits that must be 0
	PlatformSet   []string `json:"platform_set"`   // platform info bits that must be 1
	PlatformClear []string `json:"platform_clear"` // platform info bits that must be 0

	LaunchMitigations  uint64 `json:"launch_mitigations"`  // bits that LAUNCH_MIT_VECTOR must have
	CurrentMitigations uint64 `json:"current_mitigations"` // bits that CURRENT_MIT_VECTOR must have

	MinReportVersion uint32   `json:"min_report_version"`
	MinGuestSVN      uint32   `json:"min_guest_svn"`      // needs a trusted id key to mean anything
	ChipAllow        []string `json:"chip_allow"`         // register of the fleet: chip ids in lower-case hex
	ChipDeny         []string `json:"chip_deny"`          // withdrawn chips
	IDKeyDigests     []string `json:"id_key_digests"`     // if any: ID_KEY_DIGEST must be one of them
	AuthorKeyDigests []string `json:"author_key_digests"` // if any: AUTHOR_KEY_DIGEST must be one of them
	HostData         []string `json:"host_data"`          // if any: HOST_DATA must be one of them
}

// Oak are the settings of builtin/oak.rego.
type Oak struct {
	Skip []string `json:"skip"` // claims of layers, by name, that nobody need vouch for ("container"); never the kernel
}

// Status are the settings of builtin/status.rego: what a publisher says, for a short time, about what was launched.
type Status struct {
	MaxAge  uint64   `json:"max_age"` // seconds; if not 0, a publisher must have said "up to date" no longer ago
	Signers []string `json:"signers"` // if any: only the words of these trust anchors count as "up to date"
}

// Provenance are the settings of builtin/provenance.rego. Once one of them is set, what was launched must have a verified
// build that meets all of them.
type Provenance struct {
	Required  bool     `json:"required"`  // there must be a build, whatever it is
	Builders  []string `json:"builders"`  // if any: builder id, without "@version" any version of it
	Sources   []string `json:"sources"`   // if any: source repository
	MinLevel  uint64   `json:"min_level"` // least SLSA build level that the configuration grants the builder
	Logs      []string `json:"logs"`      // if any: the build must be recorded in one of these transparency logs
	MaxAge    uint64   `json:"max_age"`   // seconds; if not 0, somebody else must have seen the signature no longer ago
	Artefacts []string `json:"artefacts"` // what must have been built so: "firmware", "kernel", "initrd", "reference", "statement"; empty means any one of firmware, reference and statement
}

// asksMore reports whether rules of the optional file of these parameters could say anything. What is not listed has all
// its rules asked.
func (p Params) asksMore(params string) bool {
	switch params {
	case "snp":
		return p.SNP.asksMore()
	case "provenance":
		return !reflect.DeepEqual(p.Provenance, Provenance{})
	}
	return true
}

// asksMore leaves out the parameters that snp.rego itself reads; every other one that is not zero counts.
func (s SNP) asksMore() bool {
	s.VMPL, s.AllowMigrationAgent, s.AllowMaskedChipID, s.AllowProvisionalFirmware = nil, false, false, false
	return !reflect.DeepEqual(s, SNP{})
}

// TPM are the settings of builtin/vtpm.rego (specs tsm-tpm.md sections 6 and 14).
type TPM struct {
	// LaunchPCRs are the PCRs that somebody must vouch for, as far as they were extended; empty means 4, 8, 9, 11, 12:
	// boot loader, GRUB's commands and files, the parts of a UKI, and what was added to its command line.
	LaunchPCRs        []uint32 `json:"launch_pcrs"`
	AllowBare         bool     `json:"allow_bare"`           // a TPM without evidence of a CPU is enough
	AllowZeroUserData bool     `json:"allow_zero_user_data"` // Azure: the HCL report may carry no user-data
	RequireSecureBoot bool     `json:"require_secure_boot"`  // by the event log, else by what Azure's paravisor says
	VMAllow           []string `json:"vm_allow"`             // Azure: register of the fleet, by vmUniqueId
}

// Firmware is a firmware version, compared in the order major, minor, build.
type Firmware struct {
	Major uint8 `json:"major"`
	Minor uint8 `json:"minor"`
	Build uint8 `json:"build"`
}

// ParseParams reads Params from JSON. A member that nobody knows is an error: a misspelt floor must not be no floor.
func ParseParams(b []byte) (Params, error) {
	var p Params
	if err := jsonx.Unmarshal(b, &p, true); err != nil {
		return Params{}, fault.New(fault.Policy, "policy parameters: %w", err)
	}
	return p, nil
}

// term renders p once, at compile time; canonical is what the policy's id covers.
func (p Params) term() (t *ast.Term, canonical []byte, err error) {
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	if len(p.SNP.VMPL) == 0 {
		p.SNP.VMPL = []uint32{0}
	}
	if len(p.TPM.LaunchPCRs) == 0 {
		p.TPM.LaunchPCRs = []uint32{4, 8, 9, 11, 12}
	}
	if len(p.Custom) == 0 {
		p.Custom = json.RawMessage("{}")
	}
	fill(reflect.ValueOf(&p).Elem())
	b, err := json.Marshal(p)
	if err != nil {
		return nil, nil, fault.New(fault.Policy, "policy parameters: %w", err)
	}
	v, err := ast.ValueFromReader(bytesReader(b))
	if err != nil {
		return nil, nil, fault.New(fault.Policy, "policy parameters: %w", err)
	}
	return ast.NewTerm(v), b, nil
}

// fill replaces nil lists and maps by empty ones: in Rego null and [] behave differently, and a rule over several
// parameters must not become undefined because one of them was not given.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	}
}

// SE are the settings of builtin/se.rego (specs ibm-se.md section 14).
type SE struct {
	AllowDump bool     `json:"allow_dump"` // images whose guests the host may dump, encrypted to the image's owner
	CUIDs     []string `json:"cuids"`      // if any: the configuration UID must be one of them, in lower-case hex
}
