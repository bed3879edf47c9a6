package vtpm

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// sevAttestation brings sevsnp.Attestation of go-sev-guest into the form that the SNP driver reads: field 1 is the report
// field by field, field 2 the certificate chain (1 VCEK, 2 ASK, 3 ARK, 6 VLEK). Bytes that the firmware signed are put
// together again exactly, or the signature over them does not hold.
func sevAttestation(b []byte) (evidence.Evidence, error) {
	var ev evidence.Evidence
	err := fields("sevsnp.Attestation", b, func(num protowire.Number, _ protowire.Type, raw []byte, _ uint64) error {
		switch num {
		case 1:
			r, err := sevReport(raw)
			ev.Data = r
			return err
		case 2:
			return fields("sevsnp.CertificateChain", raw, func(num protowire.Number, _ protowire.Type, raw []byte, _ uint64) error {
				// ASK and ARK are pinned by the SNP driver.
				if (num == 1 || num == 6) && len(raw) > 0 {
					ev.Endorsements = append(ev.Endorsements, raw)
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && ev.Data == nil {
		err = fault.New(fault.Malformed, "sevsnp.Attestation without a report")
	}
	return ev, err
}

// sevField places a field of sevsnp.Report in the report of 1184 bytes (AMD 56860, ATTESTATION_REPORT).
type sevField struct {
	at, size int
	bytes    bool
}

var sevFields = map[protowire.Number]sevField{
	1: {0x000, 4, false}, 2: {0x004, 4, false}, 3: {0x008, 8, false}, 4: {0x010, 16, true}, 5: {0x020, 16, true}, 6: {0x030, 4, false},
	7: {0x034, 4, false}, 8: {0x038, 8, false}, 9: {0x040, 8, false}, 10: {0x048, 4, false}, 11: {0x050, 64, true}, 12: {0x090, 48, true},
	13: {0x0C0, 32, true}, 14: {0x0E0, 48, true}, 15: {0x110, 48, true}, 16: {0x140, 32, true}, 17: {0x160, 32, true}, 18: {0x180, 8, false},
	19: {0x1A0, 64, true}, 20: {0x1E0, 8, false}, 21: {0x1E8, 1, false}, 22: {0x1E9, 1, false}, 23: {0x1EA, 1, false}, 24: {0x1EC, 1, false},
	25: {0x1ED, 1, false}, 26: {0x1EE, 1, false}, 27: {0x1F0, 8, false}, 28: {0x2A0, 512, true},
	30: {0x1F8, 8, false}, 31: {0x200, 8, false},
}

// cpuidField is cpuid1eax_fms, CPUID leaf 1 EAX, of which the report has family, model and stepping in three bytes.
const cpuidField = 29

func sevReport(b []byte) ([]byte, error) {
	r := make([]byte, 1184)
	err := fields("sevsnp.Report", b, func(num protowire.Number, typ protowire.Type, raw []byte, v uint64) error {
		if num == cpuidField {
			family, model := v>>8&0xF, v>>4&0xF
			if family == 0xF {
				family += v >> 20 & 0xFF
			}
			r[0x188], r[0x189], r[0x18A] = byte(family), byte(model|v>>12&0xF0), byte(v&0xF)
			return nil
		}
		f, ok := sevFields[num]
		if !ok {
			return nil
		}
		if typ == protowire.Fixed64Type || typ == protowire.Fixed32Type {
			return fault.New(fault.Unsupported, "sevsnp.Report: field %d is of fixed width", num)
		}
		if f.bytes {
			if len(raw) > f.size {
				return fault.New(fault.Malformed, "sevsnp.Report: field %d has %d bytes", num, len(raw))
			}
			copy(r[f.at:], raw)
			return nil
		}
		var le [8]byte
		binary.LittleEndian.PutUint64(le[:], v)
		copy(r[f.at:f.at+f.size], le[:])
		return nil
	})
	return r, err
}

// tdxQuote is not read field by field yet: the raw quote travels beside the protobuf in practice.
func tdxQuote([]byte) ([]byte, error) {
	return nil, fault.New(fault.Unsupported, "a TDX quote inside the protobuf; give the raw quote as evidence of tdx")
}
