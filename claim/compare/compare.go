// Package compare holds the comparison rules of draft-ietf-rats-corim section 8.3.4.3 on the claim model: whether a
// value of the accepted claims meets a condition. Every function is pure and keeps no state.
//
// C is the condition, A the accepted value, as in the tables of the draft.
package compare

import (
	"bytes"
	"math/bits"

	"github.com/assay-tee/assay/claim"
)

// Func decides whether the value acc of the accepted claims meets the condition cond at one code point. A profile
// gives one where the base rules do not apply.
type Func func(cond, acc claim.Values) bool

// Lookup finds the algorithm that a profile defines for one element and code point; nil means the base rule. Where a
// profile defines one, it is used (section 8.3.4.3.3), also for code points that the base knows.
type Lookup func(mkey claim.ID, codePoint int64) Func

// Points is a set of base code points of measurement-values-map, bit n for code point n.
type Points uint32

// The code points of measurement-values-map (specs corim.md section 9).
const (
	Version    int64 = 0
	SVN        int64 = 1
	Digests    int64 = 2
	Flags      int64 = 3
	Raw        int64 = 4
	MAC        int64 = 6
	IP         int64 = 7
	Serial     int64 = 8
	UEID       int64 = 9
	UUID       int64 = 10
	Name       int64 = 11
	CryptoKeys int64 = 13
	Registers  int64 = 14
	IntRange   int64 = 15
	Bool       int64 = 16
	Number     int64 = 17
	Text       int64 = 18
	Bytes      int64 = 19
)

// PointsOf returns the base code points that are present in v; extensions are not among them.
func PointsOf(v *claim.Values) Points {
	var p Points
	set := func(cp int64, present bool) {
		if present {
			p |= 1 << cp
		}
	}
	set(Version, v.Version != nil)
	set(SVN, v.SVN != nil)
	set(Digests, len(v.Digests) > 0)
	set(Flags, v.Flags.Known != 0)
	set(Raw, v.Raw != nil)
	set(MAC, v.MAC != nil)
	set(IP, v.IP != nil)
	set(Serial, v.Serial != nil)
	set(UEID, v.UEID != nil)
	set(UUID, v.UUID != nil)
	set(Name, v.Name != nil)
	set(CryptoKeys, len(v.CryptoKeys) > 0)
	set(Registers, len(v.Registers) > 0)
	set(IntRange, v.IntRange != nil)
	set(Bool, v.Bool != nil)
	set(Number, v.Number != nil)
	set(Text, v.Text != nil)
	set(Bytes, v.Bytes != nil)
	return p
}

// Has reports whether p holds cp.
func (p Points) Has(cp int64) bool { return cp >= 0 && cp < 32 && p>>cp&1 == 1 }

// Values reports whether acc meets cond: every code point of cond is there in acc and satisfies it; what acc has
// beyond that is ignored. A condition without any code point is met by nothing.
func Values(cond, acc *claim.Values, mkey claim.ID, profile Lookup) bool {
	_, differs := FirstDifference(cond, acc, mkey, profile)
	return !differs
}

// FirstDifference returns the lowest code point at which acc does not meet cond (base code points first, then
// extensions in the order of cond). An empty condition differs at code point −1.
func FirstDifference(cond, acc *claim.Values, mkey claim.ID, profile Lookup) (codePoint int64, differs bool) {
	points := PointsOf(cond)
	if points == 0 && len(cond.Ext) == 0 {
		return -1, true
	}
	for p := uint32(points); p != 0; p &= p - 1 {
		cp := int64(bits.TrailingZeros32(p))
		if f := lookup(profile, mkey, cp); f != nil {
			if !f(*cond, *acc) {
				return cp, true
			}
		} else if !base(cp, cond, acc) {
			return cp, true
		}
	}
	for _, e := range cond.Ext {
		// No algorithm known: no match (specs corim.md section 9). Equality would be a guess about the profile.
		if f := lookup(profile, mkey, e.Key); f == nil || !f(*cond, *acc) {
			return e.Key, true
		}
	}
	return 0, false
}

func lookup(profile Lookup, mkey claim.ID, cp int64) Func {
	if profile == nil {
		return nil
	}
	return profile(mkey, cp)
}

// Element reports whether acc meets cond: equal element ids (or both absent) and Values. Authority conditions of the
// element are not looked at.
func Element(cond, acc *claim.Element, profile Lookup) bool {
	return cond.Key == acc.Key && Values(&cond.Values, &acc.Values, cond.Key, profile)
}

// base applies the rule of section 15 of the specs for one base code point that is present in cond.
func base(cp int64, cond, acc *claim.Values) bool {
	switch cp {
	case Version:
		return acc.Version != nil && version(*cond.Version, *acc.Version)
	case SVN:
		return acc.SVN != nil && svn(*cond.SVN, *acc.SVN)
	case Digests:
		return DigestLists(cond.Digests, acc.Digests)
	case Flags:
		return flags(cond.Flags, acc.Flags)
	case Raw:
		return acc.Raw != nil && raw(*cond.Raw, *acc.Raw)
	case MAC:
		return acc.MAC != nil && bytes.Equal(cond.MAC, acc.MAC)
	case IP:
		return acc.IP != nil && bytes.Equal(cond.IP, acc.IP)
	case Serial:
		return equalPtr(cond.Serial, acc.Serial)
	case UEID:
		return acc.UEID != nil && bytes.Equal(cond.UEID, acc.UEID)
	case UUID:
		return acc.UUID != nil && bytes.Equal(cond.UUID, acc.UUID)
	case Name:
		return equalPtr(cond.Name, acc.Name)
	case CryptoKeys:
		return cryptoKeys(cond.CryptoKeys, acc.CryptoKeys)
	case Registers:
		return registers(cond.Registers, acc.Registers)
	case IntRange:
		return acc.IntRange != nil && intRange(*cond.IntRange, *acc.IntRange)
	case Bool:
		return equalPtr(cond.Bool, acc.Bool)
	case Number:
		return acc.Number != nil && number(*cond.Number, *acc.Number)
	case Text:
		return acc.Text != nil && text(*cond.Text, *acc.Text)
	case Bytes:
		return acc.Bytes != nil && byteStrings(*cond.Bytes, *acc.Bytes)
	}
	return false
}

func equalPtr[T comparable](c, a *T) bool { return c != nil && a != nil && *c == *a }
