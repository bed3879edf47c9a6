package corim

import (
	"strconv"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// values reads measurement-values-map (section 5.1.4.5); its code points are listed in specs corim.md section 9.
func (d *decoder) values(r *cborx.Reader, v *claim.Values) {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("the measurement has no value")
	}
	var oldMask []byte
	for ; n > 0 && r.OK(); n-- {
		k := r.Int64()
		if k == 5 {
			oldMask = r.Bytes()
			d.warn("raw-value-mask (5) is deprecated; 563 replaces it")
		} else {
			d.value(r, k, v)
		}
		if !r.OK() {
			r.Within("value %d (%s)", k, d.codePointName(k))
		}
	}
	if oldMask == nil || !r.OK() {
		return
	}
	if v.Raw == nil || v.Raw.Mask != nil {
		r.Fail("raw-value-mask (5) without a plain raw-value (4) beside it")
		return
	}
	v.Raw.Mask, v.Raw.OldMask = oldMask, true
}

func (d *decoder) value(r *cborx.Reader, k int64, v *claim.Values) {
	switch k {
	case 0:
		v.Version = d.version(r)
	case 1:
		v.SVN = d.svn(r)
	case 2:
		d.oddAllowed = d.profile != nil && d.profile.OddDigest != nil
		v.Digests = d.digests(r)
		d.oddAllowed = false
	case 3:
		d.flags(r, v)
	case 4:
		v.Raw = d.raw(r)
	case 6:
		v.MAC = sized(r, "a MAC address", 6, 8)
	case 7:
		v.IP = sized(r, "an IP address", 4, 16)
	case 8:
		v.Serial = text(r)
	case 9:
		if v.UEID = r.Bytes(); r.OK() && (len(v.UEID) < 7 || len(v.UEID) > 33) {
			r.Fail("a UEID of %d bytes; it has 7 to 33", len(v.UEID))
		}
	case 10:
		v.UUID = sized(r, "a UUID", 16, 16)
	case 11:
		v.Name = text(r)
	case 13:
		v.CryptoKeys = d.keys(r)
	case 14:
		v.Registers = d.registers(r)
	case 15:
		v.IntRange = d.intRange(r)
	case 16:
		b := r.Bool()
		v.Bool = &b
	case 17:
		v.Number = d.number(r)
	case 18:
		v.Text = d.textChoice(r)
	case 19:
		v.Bytes = d.bytesChoice(r)
	default:
		d.extensionValue(r, k, v)
	}
}

// extensionValue keeps a code point of the profile, or one that nobody here knows; the latter never matches anything.
func (d *decoder) extensionValue(r *cborx.Reader, k int64, v *claim.Values) {
	enc := r.Canonical()
	if !r.OK() {
		return
	}
	if d.profile != nil {
		if cp, ok := d.profile.CodePoints[k]; ok {
			if cp.Check != nil {
				r.FailErr(fault.As(fault.Malformed, cp.Check(enc)))
			}
			v.Ext = append(v.Ext, claim.Extension{Key: k, CBOR: enc})
			return
		}
	}
	d.warn("a measurement has a code point that is not known here; nothing matches it")
	v.Ext = append(v.Ext, claim.Extension{Key: k, CBOR: enc})
}

func text(r *cborx.Reader) *string { s := r.Text(); return &s }

func sized(r *cborx.Reader, what string, a, b int) []byte {
	v := r.Bytes()
	if r.OK() && len(v) != a && len(v) != b {
		r.Fail("%s of %d bytes", what, len(v))
	}
	return v
}

var versionSchemes = map[int64]string{1: "multipartnumeric", 2: "multipartnumeric+suffix", 3: "alphanumeric", 4: "decimal",
	5: "binary", 16384: "semver"}

func versionSchemeByName(name string) (int64, bool) {
	for id, n := range versionSchemes {
		if n == name {
			return id, true
		}
	}
	if id, err := strconv.ParseInt(name, 10, 64); err == nil && strconv.FormatInt(id, 10) == name {
		return id, true
	}
	return 0, false
}

func (d *decoder) version(r *cborx.Reader) *claim.Version {
	v, ok := &claim.Version{}, false
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			v.Text, ok = r.Text(), true
		case 1:
			if r.Kind() == cborx.Text {
				v.Scheme = r.Text()
				if _, v.TextScheme = versionSchemeByName(v.Scheme); v.Scheme == "" {
					r.Fail("a version scheme without a name")
				}
				continue
			}
			id := r.Int64()
			if v.Scheme = versionSchemes[id]; v.Scheme == "" {
				v.Scheme = strconv.FormatInt(id, 10)
			}
		default:
			r.Fail("version-map has the unknown key %d", k)
		}
	}
	if !ok {
		r.Fail("version-map lacks its version (0)")
	}
	return v
}

func (d *decoder) svn(r *cborx.Reader) *claim.SVN {
	t, tagged := r.PeekTag()
	switch {
	case !tagged:
		return &claim.SVN{Value: r.Uint(), Bare: true}
	case t == claim.TagSVN, t == claim.TagMinSVN:
		r.Tag()
		return &claim.SVN{Value: r.Uint(), Min: t == claim.TagMinSVN}
	}
	r.FailAs(fault.Unsupported, "svn has tag %d; 552 and 553 are known", t)
	return nil
}

// flags reads flags-map. A flag that is not known here is kept as an extension of code point 3, for which the base has
// no comparison, so that a condition with it matches nothing.
func (d *decoder) flags(r *cborx.Reader, v *claim.Values) {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("the flags are empty")
	}
	var unknown cborx.MapEncoder
	for ; n > 0 && r.OK(); n-- {
		k := r.Int64()
		if k >= 0 && k < int64(claim.NumFlags) {
			v.Flags = v.Flags.With(claim.Flag(k), r.Bool())
			continue
		}
		d.warn("a flag is not known here; a condition with it matches nothing")
		unknown.Put(k, cborx.AppendBool(nil, r.Bool()))
	}
	if unknown.Len() > 0 && r.OK() {
		v.Ext = append(v.Ext, claim.Extension{Key: 3, CBOR: unknown.Append(nil)})
	}
}

func (d *decoder) raw(r *cborx.Reader) *claim.Raw {
	t, ok := r.PeekTag()
	switch {
	case ok && t == claim.TagBytes:
		r.Tag()
		return &claim.Raw{Value: r.Bytes()}
	case ok && t == claim.TagMaskedRaw:
		r.Tag()
		r.Tuple(2, 2)
		return &claim.Raw{Value: r.Bytes(), Mask: r.Bytes()}
	case ok:
		r.FailAs(fault.Unsupported, "raw-value has tag %d; 560 and 563 are known", t)
	default:
		r.Fail("raw-value must be tagged 560 or 563, found %v", r.Kind())
	}
	return nil
}

func (d *decoder) registers(r *cborx.Reader) []claim.Register {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("there are no integrity registers")
	}
	out := make([]claim.Register, 0, min(n, 64))
	for ; n > 0 && r.OK(); n-- {
		var reg claim.Register
		if r.Kind() == cborx.Text {
			reg.ID = claim.Text(claim.TagNone, r.Text())
		} else {
			reg.ID = claim.Uint(r.Uint())
		}
		reg.Digests = d.digests(r)
		out = append(out, reg)
	}
	return out
}

func readInt(r *cborx.Reader) claim.Int {
	neg, mag := r.Int()
	return claim.Int{Neg: neg, Mag: mag}
}

func (d *decoder) intRange(r *cborx.Reader) *claim.IntRange {
	t, tagged := r.PeekTag()
	switch {
	case !tagged:
		i := readInt(r)
		return &claim.IntRange{Value: &i}
	case t != claim.TagIntRange:
		r.FailAs(fault.Unsupported, "int-range has tag %d; 564 is known", t)
		return nil
	}
	r.Tag()
	rg := readRange(r, readInt)
	return &claim.IntRange{Range: &rg}
}

func readRange[T any](r *cborx.Reader, one func(*cborx.Reader) T) (rg claim.Range[T]) {
	r.Tuple(2, 2)
	for _, end := range []**T{&rg.Min, &rg.Max} {
		if r.Kind() == cborx.Null {
			r.Null()
			continue
		}
		v := one(r)
		*end = &v
	}
	return rg
}

func readNumber(r *cborx.Reader) claim.Number {
	if r.Kind() == cborx.Float {
		return claim.Number{Float: true, F: r.Float()}
	}
	return claim.Number{I: readInt(r)}
}

func (d *decoder) number(r *cborx.Reader) *claim.NumberChoice {
	t, tagged := r.PeekTag()
	switch {
	case !tagged:
		n := readNumber(r)
		return &claim.NumberChoice{Value: &n}
	case t == claim.TagNumberRange:
		r.Tag()
		rg := readRange(r, readNumber)
		return &claim.NumberChoice{Range: &rg}
	}
	return &claim.NumberChoice{Set: readSet(d, r, readNumber)}
}

// readSet reads 566([2* member]).
func readSet[T any](d *decoder, r *cborx.Reader, one func(*cborx.Reader) T) (out []T) {
	if t, _ := r.PeekTag(); t != claim.TagSet {
		r.FailAs(fault.Unsupported, "tag %d is no form of this value that is known here", t)
		return nil
	}
	r.Tag()
	n := r.Tuple(2, maxTriples)
	for ; n > 0 && r.OK(); n-- {
		out = append(out, one(r))
	}
	return out
}

func (d *decoder) textChoice(r *cborx.Reader) *claim.TextChoice {
	if r.Kind() != cborx.Tag {
		return &claim.TextChoice{Value: r.Text()}
	}
	return &claim.TextChoice{Set: readSet(d, r, (*cborx.Reader).Text)}
}

func (d *decoder) bytesChoice(r *cborx.Reader) *claim.BytesChoice {
	if r.Kind() != cborx.Tag {
		return &claim.BytesChoice{Value: r.Bytes()}
	}
	return &claim.BytesChoice{Set: readSet(d, r, (*cborx.Reader).Bytes)}
}

var codePointNames = map[int64]string{0: "version", 1: "svn", 2: "digests", 3: "flags", 4: "raw-value", 5: "raw-value-mask",
	6: "mac-addr", 7: "ip-addr", 8: "serial-number", 9: "ueid", 10: "uuid", 11: "name", 13: "cryptokeys",
	14: "integrity-registers", 15: "int-range", 16: "bool", 17: "number", 18: "text", 19: "bytes"}

func (d *decoder) codePointName(k int64) string { return codePointName(d.profile, k) }

func codePointName(p *Profile, k int64) string {
	if n, ok := codePointNames[k]; ok {
		return n
	}
	if p != nil {
		if cp, ok := p.CodePoints[k]; ok {
			return cp.Name
		}
	}
	return "not known here"
}
