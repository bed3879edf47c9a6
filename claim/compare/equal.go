package compare

import (
	"bytes"
	"slices"

	"github.com/assay-tee/assay/claim"
)

// Equal reports whether a and b are the same values, condition forms included. It prunes repetitions; matching is
// [Values].
func Equal(a, b *claim.Values) bool {
	if PointsOf(a) != PointsOf(b) || len(a.Ext) != len(b.Ext) {
		return false
	}
	return sameVersion(a.Version, b.Version) && sameSVN(a.SVN, b.SVN) && slices.EqualFunc(a.Digests, b.Digests, claim.Digest.Equal) &&
		a.Flags == b.Flags && sameRaw(a.Raw, b.Raw) && bytes.Equal(a.MAC, b.MAC) && bytes.Equal(a.IP, b.IP) &&
		same(a.Serial, b.Serial) && bytes.Equal(a.UEID, b.UEID) && bytes.Equal(a.UUID, b.UUID) && same(a.Name, b.Name) &&
		slices.Equal(a.CryptoKeys, b.CryptoKeys) && slices.EqualFunc(a.Registers, b.Registers, sameRegister) &&
		sameIntRange(a.IntRange, b.IntRange) && same(a.Bool, b.Bool) && sameNumber(a.Number, b.Number) &&
		sameText(a.Text, b.Text) && sameBytes(a.Bytes, b.Bytes) &&
		slices.EqualFunc(a.Ext, b.Ext, func(x, y claim.Extension) bool { return x.Key == y.Key && bytes.Equal(x.CBOR, y.CBOR) })
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// Which of several forms a codec carried (Bare, TextScheme, OldMask) makes no difference.
func sameVersion(a, b *claim.Version) bool {
	return a == b || a != nil && b != nil && a.Text == b.Text && a.Scheme == b.Scheme
}

func sameSVN(a, b *claim.SVN) bool {
	return a == b || a != nil && b != nil && a.Value == b.Value && a.Min == b.Min
}

func sameRaw(a, b *claim.Raw) bool {
	return a == b || a != nil && b != nil && bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Mask, b.Mask) && (a.Mask == nil) == (b.Mask == nil)
}

func sameRegister(a, b claim.Register) bool {
	return a.ID == b.ID && slices.EqualFunc(a.Digests, b.Digests, claim.Digest.Equal)
}

func sameIntRange(a, b *claim.IntRange) bool {
	return a == b || a != nil && b != nil && same(a.Value, b.Value) && sameEnds(a.Range, b.Range)
}

func sameEnds[T comparable](a, b *claim.Range[T]) bool {
	return a == b || a != nil && b != nil && same(a.Min, b.Min) && same(a.Max, b.Max)
}

func sameNumber(a, b *claim.NumberChoice) bool {
	return a == b || a != nil && b != nil && same(a.Value, b.Value) && sameEnds(a.Range, b.Range) && slices.Equal(a.Set, b.Set)
}

func sameText(a, b *claim.TextChoice) bool {
	return a == b || a != nil && b != nil && a.Value == b.Value && slices.Equal(a.Set, b.Set)
}

func sameBytes(a, b *claim.BytesChoice) bool {
	return a == b || a != nil && b != nil && bytes.Equal(a.Value, b.Value) && slices.EqualFunc(a.Set, b.Set, bytes.Equal)
}

// Project returns acc reduced to what cond asks for: the code points of cond, the flags and registers that it names.
// A re-asserted value thus never says more than the statement that vouches for it. Where cond names a code point that
// acc lacks (a profile compared it with another one), acc is returned whole.
func Project(cond, acc *claim.Values) claim.Values {
	want := PointsOf(cond)
	if want&^PointsOf(acc) != 0 {
		return *acc
	}
	var v claim.Values
	pick := func(cp int64, set func()) {
		if want.Has(cp) {
			set()
		}
	}
	pick(Version, func() { v.Version = acc.Version })
	pick(SVN, func() { v.SVN = acc.SVN })
	pick(Digests, func() { v.Digests = common(cond.Digests, acc.Digests) })
	pick(Flags, func() {
		v.Flags = claim.Flags{Known: acc.Flags.Known & cond.Flags.Known, Value: acc.Flags.Value & cond.Flags.Known}
	})
	pick(Raw, func() { v.Raw = acc.Raw })
	pick(MAC, func() { v.MAC = acc.MAC })
	pick(IP, func() { v.IP = acc.IP })
	pick(Serial, func() { v.Serial = acc.Serial })
	pick(UEID, func() { v.UEID = acc.UEID })
	pick(UUID, func() { v.UUID = acc.UUID })
	pick(Name, func() { v.Name = acc.Name })
	pick(CryptoKeys, func() { v.CryptoKeys = acc.CryptoKeys[:min(len(cond.CryptoKeys), len(acc.CryptoKeys))] })
	pick(Registers, func() {
		for _, c := range cond.Registers {
			if i := indexRegister(acc.Registers, c.ID); i >= 0 {
				v.Registers = append(v.Registers, claim.Register{ID: c.ID, Digests: common(c.Digests, acc.Registers[i].Digests)})
			}
		}
	})
	pick(IntRange, func() { v.IntRange = acc.IntRange })
	pick(Bool, func() { v.Bool = acc.Bool })
	pick(Number, func() { v.Number = acc.Number })
	pick(Text, func() { v.Text = acc.Text })
	pick(Bytes, func() { v.Bytes = acc.Bytes })
	for _, c := range cond.Ext {
		for _, e := range acc.Ext {
			if e.Key == c.Key {
				v.Ext = append(v.Ext, e)
			}
		}
	}
	return v
}

// common returns the digests of a whose algorithm c names.
func common(c, a []claim.Digest) []claim.Digest {
	named := func(d claim.Digest) bool { return slices.ContainsFunc(c, d.SameAlg) }
	if !slices.ContainsFunc(a, func(d claim.Digest) bool { return !named(d) }) {
		return a
	}
	var out []claim.Digest
	for _, d := range a {
		if named(d) {
			out = append(out, d)
		}
	}
	return out
}
