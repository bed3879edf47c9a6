package intel

import "encoding/binary"

// BodyType numbers the bodies of quotes as version 5 does.
type BodyType uint16

// The body types.
const (
	BodySGX   BodyType = 1
	BodyTD10  BodyType = 2
	BodyTD15  BodyType = 3
	BodyTD15X BodyType = 4
)

// Bits of TDATTRIBUTES.
const (
	TDDebug         uint64 = 1 << 0
	TDSeptVEDisable uint64 = 1 << 28
	TDMigratable    uint64 = 1 << 29
	TDPerfmon       uint64 = 1 << 63
)

// TD is a TD report body (evidence-intel.md section 4).
type TD struct {
	TEETCBSVN      [16]byte // zero: 5, 1, 2
	MRSEAM         [48]byte
	MRSignerSEAM   [48]byte
	SEAMAttributes [8]byte
	Attributes     uint64 // zero: SEPT_VE_DISABLE alone; all zero is asked for by NoAttributes
	NoAttributes   bool
	XFAM           [8]byte
	MRTD           [48]byte
	MRConfigID     [48]byte
	MROwner        [48]byte
	MROwnerConfig  [48]byte
	RTMR           [4][48]byte
	ReportData     [64]byte
	TEETCBSVN2     *[16]byte // nil: as TEETCBSVN
	MRServiceTD    [48]byte
	Extended       [237]byte // body type 4
}

// Bytes renders the body.
func (t TD) Bytes(typ BodyType) []byte {
	if t.TEETCBSVN == [16]byte{} {
		t.TEETCBSVN = [16]byte{5, 1, 2}
	}
	if t.Attributes == 0 && !t.NoAttributes {
		t.Attributes = TDSeptVEDisable
	}
	if t.XFAM == [8]byte{} {
		t.XFAM = [8]byte{0xe7, 0x42, 0x06}
	}
	b := append([]byte(nil), t.TEETCBSVN[:]...)
	b = append(b, t.MRSEAM[:]...)
	b = append(b, t.MRSignerSEAM[:]...)
	b = append(b, t.SEAMAttributes[:]...)
	b = binary.LittleEndian.AppendUint64(b, t.Attributes)
	for _, f := range [][]byte{t.XFAM[:], t.MRTD[:], t.MRConfigID[:], t.MROwner[:], t.MROwnerConfig[:], t.RTMR[0][:], t.RTMR[1][:], t.RTMR[2][:], t.RTMR[3][:], t.ReportData[:]} {
		b = append(b, f...)
	}
	if typ >= BodyTD15 {
		now := t.TEETCBSVN
		if t.TEETCBSVN2 != nil {
			now = *t.TEETCBSVN2
		}
		b = append(append(b, now[:]...), t.MRServiceTD[:]...)
	}
	if typ == BodyTD15X {
		b = append(b, t.Extended[:]...)
	}
	return b
}

// Enclave is an SGX report body (evidence-intel.md section 3), of an application or of a quoting enclave.
type Enclave struct {
	CPUSVN       [16]byte
	MiscSelect   uint32
	ISVExtProdID [16]byte
	Flags        uint64 // zero: INIT and MODE64
	XFRM         uint64 // zero: 0xe7
	MREnclave    [32]byte
	MRSigner     [32]byte
	ConfigID     [64]byte
	ISVProdID    uint16
	ISVSVN       uint16
	ConfigSVN    uint16
	ISVFamilyID  [16]byte
	ReportData   [64]byte
}

// Bits of ATTRIBUTES.FLAGS.
const (
	EnclaveInit   uint64 = 0x01
	EnclaveDebug  uint64 = 0x02
	EnclaveMode64 uint64 = 0x04
)

// Bytes renders the body.
func (e Enclave) Bytes() []byte {
	if e.Flags == 0 {
		e.Flags = EnclaveInit | EnclaveMode64
	}
	if e.XFRM == 0 {
		e.XFRM = 0xe7
	}
	b := make([]byte, 384)
	copy(b, e.CPUSVN[:])
	binary.LittleEndian.PutUint32(b[16:], e.MiscSelect)
	copy(b[32:], e.ISVExtProdID[:])
	binary.LittleEndian.PutUint64(b[48:], e.Flags)
	binary.LittleEndian.PutUint64(b[56:], e.XFRM)
	copy(b[64:], e.MREnclave[:])
	copy(b[128:], e.MRSigner[:])
	copy(b[192:], e.ConfigID[:])
	binary.LittleEndian.PutUint16(b[256:], e.ISVProdID)
	binary.LittleEndian.PutUint16(b[258:], e.ISVSVN)
	binary.LittleEndian.PutUint16(b[260:], e.ConfigSVN)
	copy(b[304:], e.ISVFamilyID[:])
	copy(b[320:], e.ReportData[:])
	return b
}
