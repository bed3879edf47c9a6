package intel

import (
	"bytes"
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
)

// The compare functions get values that their valid function has accepted, the accepted one never a condition.

// same is equality of deterministic encodings.
func same(cond, acc *cborx.Reader) bool { return bytes.Equal(cond.Raw(), acc.Raw()) }

type number struct {
	float bool
	f     float64
	i     claim.Int
}

func readNumber(r *cborx.Reader) number {
	if r.Kind() == cborx.Float {
		return number{float: true, f: r.Float()}
	}
	neg, mag := r.Int()
	return number{i: claim.Int{Neg: neg, Mag: mag}}
}

// cmp orders two numbers of the same kind; integers and floats are not compared with each other (section 4).
func (a number) cmp(b number) (int, bool) {
	switch {
	case a.float != b.float:
		return 0, false
	case !a.float:
		return a.i.Cmp(b.i), true
	case a.f < b.f:
		return -1, true
	case a.f > b.f:
		return 1, true
	}
	return 0, true
}

// compareNumbers evaluates "A op C"; a plain number means equal.
func compareNumbers(cond, acc *cborx.Reader) bool {
	a := readNumber(acc)
	meets := func(op uint64, c number) bool {
		order, ok := a.cmp(c)
		if !ok {
			return false
		}
		switch op {
		case opGT:
			return order > 0
		case opGE:
			return order >= 0
		case opLT:
			return order < 0
		case opLE:
			return order <= 0
		}
		return order == 0
	}
	t, tagged := cond.PeekTag()
	if !tagged {
		return meets(0, readNumber(cond))
	}
	cond.Tag()
	switch t {
	case claim.TagMinSVN:
		return meets(opGE, readNumber(cond))
	case tagNumeric:
		cond.Array()
		return meets(cond.Uint(), readNumber(cond))
	case claim.TagIntRange:
		cond.Array()
		for _, op := range []uint64{opGE, opLE} {
			if cond.Kind() == cborx.Null {
				cond.Null()
			} else if !meets(op, readNumber(cond)) {
				return false
			}
		}
		return cond.OK()
	}
	return false
}

// compareComponents compares sixteen TCB components one by one.
func compareComponents(cond, acc *cborx.Reader) bool {
	if cond.Array() != 16 || acc.Array() != 16 {
		return false
	}
	for range 16 {
		if !compareNumbers(cborx.Checked(cond.Raw()), cborx.Checked(acc.Raw())) {
			return false
		}
	}
	return true
}

func readMasked(r *cborx.Reader) (value, mask []byte) {
	t, tagged := r.PeekTag()
	if tagged {
		r.Tag()
	}
	if t == claim.TagMaskedRaw {
		r.Array()
		return r.Bytes(), r.Bytes()
	}
	return r.Bytes(), nil
}

func compareMasked(cond, acc *cborx.Reader) bool {
	c, mask := readMasked(cond)
	a, _ := readMasked(acc)
	return masked(c, mask, a)
}

func compareRaw(cond, acc claim.Values) bool {
	if cond.Raw == nil || acc.Raw == nil || acc.Raw.Mask != nil {
		return false
	}
	return masked(cond.Raw.Value, cond.Raw.Mask, acc.Raw.Value)
}

// masked compares under the profile's mask: a short one is extended with zero bits, a long one is cut. Values must have
// one length.
func masked(c, mask, a []byte) bool {
	if len(c) != len(a) {
		return false
	}
	for i := range c {
		m := byte(0xff)
		if mask != nil {
			if m = 0; i < len(mask) {
				m = mask[i]
			}
		}
		if (c[i]^a[i])&m != 0 {
			return false
		}
	}
	return true
}

// compareDigests: of plain sets one common algorithm must agree and none may differ; mem and nmem ask whether a digest
// of the Evidence is among those listed.
func compareDigests(cond, acc *cborx.Reader) bool {
	op := setOp(cond)
	c, a := readDigests(cond), readDigests(acc)
	common, equal, differ := false, false, false
	for _, x := range a {
		for _, y := range c {
			if x.SameAlg(y) {
				common = true
				if x.Equal(y) {
					equal = true
				} else {
					differ = true
				}
			}
		}
	}
	switch op {
	case opMem:
		return equal
	case opNot:
		// Without a common algorithm nobody can tell whether the digest is one of those listed.
		return !equal && (common || len(c) == 0) && len(a) > 0
	}
	return equal && !differ
}

// compareTexts: of plain sets equality; mem wants every text of the Evidence listed, so that an unknown status or
// advisory does not pass; nmem wants none of them listed.
func compareTexts(cond, acc *cborx.Reader) bool {
	op := setOp(cond)
	c, a := readTexts(cond), readTexts(acc)
	in := func(list []string) func(string) bool {
		return func(s string) bool { return slices.Contains(list, s) }
	}
	outside := func(list, of []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
	}
	switch op {
	case opMem:
		return !outside(a, c)
	case opNot:
		return !slices.ContainsFunc(a, in(c))
	}
	return !outside(a, c) && !outside(c, a)
}

func setOp(cond *cborx.Reader) uint64 {
	if cond.Kind() != cborx.Tag {
		return 0
	}
	cond.Tag()
	cond.Array()
	return cond.Uint()
}

func parseDate(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err == nil
}

// compareDates compares instants; periods and times with an uncertainty are never equal to anything.
func compareDates(cond, acc *cborx.Reader) bool {
	c, okC := readDate(cond)
	a, okA := readDate(acc)
	return okC && okA && c.Equal(a)
}

func readDate(r *cborx.Reader) (time.Time, bool) {
	t, tagged := r.PeekTag()
	if tagged {
		r.Tag()
	}
	switch {
	case !tagged, t == 0:
		return parseDate(r.Text())
	case t == 1:
		s := r.Int64()
		return time.Unix(s, 0).UTC(), r.OK()
	case t == 1001 && r.Kind() == cborx.Map:
		if n := r.Map(); n == 1 && r.Int64() == 1 {
			s := r.Int64()
			return time.Unix(s, 0).UTC(), r.OK()
		}
	}
	return time.Time{}, false
}
