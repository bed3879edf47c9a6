package amdsnp

import (
	"fmt"
	"strings"

	"github.com/assay-tee/assay/claim"
)

// bit names a bit of a field (SEV-SNP firmware ABI, GUEST_POLICY and PLATFORM_INFO).
type bit struct {
	n    uint
	name string
}

var policyBits = []bit{{16, "SMT"}, {17, "reserved 1"}, {18, "MIGRATE_MA"}, {19, "DEBUG"}, {20, "SINGLE_SOCKET"}, {21, "CXL_ALLOW"},
	{22, "MEM_AES_256_XTS"}, {23, "RAPL_DIS"}, {24, "CIPHERTEXT_HIDING_DRAM"}, {25, "PAGE_SWAP_DISABLE"}}

var platformBits = []bit{{0, "SMT_EN"}, {1, "TSME_EN"}, {2, "ECC_EN"}, {3, "RAPL_DIS"}, {4, "CIPHERTEXT_HIDING_DRAM_EN"},
	{5, "ALIAS_CHECK_COMPLETE"}, {7, "TIO_EN"}}

// Describe writes TCBs in hex and the bits of policies by name; of everything else "".
func Describe(mkey claim.ID, v claim.Values) string {
	u, ok := mkey.UintContent()
	switch {
	case !ok:
		return ""
	case fields[u].tcb && v.SVN != nil:
		op := "="
		if v.SVN.Min {
			op = "each byte ≥"
		}
		return fmt.Sprintf("%s 0x%016x", op, v.SVN.Value)
	case u == KeyPolicy && v.Raw != nil:
		return describeBits(*v.Raw, policyBits)
	case u == KeyPlatformInfo && v.Raw != nil:
		return describeBits(*v.Raw, platformBits)
	}
	return ""
}

// describeBits names the bits that a mask looks at; without a mask those that are set.
func describeBits(r claim.Raw, names []bit) string {
	s := fmt.Sprintf("%x", r.Value)
	if r.Mask != nil {
		s += fmt.Sprintf(" under %x", r.Mask)
	}
	at := func(b []byte, n uint) bool { return int(n/8) < len(b) && b[n/8]>>(n%8)&1 == 1 }
	var bits []string
	for _, b := range names {
		switch set := at(r.Value, b.n); {
		case r.Mask != nil && at(r.Mask, b.n):
			bits = append(bits, fmt.Sprintf("%s=%d", b.name, map[bool]int{true: 1}[set]))
		case r.Mask == nil && set:
			bits = append(bits, b.name)
		}
	}
	if len(bits) == 0 {
		return s
	}
	return s + " (" + strings.Join(bits, ", ") + ")"
}
