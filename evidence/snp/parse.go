package snp

import (
	"encoding/binary"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// ReportSize is the length of ATTESTATION_REPORT in bytes.
const ReportSize = 0x4A0

// signedSize is the length in bytes of the part that the signature covers.
const signedSize = 0x2A0

// The report versions whose layout is known. Version 4 reads like 3; a higher one is never read with an old layout.
const (
	minVersion = 2
	maxVersion = 5
)

// HostVMPL is the VMPL of a report that the host asked for.
const HostVMPL = 0xFFFFFFFF

// Report is ATTESTATION_REPORT (AMD 56860, table 23; specs evidence-snp.md section 2). Integers are decoded, everything
// else is as in the report. What a version does not have is zero.
type Report struct {
	Version          uint32
	GuestSVN         uint32
	Policy           Policy
	FamilyID         [16]byte
	ImageID          [16]byte
	VMPL             uint32 // 0 to 3, or HostVMPL
	SignatureAlgo    uint32 // 1: ECDSA P-384 with SHA-384
	CurrentTCB       TCB
	PlatformInfo     PlatformInfo
	KeyInfo          KeyInfo
	ReportData       [64]byte
	Measurement      [48]byte
	HostData         [32]byte
	IDKeyDigest      [48]byte
	AuthorKeyDigest  [48]byte
	ReportID         [32]byte
	ReportIDMA       [32]byte
	ReportedTCB      TCB
	CPUID            CPUID // version 3 and later
	ChipID           [64]byte
	CommittedTCB     TCB
	Current          FirmwareVersion
	Committed        FirmwareVersion
	LaunchTCB        TCB
	LaunchMitVector  uint64   // version 5
	CurrentMitVector uint64   // version 5
	R, S             [48]byte // signature, little-endian
}

// CPUID is the processor that the firmware runs on.
type CPUID struct{ Family, Model, Stepping uint8 }

// FirmwareVersion is major.minor.build of the SEV firmware; it compares in this order.
type FirmwareVersion struct{ Major, Minor, Build uint8 }

// Parse decodes a report and refuses what the ABI does not allow: other lengths, unknown versions and algorithms,
// reserved bytes and unsigned bytes that are not zero. Unsigned bytes matter because each value that they may take
// would be one more encoding of the same report. It does not allocate unless it fails.
func Parse(b []byte) (r Report, err error) {
	err = r.parse(b)
	return r, err
}

func (r *Report) parse(b []byte) error {
	if len(b) != ReportSize {
		return fault.New(fault.Malformed, "an SNP report has %d bytes, this has %d", ReportSize, len(b))
	}
	le := binary.LittleEndian
	r.Version = le.Uint32(b)
	if r.Version < minVersion || r.Version > maxVersion {
		return fault.New(fault.Unsupported, "SNP report version %d; the versions %d to %d are known", r.Version, minVersion, maxVersion)
	}
	r.SignatureAlgo = le.Uint32(b[0x034:])
	if r.SignatureAlgo != 1 {
		return fault.New(fault.Unsupported, "SIGNATURE_ALGO %d; only 1, ECDSA P-384 with SHA-384, is defined", r.SignatureAlgo)
	}
	if at := nonZeroReserved(b, r.Version); at >= 0 {
		return fault.New(fault.Malformed, "byte 0x%03X of the report is reserved in version %d and must be zero", at, r.Version)
	}
	r.GuestSVN = le.Uint32(b[0x004:])
	r.Policy = Policy(le.Uint64(b[0x008:]))
	copy(r.FamilyID[:], b[0x010:])
	copy(r.ImageID[:], b[0x020:])
	r.VMPL = le.Uint32(b[0x030:])
	copy(r.CurrentTCB[:], b[0x038:])
	r.PlatformInfo = PlatformInfo(le.Uint64(b[0x040:]))
	r.KeyInfo = KeyInfo(le.Uint32(b[0x048:]))
	copy(r.ReportData[:], b[0x050:])
	copy(r.Measurement[:], b[0x090:])
	copy(r.HostData[:], b[0x0C0:])
	copy(r.IDKeyDigest[:], b[0x0E0:])
	copy(r.AuthorKeyDigest[:], b[0x110:])
	copy(r.ReportID[:], b[0x140:])
	copy(r.ReportIDMA[:], b[0x160:])
	copy(r.ReportedTCB[:], b[0x180:])
	r.CPUID = CPUID{b[0x188], b[0x189], b[0x18A]}
	copy(r.ChipID[:], b[0x1A0:])
	copy(r.CommittedTCB[:], b[0x1E0:])
	r.Current = FirmwareVersion{Build: b[0x1E8], Minor: b[0x1E9], Major: b[0x1EA]}
	r.Committed = FirmwareVersion{Build: b[0x1EC], Minor: b[0x1ED], Major: b[0x1EE]}
	copy(r.LaunchTCB[:], b[0x1F0:])
	r.LaunchMitVector = le.Uint64(b[0x1F8:])
	r.CurrentMitVector = le.Uint64(b[0x200:])
	copy(r.R[:], b[0x2A0:])
	copy(r.S[:], b[0x2E8:])
	return r.checkFields()
}

func (r *Report) checkFields() error {
	switch {
	case r.Policy&policyReservedOne == 0:
		return fault.New(fault.Malformed, "POLICY bit 17 is reserved and must be one, POLICY is %#x", uint64(r.Policy))
	case r.Policy.UnknownBits() != 0:
		return fault.New(fault.Malformed, "POLICY bits %#x are reserved in report version %d and must be zero", r.Policy.UnknownBits(), r.Version)
	case r.KeyInfo.unknownBits() != 0:
		return fault.New(fault.Malformed, "key info bits %#x are reserved and must be zero", r.KeyInfo.unknownBits())
	case r.VMPL > 3 && r.VMPL != HostVMPL:
		return fault.New(fault.Malformed, "VMPL is %d; 0 to 3 and 0xFFFFFFFF are defined", r.VMPL)
	}
	return nil
}

type span struct{ from, to int }

// Reserved bytes of every version (evidence-snp.md section 2), and those that later versions took into use.
var (
	reservedAlways = [...]span{{0x04C, 0x050}, {0x18B, 0x1A0}, {0x1EB, 0x1EC}, {0x1EF, 0x1F0}, {0x208, 0x2A0},
		{0x2D0, 0x2E8}, {0x318, ReportSize}}
	reservedBefore3 = span{0x188, 0x18B}
	reservedBefore5 = span{0x1F8, 0x208}
)

// nonZeroReserved returns the offset of the first reserved byte that is not zero, or −1.
func nonZeroReserved(b []byte, version uint32) int {
	for _, s := range reservedAlways {
		if at := s.nonZero(b); at >= 0 {
			return at
		}
	}
	if version < 3 {
		if at := reservedBefore3.nonZero(b); at >= 0 {
			return at
		}
	}
	if version < 5 {
		return reservedBefore5.nonZero(b)
	}
	return -1
}

func (s span) nonZero(b []byte) int {
	if at := slices.IndexFunc(b[s.from:s.to], func(c byte) bool { return c != 0 }); at >= 0 {
		return s.from + at
	}
	return -1
}

// AppendTo appends the 1184 bytes of r. Of a parsed report these are the bytes that it was parsed from.
func (r *Report) AppendTo(dst []byte) []byte {
	n := len(dst)
	dst = slices.Grow(dst, ReportSize)[:n+ReportSize]
	b := dst[n:]
	clear(b)
	le := binary.LittleEndian
	le.PutUint32(b, r.Version)
	le.PutUint32(b[0x004:], r.GuestSVN)
	le.PutUint64(b[0x008:], uint64(r.Policy))
	copy(b[0x010:], r.FamilyID[:])
	copy(b[0x020:], r.ImageID[:])
	le.PutUint32(b[0x030:], r.VMPL)
	le.PutUint32(b[0x034:], r.SignatureAlgo)
	copy(b[0x038:], r.CurrentTCB[:])
	le.PutUint64(b[0x040:], uint64(r.PlatformInfo))
	le.PutUint32(b[0x048:], uint32(r.KeyInfo))
	copy(b[0x050:], r.ReportData[:])
	copy(b[0x090:], r.Measurement[:])
	copy(b[0x0C0:], r.HostData[:])
	copy(b[0x0E0:], r.IDKeyDigest[:])
	copy(b[0x110:], r.AuthorKeyDigest[:])
	copy(b[0x140:], r.ReportID[:])
	copy(b[0x160:], r.ReportIDMA[:])
	copy(b[0x180:], r.ReportedTCB[:])
	b[0x188], b[0x189], b[0x18A] = r.CPUID.Family, r.CPUID.Model, r.CPUID.Stepping
	copy(b[0x1A0:], r.ChipID[:])
	copy(b[0x1E0:], r.CommittedTCB[:])
	b[0x1E8], b[0x1E9], b[0x1EA] = r.Current.Build, r.Current.Minor, r.Current.Major
	b[0x1EC], b[0x1ED], b[0x1EE] = r.Committed.Build, r.Committed.Minor, r.Committed.Major
	copy(b[0x1F0:], r.LaunchTCB[:])
	le.PutUint64(b[0x1F8:], r.LaunchMitVector)
	le.PutUint64(b[0x200:], r.CurrentMitVector)
	copy(b[0x2A0:], r.R[:])
	copy(b[0x2E8:], r.S[:])
	return dst
}
