package intel

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
)

// The valid functions read one value and say through cond whether it is a condition.

func validText(r *cborx.Reader, _ *bool) { r.Text() }

func validTextOrUint(r *cborx.Reader, _ *bool) {
	if r.Kind() == cborx.Text {
		r.Text()
		return
	}
	r.Uint()
}

func validUintOrBytes(r *cborx.Reader, _ *bool) {
	if r.Kind() == cborx.Bytes {
		r.Bytes()
		return
	}
	r.Uint()
}

func validInstance(r *cborx.Reader, _ *bool) {
	if b := r.Bytes(); r.OK() && len(b) != 16 && len(b) != 32 {
		r.Fail("a platform instance id of %d bytes; it has 16 or 32", len(b))
	}
}

func validKeys(r *cborx.Reader, _ *bool) {
	if n := r.Array(); r.OK() && n == 0 {
		r.Fail("no keys")
	} else {
		for ; n > 0 && r.OK(); n-- {
			if r.Kind() != cborx.Tag {
				r.Fail("a key must be tagged")
			}
			r.Skip()
		}
	}
}

// validSVN reads an unsigned integer, or a condition on one.
func validSVN(r *cborx.Reader, cond *bool) {
	t, tagged := r.PeekTag()
	if !tagged {
		r.Uint()
		return
	}
	*cond = true
	r.Tag()
	switch t {
	case claim.TagMinSVN:
		r.Uint()
	case claim.TagIntRange:
		r.Tuple(2, 2)
		for range 2 {
			if r.Kind() == cborx.Null {
				r.Null()
			} else {
				r.Int()
			}
		}
	case tagNumeric:
		r.Tuple(2, 2)
		if op := r.Uint(); op < opGT || op > opLE {
			r.Fail("operator %d is none for numbers", op)
		}
		if r.Kind() == cborx.Float {
			r.Float()
		} else {
			r.Int()
		}
	default:
		r.Fail("tag %d is no form of a number here", t)
	}
}

func validComponents(r *cborx.Reader, cond *bool) {
	if n := r.Array(); r.OK() && n != 16 {
		r.Fail("%d TCB components; there are 16", n)
	}
	for i := 0; i < 16 && r.OK(); i++ {
		validSVN(r, cond)
	}
}

func validMasked(r *cborx.Reader, cond *bool) {
	t, tagged := r.PeekTag()
	switch {
	case !tagged:
		r.Bytes()
	case t == claim.TagMaskedRaw:
		*cond = true
		r.Tag()
		r.Tuple(2, 2)
		r.Bytes()
		r.Bytes()
	default:
		r.Expect(claim.TagBytes)
		r.Bytes()
	}
}

func validDigests(r *cborx.Reader, cond *bool) {
	if r.Kind() == cborx.Tag {
		*cond = true
		r.Expect(tagDigests)
		r.Tuple(2, 2)
		validSetOp(r)
	}
	readDigests(r)
}

func validTexts(r *cborx.Reader, cond *bool) {
	if r.Kind() == cborx.Tag {
		*cond = true
		r.Expect(tagTexts)
		r.Tuple(2, 2)
		validSetOp(r)
	}
	readTexts(r)
}

func validSetOp(r *cborx.Reader) {
	if op := r.Uint(); r.OK() && op != opMem && op != opNot {
		r.Fail("operator %d is none for sets", op)
	}
}

func validDate(r *cborx.Reader, _ *bool) {
	switch t, tagged := r.PeekTag(); {
	case !tagged:
		if _, ok := parseDate(r.Text()); r.OK() && !ok {
			r.Fail("the date is not in RFC 3339 form")
		}
	case t == 0:
		r.Tag()
		if _, ok := parseDate(r.Text()); r.OK() && !ok {
			r.Fail("the date is not in RFC 3339 form")
		}
	case t == 1:
		r.Tag()
		r.Int64()
	case t == 1001 || t == 1003: // etime and period of RFC 9581
		r.Tag()
		if k := r.Kind(); k != cborx.Map && k != cborx.Array {
			r.Fail("an extended time is a map or an array")
		}
		r.Skip()
	default:
		r.Fail("tag %d is no form of a date here", t)
	}
}

// readDigests reads one digest, or a list of them.
func readDigests(r *cborx.Reader) (out []claim.Digest) {
	peek := *r
	n := peek.Array()
	if n > 0 && peek.Kind() != cborx.Array {
		return []claim.Digest{readDigest(r)}
	}
	for n = r.Array(); n > 0 && r.OK(); n-- {
		out = append(out, readDigest(r))
	}
	return out
}

func readDigest(r *cborx.Reader) (d claim.Digest) {
	r.Tuple(2, 2)
	if r.Kind() == cborx.Text {
		d.AlgName = r.Text()
		if id, ok := claim.DigestAlgByName(d.AlgName); ok {
			d.Alg, d.AlgName = id, ""
		}
	} else {
		d.Alg = r.Int64()
	}
	d.Value = r.Bytes()
	if size, ok := claim.DigestSize(d.Alg); r.OK() && ok && d.AlgName == "" && size != len(d.Value) {
		r.Fail("a %s digest of %d bytes; it has %d", d.AlgString(), len(d.Value), size)
	}
	return d
}

func readTexts(r *cborx.Reader) (out []string) {
	for n := r.Array(); n > 0 && r.OK(); n-- {
		out = append(out, r.Text())
	}
	return out
}
