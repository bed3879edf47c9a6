package compare

import "github.com/assay-tee/assay/claim"

// ConditionForm returns the name of the first condition form in v: a minimum, mask, range, set or profile expression.
// None of them is allowed in Evidence, which states what is and not what would do (specs corim.md A15).
func ConditionForm(v *claim.Values) (form string, found bool) {
	switch {
	case v.SVN != nil && v.SVN.Min:
		return "min-svn (553)", true
	case v.Raw != nil && v.Raw.Mask != nil:
		return "masked raw-value (563)", true
	case v.IntRange != nil && v.IntRange.Value == nil:
		return "int-range (564)", true
	case v.Number != nil && v.Number.Value == nil:
		return "number range or set (565, 566)", true
	case v.Text != nil && len(v.Text.Set) > 0, v.Bytes != nil && len(v.Bytes.Set) > 0:
		return "set (566)", true
	}
	for i := range v.Ext {
		if hasConditionTag(v.Ext[i].CBOR) {
			return "expression in an extension", true
		}
	}
	return "", false
}

// hasConditionTag looks at the tag of an encoded item and, when it is an array (a list of expressions), at that of each
// entry that can be reached over simple ones. The encoding is core deterministic, so that a tag has one form.
func hasConditionTag(b []byte) bool {
	major, n, rest, ok := head(b)
	if !ok || major != 4 {
		return ok && major == 6 && isConditionTag(n)
	}
	for ; n > 0; n-- {
		var m byte
		var v uint64
		m, v, rest, ok = head(rest)
		switch {
		case !ok || m == 4 || m == 5:
			return false
		case m == 6 && isConditionTag(v):
			return true
		case m == 6:
			n++ // the tagged item follows
		case m == 2 || m == 3:
			if v > uint64(len(rest)) {
				return false
			}
			rest = rest[v:]
		}
	}
	return false
}

func isConditionTag(tag uint64) bool {
	switch tag {
	case claim.TagMinSVN, claim.TagMaskedRaw, claim.TagIntRange, claim.TagNumberRange, claim.TagSet, 60010, 60020, 60021:
		return true
	}
	return false
}

// head reads the initial bytes of a CBOR item (RFC 8949 section 3).
func head(b []byte) (major byte, n uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, info := b[0]>>5, b[0]&0x1f
	b = b[1:]
	if info < 24 {
		return major, uint64(info), b, true
	}
	size := 1 << (info - 24)
	if info > 27 || len(b) < size {
		return 0, 0, nil, false
	}
	for _, c := range b[:size] {
		n = n<<8 | uint64(c)
	}
	return major, n, b[size:], true
}
