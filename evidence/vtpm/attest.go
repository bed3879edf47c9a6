package vtpm

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// Constants of TPM 2.0 Library Part 2.
const (
	generatedValue = 0xFF544347 // TPM_GENERATED_VALUE: a restricted key signs it only over what the TPM made itself
	tagQuote       = 0x8018     // TPM_ST_ATTEST_QUOTE
	tagCertify     = 0x8017     // TPM_ST_ATTEST_CERTIFY
)

const (
	maxAttest     = 2 << 10 // bytes of a TPMS_ATTEST
	maxSelections = 16      // entries of a TPML_PCR_SELECTION (HASH_COUNT)
	maxBitmap     = 4       // bytes of one bitmap
	// NumPCRs is the number of PCRs of a PC Client TPM.
	NumPCRs = 24
)

// Attest is TPMS_ATTEST. Byte strings are slices of what was parsed.
type Attest struct {
	Type            uint16 // 0x8018 or 0x8017
	QualifiedSigner []byte // qualified name of the signing key
	ExtraData       []byte
	Clock           uint64 // milliseconds
	ResetCount      uint32
	RestartCount    uint32
	Safe            bool
	FirmwareVersion uint64

	Selections []Selection // of a quote
	PCRDigest  []byte      // of a quote

	Name          []byte // of a certify: name of the certified object
	QualifiedName []byte // of a certify
}

// Selection is TPMS_PCR_SELECTION: PCR n is bit n mod 8 of byte n/8.
type Selection struct {
	Hash   Hash
	Bitmap []byte
}

// IsQuote reports whether a is the signature over PCRs.
func (a *Attest) IsQuote() bool { return a.Type == tagQuote }

// ParseAttest parses a TPMS_ATTEST of type quote or certify, to its last byte. Errors are of class malformed, or
// unsupported for another type.
func ParseAttest(b []byte) (Attest, error) {
	var a Attest
	if len(b) > maxAttest {
		return a, fault.New(fault.Malformed, "TPMS_ATTEST of %d bytes; at most %d are read", len(b), maxAttest)
	}
	r := reader{b: b, what: "TPMS_ATTEST"}
	if m := r.u32(); m != generatedValue {
		r.fail(fault.Malformed, "magic is %08x, not %08x: a TPM did not make this", m, uint32(generatedValue))
	}
	a.Type = r.u16()
	a.QualifiedSigner, a.ExtraData = r.sized(), r.sized()
	a.Clock, a.ResetCount, a.RestartCount = r.u64(), r.u32(), r.u32()
	switch safe := r.u8(); safe {
	case 0, 1:
		a.Safe = safe == 1
	default:
		r.fail(fault.Malformed, "safe is %d", safe)
	}
	a.FirmwareVersion = r.u64()
	switch {
	case r.err != nil:
	case a.Type == tagQuote:
		n := r.u32()
		if n > maxSelections {
			r.fail(fault.Malformed, "%d PCR selections", n)
			break
		}
		for range n {
			s := Selection{Hash: Hash(r.u16())}
			size := r.u8()
			if size > maxBitmap {
				r.fail(fault.Malformed, "a PCR bitmap of %d bytes", size)
			}
			s.Bitmap = r.take(int(size))
			if r.err != nil {
				break
			}
			a.Selections = append(a.Selections, s)
		}
		a.PCRDigest = r.sized()
	case a.Type == tagCertify:
		a.Name, a.QualifiedName = r.sized(), r.sized()
	default:
		r.fail(fault.Unsupported, "type %04x; quotes (8018) and certifications (8017) are read", a.Type)
	}
	if err := r.end(); err != nil {
		return Attest{}, err
	}
	return a, nil
}

// Append appends the encoding of a: what ParseAttest read, byte for byte.
func (a *Attest) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, generatedValue)
	b = binary.BigEndian.AppendUint16(b, a.Type)
	b = appendSized(appendSized(b, a.QualifiedSigner), a.ExtraData)
	b = binary.BigEndian.AppendUint64(b, a.Clock)
	b = binary.BigEndian.AppendUint32(b, a.ResetCount)
	b = binary.BigEndian.AppendUint32(b, a.RestartCount)
	if a.Safe {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.BigEndian.AppendUint64(b, a.FirmwareVersion)
	if a.Type != tagQuote {
		return appendSized(appendSized(b, a.Name), a.QualifiedName)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.Selections)))
	for _, s := range a.Selections {
		b = binary.BigEndian.AppendUint16(b, uint16(s.Hash))
		b = append(append(b, uint8(len(s.Bitmap))), s.Bitmap...)
	}
	return appendSized(b, a.PCRDigest)
}
