package simulator

import (
	"encoding/binary"
	"encoding/json"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Shape is a generation of Trustee's guests, by the JSON that they send (kbs-evidence.md section 2.1).
type Shape byte

// The shapes.
const (
	ShapeA Shape = 'A' // sev 1.2 to 5.0
	ShapeB Shape = 'B' // sev 6.0 to 6.2: without mitigation vectors
	ShapeC Shape = 'C' // sev 6.3 and later
)

// TrusteeJSON renders evidence of a report, with its certificate table in Aux, as guests of that shape send it.
func TrusteeJSON(shape Shape, ev evidence.Evidence) ([]byte, error) {
	now, err := attester.KBSEvidence(ev)
	if err != nil || shape == ShapeC {
		return now, err
	}
	var o struct {
		Report map[string]json.RawMessage `json:"attestation_report"`
		Certs  json.RawMessage            `json:"cert_chain"`
	}
	if err := json.Unmarshal(now, &o); err != nil {
		return nil, fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	delete(o.Report, "launch_mit_vector")
	delete(o.Report, "current_mit_vector")
	switch shape {
	case ShapeB:
	case ShapeA:
		if err := shapeA(o.Report, ev.Data); err != nil {
			return nil, err
		}
	default:
		return nil, fault.New(fault.Usage, "there is no shape %q", rune(shape))
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	return b, nil
}

// shapeA turns the members that were renamed since back into the old ones.
func shapeA(o map[string]json.RawMessage, report []byte) error {
	if turin := report[0x188] == 0x1A; turin {
		return fault.New(fault.Unsupported, "guests of shape A know no Turin")
	}
	put := func(name string, v json.Marshaler, err *error) {
		if b, e := v.MarshalJSON(); e != nil {
			*err = e
		} else {
			o[name] = b
		}
	}
	var err error
	for name, at := range map[string]int{"current_tcb": 0x038, "reported_tcb": 0x180, "committed_tcb": 0x1E0, "launch_tcb": 0x1F0} {
		t := report[at:]
		put(name, object{"bootloader": number(t[0]), "tee": number(t[1]), "_reserved": octets(t[2:6]), "snp": number(t[6]), "microcode": number(t[7])}, &err)
	}
	for name, r := range map[string][2]int{"_reserved_1": {0x188, 0x1A0}, "_reserved_4": {0x1F8, signedSize}} {
		put(name, octets(report[r[0]:r[1]]), &err)
	}
	for name, at := range map[string]int{"current_build": 0x1E8, "current_minor": 0x1E9, "current_major": 0x1EA, "_reserved_2": 0x1EB,
		"committed_build": 0x1EC, "committed_minor": 0x1ED, "committed_major": 0x1EE, "_reserved_3": 0x1EF} {
		put(name, number(report[at]), &err)
	}
	put("_author_key_en", number(binary.LittleEndian.Uint32(report[0x048:])), &err)
	put("_reserved_0", number(binary.LittleEndian.Uint32(report[0x04C:])), &err)
	put("signature", object{"r": octets(report[0x2A0:0x2E8]), "s": octets(report[0x2E8:0x330]), "_reserved": octets(report[0x330:])}, &err)
	for _, name := range []string{"key_info", "cpuid_fam_id", "cpuid_mod_id", "cpuid_step", "current", "committed"} {
		delete(o, name)
	}
	if err != nil {
		return fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	return nil
}

type (
	number uint32
	octets []byte
	object map[string]json.Marshaler
)

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) { return json.Marshal(uint32(n)) }

// MarshalJSON writes an array of integers.
func (b octets) MarshalJSON() ([]byte, error) {
	n := make([]uint16, len(b))
	for i, v := range b {
		n[i] = uint16(v)
	}
	return json.Marshal(n)
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]json.Marshaler(o)) }

// AproxyJSON renders evidence as COCONUT-SVSM's aproxy sends it.
func AproxyJSON(ev evidence.Evidence) ([]byte, error) {
	o := struct {
		Report []byte `json:"snp-report"`
		Certs  []byte `json:"certs-buf"` // nil is null
	}{ev.Data, ev.Aux}
	if len(o.Certs) == 0 {
		o.Certs = nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fault.New(fault.Internal, "evidence as JSON: %w", err)
	}
	return b, nil
}
