package compare

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
)

// Absent is how a value that is not there is written in the trail.
const Absent = "absent"

// PointName returns the draft's name of a code point.
func PointName(cp int64) string {
	names := map[int64]string{Version: "version", SVN: "svn", Digests: "digests", Flags: "flags", Raw: "raw-value",
		MAC: "mac-addr", IP: "ip-addr", Serial: "serial-number", UEID: "ueid", UUID: "uuid", Name: "name",
		CryptoKeys: "cryptokeys", Registers: "integrity-registers", IntRange: "int-range", Bool: "bool",
		Number: "number", Text: "text", Bytes: "bytes"}
	if n, ok := names[cp]; ok {
		return n
	}
	return "code point " + strconv.FormatInt(cp, 10)
}

// Render writes all of v for people, code points in order.
func Render(v *claim.Values) string {
	points := PointsOf(v)
	if points == 1<<Digests && len(v.Digests) == 1 && len(v.Ext) == 0 {
		return hex.EncodeToString(v.Digests[0].Value)
	}
	var parts []string
	for cp := range int64(32) {
		if points.Has(cp) {
			parts = append(parts, RenderPoint(v, cp))
		}
	}
	for _, e := range v.Ext {
		parts = append(parts, RenderPoint(v, e.Key))
	}
	return strings.Join(parts, ", ")
}

// RenderPoint writes one code point of v for people: bytes as hex, digests without the algorithm when there is one.
func RenderPoint(v *claim.Values, cp int64) string {
	if cp >= 0 && cp < 32 && cp != 12 && !PointsOf(v).Has(cp) {
		return Absent
	}
	switch cp {
	case Version:
		return v.Version.Text
	case SVN:
		if v.SVN.Min {
			return "at least " + renderSVN(v.SVN.Value)
		}
		return renderSVN(v.SVN.Value)
	case Digests:
		return renderDigests(v.Digests)
	case Flags:
		return renderFlags(v.Flags)
	case Raw:
		if v.Raw.Mask != nil {
			return fmt.Sprintf("%x under mask %x", v.Raw.Value, v.Raw.Mask)
		}
		return hex.EncodeToString(v.Raw.Value)
	case MAC:
		return hex.EncodeToString(v.MAC)
	case IP:
		return hex.EncodeToString(v.IP)
	case Serial:
		return *v.Serial
	case UEID:
		return hex.EncodeToString(v.UEID)
	case UUID:
		return claim.Bytes(claim.TagUUID, v.UUID).String()
	case Name:
		return *v.Name
	case CryptoKeys:
		s := make([]string, len(v.CryptoKeys))
		for i, k := range v.CryptoKeys {
			s[i] = k.String()
		}
		return strings.Join(s, " ")
	case Registers:
		s := make([]string, len(v.Registers))
		for i, r := range v.Registers {
			s[i] = fmt.Sprintf("[%s] %s", r.ID, renderDigests(r.Digests))
		}
		return strings.Join(s, " ")
	case IntRange:
		return renderIntRange(*v.IntRange)
	case Bool:
		return strconv.FormatBool(*v.Bool)
	case Number:
		return renderNumbers(*v.Number)
	case Text:
		if len(v.Text.Set) > 0 {
			return "one of " + strings.Join(v.Text.Set, ", ")
		}
		return v.Text.Value
	case Bytes:
		if len(v.Bytes.Set) > 0 {
			s := make([]string, len(v.Bytes.Set))
			for i, b := range v.Bytes.Set {
				s[i] = hex.EncodeToString(b)
			}
			return "one of " + strings.Join(s, ", ")
		}
		return hex.EncodeToString(v.Bytes.Value)
	}
	for _, e := range v.Ext {
		if e.Key == cp {
			return "cbor " + hex.EncodeToString(e.CBOR)
		}
	}
	return Absent
}

// renderSVN writes small numbers in decimal; a number that packs several components is only legible in hex.
func renderSVN(u uint64) string {
	if u < 1<<24 {
		return strconv.FormatUint(u, 10)
	}
	return fmt.Sprintf("0x%016x", u)
}

func renderDigests(d []claim.Digest) string {
	if len(d) == 1 {
		return hex.EncodeToString(d[0].Value)
	}
	s := make([]string, len(d))
	for i := range d {
		s[i] = d[i].String()
	}
	return strings.Join(s, " ")
}

func renderFlags(f claim.Flags) string {
	var s []string
	for i := range claim.NumFlags {
		if v, known := f.Get(i); known {
			s = append(s, i.String()+"="+strconv.FormatBool(v))
		}
	}
	return strings.Join(s, " ")
}

func renderIntRange(r claim.IntRange) string {
	if r.Value != nil {
		return r.Value.String()
	}
	if r.Range == nil {
		return Absent
	}
	return renderRange(r.Range.Min, r.Range.Max, claim.Int.String)
}

func renderNumbers(n claim.NumberChoice) string {
	one := func(n claim.Number) string {
		if n.Float {
			return strconv.FormatFloat(n.F, 'g', -1, 64)
		}
		return n.I.String()
	}
	switch {
	case n.Value != nil:
		return one(*n.Value)
	case n.Range != nil:
		return renderRange(n.Range.Min, n.Range.Max, one)
	}
	s := make([]string, len(n.Set))
	for i := range n.Set {
		s[i] = one(n.Set[i])
	}
	return "one of " + strings.Join(s, ", ")
}

func renderRange[T any](lo, hi *T, str func(T) string) string {
	switch {
	case lo == nil && hi == nil:
		return "any"
	case lo == nil:
		return "at most " + str(*hi)
	case hi == nil:
		return "at least " + str(*lo)
	}
	return str(*lo) + " to " + str(*hi)
}

// Why says in words what makes acc differ from cond at code point cp: which bits of a masked value, which flag, which
// register; "" when the two values say it all.
func Why(cond, acc *claim.Values, cp int64) string {
	switch cp {
	case -1:
		return "the statement asks for nothing at this element"
	case Raw:
		if acc.Raw != nil && cond.Raw.Mask != nil && len(acc.Raw.Value) == len(cond.Raw.Value) && len(cond.Raw.Mask) == len(cond.Raw.Value) {
			return bitDifference(cond.Raw, acc.Raw.Value)
		}
		if acc.Raw != nil && len(acc.Raw.Value) != len(cond.Raw.Value) {
			return fmt.Sprintf("lengths differ: %d bytes in the evidence, %d in the statement", len(acc.Raw.Value), len(cond.Raw.Value))
		}
	case Flags:
		for f := range claim.NumFlags {
			want, asked := cond.Flags.Get(f)
			have, known := acc.Flags.Get(f)
			if asked && !known {
				return f.String() + " is not stated"
			}
			if asked && want != have {
				return fmt.Sprintf("%s is %t, must be %t", f, have, want)
			}
		}
	case Registers:
		for _, r := range cond.Registers {
			i := indexRegister(acc.Registers, r.ID)
			if i < 0 {
				return fmt.Sprintf("register %s is not in the evidence", r.ID)
			}
			if !DigestLists(r.Digests, acc.Registers[i].Digests) {
				return fmt.Sprintf("register %s: evidence %s statement %s", r.ID, renderDigests(acc.Registers[i].Digests), renderDigests(r.Digests))
			}
		}
	case Digests:
		if len(acc.Digests) > 0 && !commonAlg(cond.Digests, acc.Digests) {
			return "no digest algorithm in common"
		}
	case CryptoKeys:
		if len(acc.CryptoKeys) < len(cond.CryptoKeys) {
			return fmt.Sprintf("%d keys in the evidence, the statement names %d", len(acc.CryptoKeys), len(cond.CryptoKeys))
		}
	}
	return ""
}

func commonAlg(c, a []claim.Digest) bool {
	for i := range c {
		for j := range a {
			if c[i].SameAlg(a[j]) {
				return true
			}
		}
	}
	return false
}

func indexRegister(r []claim.Register, id claim.ID) int {
	for i := range r {
		if r[i].ID == id {
			return i
		}
	}
	return -1
}

// bitDifference names bits little-endian, as vendors number the bits of such fields: bit 0 is the lowest of byte 0.
func bitDifference(c *claim.Raw, a []byte) string {
	var s []string
	for i := range a {
		d := (a[i] ^ c.Value[i]) & c.Mask[i]
		for b := range 8 {
			if d>>b&1 == 1 {
				s = append(s, fmt.Sprintf("bit %d is %d, must be %d", 8*i+b, a[i]>>b&1, c.Value[i]>>b&1))
			}
		}
	}
	if len(s) > 8 {
		s = append(s[:8], fmt.Sprintf("and %d more", len(s)-8))
	}
	return strings.Join(s, "; ")
}
