package simulator

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// ReportSize is the length of an ATTESTATION_REPORT in bytes; the first signedSize of them are signed.
const (
	ReportSize = 1184
	signedSize = 0x2A0
)

// Values of SIGNING_KEY.
const (
	SignedByVCEK uint32 = 0
	SignedByVLEK uint32 = 1
	SignedByNone uint32 = 7
)

// Report is every field of an ATTESTATION_REPORT (evidence-snp.md section 2) under its ABI name. What firmware would
// never say can be said here.
type Report struct {
	Version          uint32
	GuestSVN         uint32
	Policy           uint64
	FamilyID         [16]byte
	ImageID          [16]byte
	VMPL             uint32
	SignatureAlgo    uint32
	CurrentTCB       TCB
	PlatformInfo     uint64
	AuthorKeyEn      bool
	MaskChipKey      bool
	SigningKey       uint32 // 3 bits
	ReportData       [64]byte
	Measurement      [48]byte
	HostData         [32]byte
	IDKeyDigest      [48]byte
	AuthorKeyDigest  [48]byte
	ReportID         [32]byte
	ReportIDMA       [32]byte
	ReportedTCB      TCB
	CPUID            [3]byte // family, model, stepping; written from version 3 on
	ChipID           [64]byte
	CommittedTCB     TCB
	Current          Version
	Committed        Version
	LaunchTCB        TCB
	LaunchMitVector  uint64 // written from version 5 on
	CurrentMitVector uint64 // written from version 5 on

	// CSP names the provider whose VLEK signs when SigningKey is SignedByVLEK.
	CSP string
	// SignAs signs with the key of another TCB than ReportedTCB.
	SignAs *TCB
	// Mutate may change the encoded report before it is signed.
	Mutate func(report []byte)
	// MutateSigned may change it after.
	MutateSigned func(report []byte)
}

// NewReport gives a report as firmware of c would make it for a guest without ID block: all TCBs and versions those
// of the chip, policy 0x30000, VMPL 0, random report id, no migration agent, report data and measurement zero.
func (c *Chip) NewReport() Report {
	l, _ := c.Product.line()
	r := Report{
		Version: l.reportVersion, Policy: PolicyReserved1 | PolicySMT, SignatureAlgo: 1, PlatformInfo: l.platformInfo, SigningKey: SignedByVCEK,
		CurrentTCB: c.TCB, ReportedTCB: c.TCB, CommittedTCB: c.TCB, LaunchTCB: c.TCB, CPUID: l.cpuid, ChipID: c.ID,
		Current: l.firmware, Committed: l.firmware, LaunchMitVector: 0x0B, CurrentMitVector: 0x0B,
	}
	rand.Read(r.ReportID[:])
	for i := range r.ReportIDMA {
		r.ReportIDMA[i] = 0xFF
	}
	return r
}

// encode lays r out; the signature stays zero.
func (r *Report) encode(p Product) []byte {
	b := make([]byte, ReportSize)
	le := binary.LittleEndian
	le.PutUint32(b[0x000:], r.Version)
	le.PutUint32(b[0x004:], r.GuestSVN)
	le.PutUint64(b[0x008:], r.Policy)
	copy(b[0x010:], r.FamilyID[:])
	copy(b[0x020:], r.ImageID[:])
	le.PutUint32(b[0x030:], r.VMPL)
	le.PutUint32(b[0x034:], r.SignatureAlgo)
	putTCB(b[0x038:], r.CurrentTCB, p)
	le.PutUint64(b[0x040:], r.PlatformInfo)
	le.PutUint32(b[0x048:], r.keyInfo())
	copy(b[0x050:], r.ReportData[:])
	copy(b[0x090:], r.Measurement[:])
	copy(b[0x0C0:], r.HostData[:])
	copy(b[0x0E0:], r.IDKeyDigest[:])
	copy(b[0x110:], r.AuthorKeyDigest[:])
	copy(b[0x140:], r.ReportID[:])
	copy(b[0x160:], r.ReportIDMA[:])
	putTCB(b[0x180:], r.ReportedTCB, p)
	if r.Version >= 3 {
		copy(b[0x188:], r.CPUID[:])
	}
	copy(b[0x1A0:], r.ChipID[:])
	putTCB(b[0x1E0:], r.CommittedTCB, p)
	copy(b[0x1E8:], []byte{r.Current.Build, r.Current.Minor, r.Current.Major, 0})
	copy(b[0x1EC:], []byte{r.Committed.Build, r.Committed.Minor, r.Committed.Major, 0})
	putTCB(b[0x1F0:], r.LaunchTCB, p)
	if r.Version >= 5 {
		le.PutUint64(b[0x1F8:], r.LaunchMitVector)
		le.PutUint64(b[0x200:], r.CurrentMitVector)
	}
	return b
}

func putTCB(b []byte, t TCB, p Product) { v := t.Bytes(p); copy(b, v[:]) }

func (r *Report) keyInfo() uint32 {
	k := r.SigningKey & 7 << 2
	if r.AuthorKeyEn {
		k |= 1
	}
	if r.MaskChipKey {
		k |= 2
	}
	return k
}

// Report encodes r and signs it with the key that SigningKey names: the chip's VCEK, or the VLEK of r.CSP. With
// SignedByNone the signature stays zero; with a reserved value the VCEK signs, so that nothing but the value is wrong.
func (c *Chip) Report(r Report) ([]byte, error) {
	b := r.encode(c.Product)
	if r.Mutate != nil {
		r.Mutate(b)
	}
	if r.SigningKey != SignedByNone {
		tcb := r.ReportedTCB
		if r.SignAs != nil {
			tcb = *r.SignAs
		}
		s, err := c.signerOf(r, tcb)
		if err != nil {
			return nil, err
		}
		if err := s.sign(b); err != nil {
			return nil, err
		}
	}
	if r.MutateSigned != nil {
		r.MutateSigned(b)
	}
	return b, nil
}

func (c *Chip) signerOf(r Report, tcb TCB) (*signer, error) {
	if r.SigningKey != SignedByVLEK {
		return c.signer(tcb)
	}
	if r.CSP == "" {
		return nil, fault.New(fault.Usage, "a report signed by a VLEK needs the provider's name")
	}
	return c.amd.provider(providerKey{c.Product, r.CSP, tcb})
}

// sign puts the P-384 signature over the signed range into the report: R and S of 72 bytes, little-endian.
func (s *signer) sign(report []byte) error {
	sum := sha512.Sum384(report[:signedSize])
	der, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		return fault.New(fault.Internal, "the simulator cannot sign: %w", err)
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return fault.New(fault.Internal, "the simulator cannot read its signature: %w", err)
	}
	for i, v := range []*big.Int{sig.R, sig.S} {
		f := report[signedSize+i*72:][:72]
		v.FillBytes(f)
		slices.Reverse(f)
	}
	return nil
}
