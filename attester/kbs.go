package attester

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"slices"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// snpReportSize is the length of an ATTESTATION_REPORT in bytes.
const snpReportSize = 1184

// KBSEvidence renders ev as the primary_evidence that Trustee's guests send to a KBS (kbs-evidence.md). For SNP that is
// {"attestation_report": {…}, "cert_chain": null | […]} in the shape of the sev library since 6.3 (section 2.1, shape
// C), for TDX {"quote": "…", "cc_eventlog": null | "…"} (section 3), for SGX {"quote": "…"} (section 4). Evidence of
// another TEE is class unsupported; a report that this form cannot carry, one with reserved bytes set, is class malformed.
func KBSEvidence(ev evidence.Evidence) (json.RawMessage, error) {
	switch ev.TEE {
	case "snp":
		return kbsSNPEvidence(ev)
	case "tdx":
		return marshalKBS(struct {
			Quote []byte `json:"quote"`       // encoding/json writes bytes as base64 with padding
			Log   []byte `json:"cc_eventlog"` // nil is null
		}{ev.Data, ev.EventLog})
	case "sgx":
		return marshalKBS(struct {
			Quote []byte `json:"quote"`
		}{ev.Data})
	}
	return nil, fault.New(fault.Unsupported, "evidence of TEE %q cannot be sent to a KBS yet", ev.TEE)
}

func marshalKBS[T any](v T) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	return b, nil
}

func kbsSNPEvidence(ev evidence.Evidence) (json.RawMessage, error) {
	out := kbsSNP{}
	var err error
	if out.Report, err = kbsReportOf(ev.Data); err != nil {
		return nil, err
	}
	if out.Certs, err = kbsCerts(ev.Aux); err != nil {
		return nil, err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	return b, nil
}

// kbsQuote renders a TDX or SGX quote (kbs-evidence.md sections 3 and 4).
func kbsQuote(ev evidence.Evidence) (json.RawMessage, error) {
	type sgx struct {
		Quote []byte `json:"quote"` // base64
	}
	type tdx struct {
		Quote    []byte  `json:"quote"`
		EventLog *[]byte `json:"cc_eventlog"` // base64, or null
	}
	var b []byte
	var err error
	if ev.TEE == "sgx" {
		b, err = json.Marshal(sgx{ev.Data})
	} else {
		out := tdx{Quote: ev.Data}
		if ev.EventLog != nil {
			out.EventLog = &ev.EventLog
		}
		b, err = json.Marshal(out)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	return b, nil
}

type kbsSNP struct {
	Report *kbsReport `json:"attestation_report"`
	Certs  []kbsCert  `json:"cert_chain"` // nil is null: "find it"
}

// kbsBytes is a JSON array of integers, as serde writes bytes.
type kbsBytes []byte

// MarshalJSON implements json.Marshaler.
func (b kbsBytes) MarshalJSON() ([]byte, error) {
	n := make([]uint16, len(b)) // not []uint8, which encoding/json writes as base64
	for i, v := range b {
		n[i] = uint16(v)
	}
	return json.Marshal(n)
}

type kbsTCB struct {
	FMC        *uint8 `json:"fmc"`
	Bootloader uint8  `json:"bootloader"`
	TEE        uint8  `json:"tee"`
	SNP        uint8  `json:"snp"`
	Microcode  uint8  `json:"microcode"`
}

type kbsVersion struct {
	Major uint8 `json:"major"`
	Minor uint8 `json:"minor"`
	Build uint8 `json:"build"`
}

type kbsReport struct {
	Version         uint32     `json:"version"`
	GuestSVN        uint32     `json:"guest_svn"`
	Policy          uint64     `json:"policy"`
	FamilyID        kbsBytes   `json:"family_id"`
	ImageID         kbsBytes   `json:"image_id"`
	VMPL            uint32     `json:"vmpl"`
	SigAlgo         uint32     `json:"sig_algo"`
	CurrentTCB      kbsTCB     `json:"current_tcb"`
	PlatInfo        uint64     `json:"plat_info"`
	KeyInfo         uint32     `json:"key_info"`
	ReportData      kbsBytes   `json:"report_data"`
	Measurement     kbsBytes   `json:"measurement"`
	HostData        kbsBytes   `json:"host_data"`
	IDKeyDigest     kbsBytes   `json:"id_key_digest"`
	AuthorKeyDigest kbsBytes   `json:"author_key_digest"`
	ReportID        kbsBytes   `json:"report_id"`
	ReportIDMA      kbsBytes   `json:"report_id_ma"`
	ReportedTCB     kbsTCB     `json:"reported_tcb"`
	FamID           *uint8     `json:"cpuid_fam_id"`
	ModID           *uint8     `json:"cpuid_mod_id"`
	Step            *uint8     `json:"cpuid_step"`
	ChipID          kbsBytes   `json:"chip_id"`
	CommittedTCB    kbsTCB     `json:"committed_tcb"`
	Current         kbsVersion `json:"current"`
	Committed       kbsVersion `json:"committed"`
	LaunchTCB       kbsTCB     `json:"launch_tcb"`
	LaunchMit       *uint64    `json:"launch_mit_vector"`
	CurrentMit      *uint64    `json:"current_mit_vector"`
	Signature       struct {
		R kbsBytes `json:"r"`
		S kbsBytes `json:"s"`
	} `json:"signature"`
}

// kbsReportOf takes a report apart. Bytes without a member of their own must be zero, since they would be lost.
func kbsReportOf(b []byte) (*kbsReport, error) {
	if len(b) != snpReportSize {
		return nil, fault.New(fault.Malformed, "an SNP report has %d bytes, not %d", snpReportSize, len(b))
	}
	le := binary.LittleEndian
	turin := turinLayout(b)
	zero := [][2]int{{0x04C, 0x050}, {0x18B, 0x1A0}, {0x1EB, 0x1EC}, {0x1EF, 0x1F0}, {0x208, 0x2A0}, {0x330, snpReportSize}}
	for _, t := range []int{0x038, 0x180, 0x1E0, 0x1F0} {
		if turin {
			zero = append(zero, [2]int{t + 4, t + 7})
		} else {
			zero = append(zero, [2]int{t + 2, t + 6})
		}
	}
	r := &kbsReport{
		Version: le.Uint32(b), GuestSVN: le.Uint32(b[0x004:]), Policy: le.Uint64(b[0x008:]), FamilyID: b[0x010:0x020], ImageID: b[0x020:0x030],
		VMPL: le.Uint32(b[0x030:]), SigAlgo: le.Uint32(b[0x034:]), CurrentTCB: kbsTCBOf(b[0x038:], turin), PlatInfo: le.Uint64(b[0x040:]),
		KeyInfo: le.Uint32(b[0x048:]), ReportData: b[0x050:0x090], Measurement: b[0x090:0x0C0], HostData: b[0x0C0:0x0E0],
		IDKeyDigest: b[0x0E0:0x110], AuthorKeyDigest: b[0x110:0x140], ReportID: b[0x140:0x160], ReportIDMA: b[0x160:0x180],
		ReportedTCB: kbsTCBOf(b[0x180:], turin), ChipID: b[0x1A0:0x1E0], CommittedTCB: kbsTCBOf(b[0x1E0:], turin),
		Current: kbsVersion{b[0x1EA], b[0x1E9], b[0x1E8]}, Committed: kbsVersion{b[0x1EE], b[0x1ED], b[0x1EC]}, LaunchTCB: kbsTCBOf(b[0x1F0:], turin),
	}
	r.Signature.R, r.Signature.S = b[0x2A0:0x2E8], b[0x2E8:0x330]
	if r.Version >= 3 {
		r.FamID, r.ModID, r.Step = &b[0x188], &b[0x189], &b[0x18A]
	} else {
		zero = append(zero, [2]int{0x188, 0x18B})
	}
	if r.Version >= 5 {
		launch, current := le.Uint64(b[0x1F8:]), le.Uint64(b[0x200:])
		r.LaunchMit, r.CurrentMit = &launch, &current
	} else {
		zero = append(zero, [2]int{0x1F8, 0x208})
	}
	for _, z := range zero {
		if i := slices.IndexFunc(b[z[0]:z[1]], func(v byte) bool { return v != 0 }); i >= 0 {
			return nil, fault.New(fault.Malformed, "byte %#x of the report is reserved and must be zero; the KBS's form cannot carry it", z[0]+i)
		}
	}
	return r, nil
}

// turinLayout tells the layout of TCB_VERSION as Trustee's clients do: by CPUID family; in version 2, which has none,
// by a chip id of eight bytes.
func turinLayout(b []byte) bool {
	if binary.LittleEndian.Uint32(b) >= 3 {
		return b[0x188] == 0x1A
	}
	id := b[0x1A0:0x1E0]
	return !bytes.Equal(id[:8], make([]byte, 8)) && bytes.Equal(id[8:], make([]byte, 56))
}

func kbsTCBOf(b []byte, turin bool) kbsTCB {
	if turin {
		return kbsTCB{FMC: &b[0], Bootloader: b[1], TEE: b[2], SNP: b[3], Microcode: b[7]}
	}
	return kbsTCB{Bootloader: b[0], TEE: b[1], SNP: b[6], Microcode: b[7]}
}

// kbsCert is an entry of cert_chain. Type is a string, or {"OTHER": uuid} for what the library does not know.
type kbsCert struct {
	Type json.RawMessage `json:"cert_type"`
	Data kbsBytes        `json:"data"`
}

func kbsCerts(aux []byte) ([]kbsCert, error) {
	entries, err := certTable(aux)
	if err != nil {
		return nil, err
	}
	var out []kbsCert
	for _, e := range entries {
		t, err := json.Marshal(e.typeName())
		if err != nil {
			return nil, fault.New(fault.Internal, "certificate type: %w", err)
		}
		if e.typeName() == "" {
			if t, err = json.Marshal(map[string]string{"OTHER": e.uuid()}); err != nil {
				return nil, fault.New(fault.Internal, "certificate type: %w", err)
			}
		}
		data := e.data
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes // the table of some hosts holds PEM, the KBS's form DER
		}
		out = append(out, kbsCert{Type: t, Data: data})
	}
	return out, nil
}
