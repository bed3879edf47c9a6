package dcap

import "encoding/binary"

// EnclaveReportSize is the size of an SGX report body in bytes.
const EnclaveReportSize = 384

// EnclaveReport is a view of the 384 bytes of an SGX report body (section 3): of an application enclave or of the QE.
type EnclaveReport []byte

// Bits of the first byte of ATTRIBUTES.FLAGS.
const (
	EnclaveInit         = 0x01
	EnclaveDebug        = 0x02
	EnclaveMode64       = 0x04
	EnclaveProvisionKey = 0x10
	EnclaveEInitToken   = 0x20
	EnclaveKSS          = 0x80
)

// The fields of the report; slices point into it.
func (r EnclaveReport) CPUSVN() []byte       { return r[0:16] }
func (r EnclaveReport) MiscSelect() []byte   { return r[16:20] }
func (r EnclaveReport) ISVExtProdID() []byte { return r[32:48] }
func (r EnclaveReport) Attributes() []byte   { return r[48:64] }
func (r EnclaveReport) Flags() []byte        { return r[48:56] }
func (r EnclaveReport) XFRM() []byte         { return r[56:64] }
func (r EnclaveReport) MREnclave() []byte    { return r[64:96] }
func (r EnclaveReport) MRSigner() []byte     { return r[128:160] }
func (r EnclaveReport) ConfigID() []byte     { return r[192:256] }
func (r EnclaveReport) ISVProdID() uint16    { return binary.LittleEndian.Uint16(r[256:]) }
func (r EnclaveReport) ISVSVN() uint16       { return binary.LittleEndian.Uint16(r[258:]) }
func (r EnclaveReport) ConfigSVN() uint16    { return binary.LittleEndian.Uint16(r[260:]) }
func (r EnclaveReport) ISVFamilyID() []byte  { return r[304:320] }
func (r EnclaveReport) ReportData() []byte   { return r[320:384] }

// Reserved returns the four reserved ranges.
func (r EnclaveReport) Reserved() [4][]byte {
	return [4][]byte{r[20:32], r[96:128], r[160:192], r[262:304]}
}

// Flag reports whether a bit of the first byte of ATTRIBUTES.FLAGS is set.
func (r EnclaveReport) Flag(bit byte) bool { return r[48]&bit != 0 }

// TDReport is a view of a TD report body (section 4).
type TDReport struct {
	b   []byte
	typ BodyType
}

// Bits of TDATTRIBUTES as a 64-bit number.
const (
	TDDebug         = 1 << 0
	TDUnderDebug    = 0xff // TUD group: any bit set means that the TD is not confidential
	TDSeptVEDisable = 1 << 28
	TDMigratable    = 1 << 29
	TDPKS           = 1 << 30
	TDKeyLocker     = 1 << 31
	TDPerfmon       = 1 << 63
	tdKnown         = TDUnderDebug | TDSeptVEDisable | TDMigratable | TDPKS | TDKeyLocker | TDPerfmon
)

// The fields of every TD report; slices point into it.
func (r TDReport) TEETCBSVN() [16]byte    { return [16]byte(r.b[0:16]) }
func (r TDReport) MRSEAM() []byte         { return r.b[16:64] }
func (r TDReport) MRSignerSEAM() []byte   { return r.b[64:112] }
func (r TDReport) SEAMAttributes() []byte { return r.b[112:120] }
func (r TDReport) TDAttributes() []byte   { return r.b[120:128] }
func (r TDReport) AttributeBits() uint64  { return binary.LittleEndian.Uint64(r.b[120:]) }
func (r TDReport) XFAM() []byte           { return r.b[128:136] }
func (r TDReport) MRTD() []byte           { return r.b[136:184] }
func (r TDReport) MRConfigID() []byte     { return r.b[184:232] }
func (r TDReport) MROwner() []byte        { return r.b[232:280] }
func (r TDReport) MROwnerConfig() []byte  { return r.b[280:328] }
func (r TDReport) RTMR(i int) []byte      { return r.b[328+48*i : 376+48*i] }
func (r TDReport) ReportData() []byte     { return r.b[520:584] }
func (r TDReport) UnknownBits() uint64    { return r.AttributeBits() &^ tdKnown }
func (r TDReport) HasTDX15() bool         { return r.typ >= BodyTD15 }
func (r TDReport) IsExtended() bool       { return r.typ == BodyTD15X }
func (r TDReport) TEETCBSVN2() [16]byte   { return [16]byte(r.b[584:600]) }  // type 3, 4
func (r TDReport) MRServiceTD() []byte    { return r.b[600:648] }            // type 3, 4
func (r TDReport) Extended() ExtendedPart { return ExtendedPart(r.b[648:]) } // type 4

// ModuleBytes are a copy of the fields that describe the TDX module: everything before TDATTRIBUTES and, from TDX 1.5 on,
// TEE_TCB_SVN_2.
func (r TDReport) ModuleBytes() []byte {
	out := append(make([]byte, 0, 136), r.b[:120]...)
	if r.HasTDX15() {
		out = append(out, r.b[584:600]...)
	}
	return out
}

// ExtendedPart is what a body of type 4 adds (section 4; never seen in the field).
type ExtendedPart []byte

// The fields of the extended part.
func (e ExtendedPart) VMID() byte                { return e[0] }
func (e ExtendedPart) TDID() []byte              { return e[1:33] }
func (e ExtendedPart) DeviceInfo() []byte        { return e[33:81] }
func (e ExtendedPart) InitServiceTD() []byte     { return e[81:129] }
func (e ExtendedPart) InitServiceTDAttr() []byte { return e[129:137] }
func (e ExtendedPart) InitCPUSVN() []byte        { return e[137:153] }
func (e ExtendedPart) InitTEETCBSVN() []byte     { return e[153:169] }
func (e ExtendedPart) InitFMSPC() []byte         { return e[169:181] }
func (e ExtendedPart) ServiceTD() []byte         { return e[181:229] }
func (e ExtendedPart) ServiceTDAttr() []byte     { return e[229:237] }
