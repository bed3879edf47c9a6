package corim

import (
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
)

// AppendValues appends measurement-values-map, core deterministic.
func AppendValues(b []byte, v claim.Values) []byte {
	var e cborx.MapEncoder
	if v.Version != nil {
		e.Put(0, appendVersion(*v.Version))
	}
	if v.SVN != nil {
		e.Put(1, appendSVN(*v.SVN))
	}
	if len(v.Digests) > 0 {
		e.Put(2, appendDigests(nil, v.Digests))
	}
	ext := v.Ext
	if i := slices.IndexFunc(ext, func(x claim.Extension) bool { return x.Key == 3 }); i >= 0 {
		e.Put(3, appendFlags(v.Flags, ext[i].CBOR))
		ext = slices.Concat(ext[:i], ext[i+1:])
	} else if v.Flags.Known != 0 {
		e.Put(3, appendFlags(v.Flags, nil))
	}
	if v.Raw != nil {
		putRaw(&e, *v.Raw)
	}
	for _, f := range []struct {
		key int64
		val []byte
	}{{6, v.MAC}, {7, v.IP}, {9, v.UEID}, {10, v.UUID}} {
		if f.val != nil {
			e.Put(f.key, cborx.AppendBytes(nil, f.val))
		}
	}
	if v.Serial != nil {
		e.Put(8, cborx.AppendText(nil, *v.Serial))
	}
	if v.Name != nil {
		e.Put(11, cborx.AppendText(nil, *v.Name))
	}
	if len(v.CryptoKeys) > 0 {
		e.Put(13, listOf(nil, v.CryptoKeys, appendID))
	}
	if len(v.Registers) > 0 {
		var re cborx.MapEncoder
		for _, reg := range v.Registers {
			re.PutRaw(reg.ID.AppendCBOR(nil), appendDigests(nil, reg.Digests))
		}
		e.Put(14, re.Append(nil))
	}
	if v.IntRange != nil {
		e.Put(15, appendIntRange(*v.IntRange))
	}
	if v.Bool != nil {
		e.Put(16, cborx.AppendBool(nil, *v.Bool))
	}
	if v.Number != nil {
		e.Put(17, appendNumberChoice(*v.Number))
	}
	if v.Text != nil {
		if v.Text.Set != nil {
			e.Put(18, listOf(cborx.AppendTag(nil, claim.TagSet), v.Text.Set, cborx.AppendText))
		} else {
			e.Put(18, cborx.AppendText(nil, v.Text.Value))
		}
	}
	if v.Bytes != nil {
		if v.Bytes.Set != nil {
			e.Put(19, listOf(cborx.AppendTag(nil, claim.TagSet), v.Bytes.Set, cborx.AppendBytes))
		} else {
			e.Put(19, cborx.AppendBytes(nil, v.Bytes.Value))
		}
	}
	putExt(&e, ext)
	return e.Append(b)
}

func appendVersion(v claim.Version) []byte {
	var e cborx.MapEncoder
	e.Put(0, cborx.AppendText(nil, v.Text))
	if v.Scheme != "" {
		if id, ok := versionSchemeByName(v.Scheme); ok && !v.TextScheme {
			e.Put(1, cborx.AppendInt(nil, id))
		} else {
			e.Put(1, cborx.AppendText(nil, v.Scheme))
		}
	}
	return e.Append(nil)
}

func appendSVN(s claim.SVN) []byte {
	var b []byte
	switch {
	case s.Min:
		b = cborx.AppendTag(b, claim.TagMinSVN)
	case !s.Bare:
		b = cborx.AppendTag(b, claim.TagSVN)
	}
	return cborx.AppendUint(b, s.Value)
}

func appendDigest(b []byte, d claim.Digest) []byte {
	b = cborx.AppendArray(b, 2)
	switch {
	case d.AlgName != "":
		b = cborx.AppendText(b, d.AlgName)
	case d.TextAlg:
		b = cborx.AppendText(b, d.AlgString())
	default:
		b = cborx.AppendInt(b, d.Alg)
	}
	return cborx.AppendBytes(b, d.Value)
}

func appendDigests(b []byte, ds []claim.Digest) []byte { return listOf(b, ds, appendDigest) }

// appendFlags writes the known flags and those of unknown, an encoded map.
func appendFlags(f claim.Flags, unknown []byte) []byte {
	var e cborx.MapEncoder
	for i := range claim.NumFlags {
		if v, known := f.Get(i); known {
			e.Put(int64(i), cborx.AppendBool(nil, v))
		}
	}
	if unknown != nil {
		r := cborx.Checked(unknown)
		for n := r.Map(); n > 0 && r.OK(); n-- {
			e.PutRaw(r.Raw(), r.Raw())
		}
	}
	return e.Append(nil)
}

func putRaw(e *cborx.MapEncoder, r claim.Raw) {
	plain := cborx.AppendBytes(cborx.AppendTag(nil, claim.TagBytes), r.Value)
	switch {
	case r.Mask == nil:
		e.Put(4, plain)
	case r.OldMask:
		e.Put(4, plain)
		e.Put(5, cborx.AppendBytes(nil, r.Mask))
	default:
		b := cborx.AppendArray(cborx.AppendTag(nil, claim.TagMaskedRaw), 2)
		e.Put(4, cborx.AppendBytes(cborx.AppendBytes(b, r.Value), r.Mask))
	}
}

func appendBigInt(b []byte, i claim.Int) []byte {
	if i.Neg {
		return cborx.AppendNeg(b, i.Mag)
	}
	return cborx.AppendUint(b, i.Mag)
}

func appendRange[T any](b []byte, tag uint64, r claim.Range[T], one func([]byte, T) []byte) []byte {
	b = cborx.AppendArray(cborx.AppendTag(b, tag), 2)
	for _, end := range []*T{r.Min, r.Max} {
		if end == nil {
			b = cborx.AppendNull(b)
		} else {
			b = one(b, *end)
		}
	}
	return b
}

func appendIntRange(r claim.IntRange) []byte {
	if r.Range != nil {
		return appendRange(nil, claim.TagIntRange, *r.Range, appendBigInt)
	}
	if r.Value == nil {
		return cborx.AppendNull(nil)
	}
	return appendBigInt(nil, *r.Value)
}

func appendNumber(b []byte, n claim.Number) []byte {
	if n.Float {
		return cborx.AppendFloat(b, n.F)
	}
	return appendBigInt(b, n.I)
}

func appendNumberChoice(c claim.NumberChoice) []byte {
	switch {
	case c.Range != nil:
		return appendRange(nil, claim.TagNumberRange, *c.Range, appendNumber)
	case c.Set != nil:
		return listOf(cborx.AppendTag(nil, claim.TagSet), c.Set, appendNumber)
	case c.Value != nil:
		return appendNumber(nil, *c.Value)
	}
	return cborx.AppendNull(nil)
}
