package compare

import (
	"bytes"
	"math"
	"math/big"
	"slices"

	"github.com/assay-tee/assay/claim"
)

// maxDigests bounds a digest list; the registry has a dozen algorithms, and lists are compared pairwise.
const maxDigests = 64

// version is containment of version-map: a condition without a scheme accepts any (specs corim.md A8).
func version(c, a claim.Version) bool {
	return c.Text == a.Text && (c.Scheme == "" || c.Scheme == a.Scheme)
}

// svn is section 15.4:
//
//	A \ C   exact   minimum
//	exact   C = A   C ≤ A
//	minimum false   C = A
func svn(c, a claim.SVN) bool {
	switch {
	case a.Min:
		return c.Min && c.Value == a.Value
	case c.Min:
		return c.Value <= a.Value
	}
	return c.Value == a.Value
}

// DigestLists is section 15.5: some algorithm is common, and no common algorithm has different bytes. A list that is
// empty, malformed or repeats an algorithm matches nothing.
func DigestLists(c, a []claim.Digest) bool {
	if !wellFormed(c) || !wellFormed(a) {
		return false
	}
	common := false
	for i := range c {
		for j := range a {
			if !c[i].SameAlg(a[j]) {
				continue
			}
			if !bytes.Equal(c[i].Value, a[j].Value) {
				return false
			}
			common = true
		}
	}
	return common
}

func wellFormed(d []claim.Digest) bool {
	if len(d) == 0 || len(d) > maxDigests {
		return false
	}
	for i := range d {
		if n, known := claim.DigestSize(d[i].Alg); len(d[i].Value) == 0 || known && d[i].AlgName == "" && len(d[i].Value) != n {
			return false
		}
		for j := range i {
			if d[i].SameAlg(d[j]) {
				return false
			}
		}
	}
	return true
}

// flags: each flag of C is known in A and equal. An absent flag is unknown, never false.
func flags(c, a claim.Flags) bool {
	return c.Known&^a.Known == 0 && (c.Value^a.Value)&c.Known == 0
}

// raw is section 15.6. A must be a plain value.
func raw(c, a claim.Raw) bool {
	if a.Mask != nil || len(a.Value) != len(c.Value) {
		return false
	}
	if c.Mask == nil {
		return bytes.Equal(c.Value, a.Value)
	}
	if len(c.Mask) != len(c.Value) {
		return false
	}
	for i := range c.Value {
		if (a.Value[i]^c.Value[i])&c.Mask[i] != 0 {
			return false
		}
	}
	return true
}

// cryptoKeys is section 15.7: entry against entry; A may have more.
func cryptoKeys(c, a []claim.ID) bool {
	if len(a) < len(c) {
		return false
	}
	for i := range c {
		if !KeyID(c[i], a[i]) {
			return false
		}
	}
	return true
}

// KeyID reports whether two entries of crypto-key are the same: equal tag and content, where PEM text is compared
// after its line ends were made LF and a final one dropped (specs corim.md section 10).
func KeyID(c, a claim.ID) bool {
	return c == a || claim.CanonicalKey(c) == claim.CanonicalKey(a)
}

// registers is section 15.8 with 15.5 per register (A31).
func registers(c, a []claim.Register) bool {
	for i := range c {
		j := slices.IndexFunc(a, func(r claim.Register) bool { return r.ID == c[i].ID })
		if j < 0 || !DigestLists(c[i].Digests, a[j].Digests) {
			return false
		}
	}
	return true
}

// intRange is section 15.9.
func intRange(c, a claim.IntRange) bool {
	if c.Value == nil && c.Range == nil || a.Value == nil && a.Range == nil {
		return false
	}
	amin, amax := ends(a)
	if c.Value != nil {
		return amin != nil && amax != nil && amin.Cmp(*c.Value) == 0 && amax.Cmp(*c.Value) == 0
	}
	return (c.Range.Min == nil || amin != nil && amin.Cmp(*c.Range.Min) >= 0) &&
		(c.Range.Max == nil || amax != nil && amax.Cmp(*c.Range.Max) <= 0)
}

func ends(r claim.IntRange) (lo, hi *claim.Int) {
	if r.Value != nil {
		return r.Value, r.Value
	}
	return r.Range.Min, r.Range.Max
}

// number is section 15.10. A must be a plain number.
func number(c, a claim.NumberChoice) bool {
	if a.Value == nil {
		return false
	}
	switch {
	case c.Value != nil:
		return cmpNumber(*a.Value, *c.Value) == 0
	case c.Range != nil:
		return (c.Range.Min == nil || atLeast(*a.Value, *c.Range.Min)) && (c.Range.Max == nil || atLeast(*c.Range.Max, *a.Value))
	}
	return slices.ContainsFunc(c.Set, func(n claim.Number) bool { return cmpNumber(*a.Value, n) == 0 })
}

func atLeast(a, b claim.Number) bool { c := cmpNumber(a, b); return c == 0 || c == 1 }

// incomparable is what cmpNumber returns when a float is not finite; codecs refuse these, and nothing equals them.
const incomparable = 2

// cmpNumber compares exactly, as rationals, across integers and floats.
func cmpNumber(a, b claim.Number) int {
	if !a.Float && !b.Float {
		return a.I.Cmp(b.I)
	}
	x, okX := rational(a)
	y, okY := rational(b)
	if !okX || !okY {
		return incomparable
	}
	return x.Cmp(y)
}

func rational(n claim.Number) (*big.Rat, bool) {
	if n.Float {
		if math.IsNaN(n.F) || math.IsInf(n.F, 0) {
			return nil, false
		}
		return new(big.Rat).SetFloat64(n.F), true
	}
	i := new(big.Int).SetUint64(n.I.Mag)
	if n.I.Neg {
		i.Not(i)
	}
	return new(big.Rat).SetInt(i), true
}

func text(c, a claim.TextChoice) bool {
	if len(a.Set) > 0 {
		return false
	}
	if len(c.Set) > 0 {
		return slices.Contains(c.Set, a.Value)
	}
	return c.Value == a.Value
}

func byteStrings(c, a claim.BytesChoice) bool {
	if len(a.Set) > 0 {
		return false
	}
	if len(c.Set) > 0 {
		return slices.ContainsFunc(c.Set, func(b []byte) bool { return bytes.Equal(b, a.Value) })
	}
	return bytes.Equal(c.Value, a.Value)
}
