package snp

import "fmt"

// Policy is POLICY, the guest policy fixed at launch (evidence-snp.md section 3).
type Policy uint64

// Bits of POLICY above the two ABI bytes.
const (
	PolicySMT                 Policy = 1 << 16
	policyReservedOne         Policy = 1 << 17
	PolicyMigrateMA           Policy = 1 << 18
	PolicyDebug               Policy = 1 << 19
	PolicySingleSocket        Policy = 1 << 20
	PolicyCXLAllow            Policy = 1 << 21
	PolicyMemAES256XTS        Policy = 1 << 22
	PolicyRAPLDis             Policy = 1 << 23
	PolicyCiphertextHiding    Policy = 1 << 24
	PolicyPageSwapDisable     Policy = 1 << 25
	policyKnown                      = Policy(1)<<26 - 1
	policyABIMinor, policyABI        = 0xFF, 0xFFFF
)

// ABIMinor and ABIMajor are the least firmware ABI that the guest accepts.
func (p Policy) ABIMinor() uint8 { return uint8(p & policyABIMinor) }

// ABIMajor is the major part.
func (p Policy) ABIMajor() uint8 { return uint8(p & policyABI >> 8) }

// Has reports whether all of bits are set.
func (p Policy) Has(bits Policy) bool { return p&bits == bits }

// UnknownBits returns the bits that no known revision of the ABI defines.
func (p Policy) UnknownBits() uint64 { return uint64(p &^ policyKnown) }

// PlatformInfo is PLATFORM_INFO (evidence-snp.md section 4). Firmware signs it, the owner of the machine configures it.
type PlatformInfo uint64

// Bits of PLATFORM_INFO. The name of bit 6 is from a secondary source; real Turin machines set it.
const (
	PlatformSMT              PlatformInfo = 1 << 0
	PlatformTSME             PlatformInfo = 1 << 1
	PlatformECC              PlatformInfo = 1 << 2
	PlatformRAPLDis          PlatformInfo = 1 << 3
	PlatformCiphertextHiding PlatformInfo = 1 << 4
	PlatformAliasCheck       PlatformInfo = 1 << 5
	PlatformIOMMUWriteSafe   PlatformInfo = 1 << 6
	PlatformTIO              PlatformInfo = 1 << 7
	platformKnown                         = PlatformInfo(1)<<8 - 1
)

// Has reports whether all of bits are set.
func (p PlatformInfo) Has(bits PlatformInfo) bool { return p&bits == bits }

// UnknownBits returns the bits that have no name here. They are claims, not errors: firmware adds bits without a new
// report version.
func (p PlatformInfo) UnknownBits() uint64 { return uint64(p &^ platformKnown) }

// KeyInfo is the word at 0x048 (evidence-snp.md section 5).
type KeyInfo uint32

// SigningKey says which kind of key signed a report.
type SigningKey uint8

// The values of SIGNING_KEY; the others are reserved.
const (
	SignedByVCEK SigningKey = 0
	SignedByVLEK SigningKey = 1
	SignedByNone SigningKey = 7
)

func (k SigningKey) String() string {
	switch k {
	case SignedByVCEK:
		return "vcek"
	case SignedByVLEK:
		return "vlek"
	case SignedByNone:
		return "none"
	}
	return fmt.Sprintf("reserved (%d)", uint8(k))
}

// AuthorKeyEn reports whether AUTHOR_KEY_DIGEST is valid.
func (k KeyInfo) AuthorKeyEn() bool { return k&1 != 0 }

// MaskChipKey reports whether the host told the firmware not to use the VCEK.
func (k KeyInfo) MaskChipKey() bool { return k>>1&1 != 0 }

// SigningKey returns SIGNING_KEY.
func (k KeyInfo) SigningKey() SigningKey { return SigningKey(k >> 2 & 7) }

func (k KeyInfo) unknownBits() uint32 { return uint32(k &^ 0x1F) }

func (v FirmwareVersion) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Build) }
