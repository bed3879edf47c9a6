package corim

import (
	"bytes"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// environment reads environment-map (section 5.1.4.1). It and class-map have no extension socket.
func (d *decoder) environment(r *cborx.Reader) (e claim.Environment) {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("the environment is empty")
	}
	for ; n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			e.Class = d.class(r)
		case 1:
			e.Instance = d.choice(r, "instance", instanceTags)
		case 2:
			e.Group = d.choice(r, "group", groupTags)
		default:
			r.Fail("environment-map has the unknown key %d", k)
		}
	}
	if !r.OK() {
		r.Within("environment")
	}
	return e
}

func (d *decoder) class(r *cborx.Reader) (c claim.Class) {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("the class is empty")
	}
	for ; n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			c.ID = d.choice(r, "class-id", classTags)
		case 1:
			c.Vendor = claim.Some(r.Text())
		case 2:
			c.Model = claim.Some(r.Text())
		case 3:
			c.Layer = claim.Some(r.Uint())
		case 4:
			c.Index = claim.Some(r.Uint())
		default:
			r.Fail("class-map has the unknown key %d", k)
		}
	}
	if c.Model.Set && !c.Vendor.Set {
		r.Fail("the class has a model without a vendor")
	}
	return c
}

// The type choices of the draft's sockets.
var (
	classTags    = []uint64{claim.TagOID, claim.TagUUID, claim.TagBytes}
	instanceTags = []uint64{claim.TagUEID, claim.TagUUID, claim.TagBytes, claim.TagPKIXBase64Key, claim.TagPKIXBase64Cert,
		claim.TagCOSEKey, claim.TagKeyThumbprint, claim.TagCertThumbprint, claim.TagPKIXASN1DERCert}
	groupTags = []uint64{claim.TagUUID, claim.TagBytes}
	mkeyTags  = []uint64{claim.TagOID, claim.TagUUID}
	keyTags   = []uint64{claim.TagPKIXBase64Key, claim.TagPKIXBase64Cert, claim.TagPKIXBase64Path, claim.TagKeyThumbprint,
		claim.TagCOSEKey, claim.TagCertThumbprint, claim.TagBytes, claim.TagPathThumbprint, claim.TagPKIXASN1DERCert}
)

// choice reads a tagged value whose tag must be one of allowed.
func (d *decoder) choice(r *cborx.Reader, what string, allowed []uint64) claim.ID {
	t, ok := r.PeekTag()
	switch {
	case !r.OK():
		return claim.ID{}
	case !ok:
		r.Fail("%s must be tagged, found %v", what, r.Kind())
		return claim.ID{}
	case !slices.Contains(allowed, t):
		r.FailAs(fault.Unsupported, "%s has tag %d, which is no form of it that is known here", what, t)
		return claim.ID{}
	}
	if t == claim.TagOID {
		return d.oid(r)
	}
	r.Tag()
	switch t {
	case claim.TagPKIXBase64Key, claim.TagPKIXBase64Cert, claim.TagPKIXBase64Path:
		return claim.Text(t, r.Text())
	case claim.TagKeyThumbprint, claim.TagCertThumbprint, claim.TagPathThumbprint:
		// A text name of a known algorithm becomes its integer here, so that an alias cannot make two forms of one
		// thumbprint differ (specs corim.md A12).
		dg := d.digest(r)
		return claim.DigestID(t, dg)
	case claim.TagCOSEKey:
		if k := r.Kind(); k != cborx.Map {
			r.Fail("COSE_Key expected, found %v", k)
		}
		return claim.Encoded(t, r.Canonical())
	}
	b := r.Bytes()
	switch {
	case t == claim.TagUUID && len(b) != 16:
		r.Fail("a UUID of %d bytes", len(b))
	case t == claim.TagUEID && (len(b) < 7 || len(b) > 33):
		r.Fail("a UEID of %d bytes; it has 7 to 33", len(b))
	}
	return claim.Bytes(t, b)
}

func (d *decoder) mkey(r *cborx.Reader) claim.ID {
	switch r.Kind() {
	case cborx.Uint:
		return claim.Uint(r.Uint())
	case cborx.Text:
		return claim.Text(claim.TagNone, r.Text())
	}
	return d.choice(r, "mkey", mkeyTags)
}

// oid reads 111(content octets) (RFC 9090). Published files that carry the whole TLV need a relaxation.
func (d *decoder) oid(r *cborx.Reader) claim.ID {
	r.Expect(claim.TagOID)
	b := r.Bytes()
	if !r.OK() {
		return claim.ID{}
	}
	if len(b) > 2 && b[0] == 6 && b[1] < 128 && int(b[1]) == len(b)-2 {
		if d.relaxed(RelaxOIDTLV) {
			b = b[2:]
		} else {
			d.warn("an OID looks like a whole TLV and is read as content octets; relaxation oid-tlv would strip its head")
		}
	}
	if len(b) == 0 || b[len(b)-1] >= 0x80 {
		r.Fail("an OID without content or with an unfinished last arc")
		return claim.ID{}
	}
	for i, c := range b {
		if c == 0x80 && (i == 0 || b[i-1] < 0x80) {
			r.Fail("an OID with an arc that begins with 0x80")
			return claim.ID{}
		}
	}
	return claim.Bytes(claim.TagOID, b)
}

// keys reads [+ crypto-key]. A COSE_KeySet stands for as many keys (specs corim.md A34).
func (d *decoder) keys(r *cborx.Reader) []claim.ID {
	n := r.Array()
	if r.OK() && n == 0 {
		r.Fail("the list of keys is empty")
	}
	if n > maxTags {
		r.Fail("a list of %d keys; at most %d are read", n, maxTags)
	}
	if !r.OK() {
		return nil
	}
	out := make([]claim.ID, 0, n)
	for ; n > 0 && r.OK(); n-- {
		allowed := keyTags
		if d.profile != nil && len(d.profile.KeyTags) > 0 {
			if t, _ := r.PeekTag(); slices.Contains(d.profile.KeyTags, t) {
				allowed = d.profile.KeyTags
			}
		}
		peek := *r
		if peek.Kind() == cborx.Tag && peek.Tag() == claim.TagCOSEKey && peek.Kind() == cborx.Array {
			r.Tag()
			d.list(r, maxTags, func() {
				if k := r.Kind(); k != cborx.Map {
					r.Fail("COSE_Key expected, found %v", k)
				}
				out = append(out, claim.Encoded(claim.TagCOSEKey, r.Canonical()))
			})
			continue
		}
		out = append(out, d.choice(r, "key", allowed))
	}
	return out
}

// digest reads [alg, value] (draft-ietf-rats-eat-measured-component).
func (d *decoder) digest(r *cborx.Reader) (dg claim.Digest) {
	r.Tuple(2, 2)
	if r.Kind() == cborx.Text {
		name := r.Text()
		if id, ok := claim.DigestAlgByName(name); ok {
			dg.Alg, dg.TextAlg = id, true
		} else if dg.AlgName = name; name == "" {
			r.Fail("a digest algorithm without a name")
		}
	} else {
		dg.Alg = r.Int64()
	}
	dg.Value = r.Bytes()
	if !r.OK() {
		return dg
	}
	if size, ok := claim.DigestSize(dg.Alg); ok && dg.AlgName == "" && size != len(dg.Value) {
		if d.oddAllowed {
			d.odd = append(d.odd, dg)
			return dg
		}
		r.Fail("a %s digest of %d bytes; it has %d", dg.AlgString(), len(dg.Value), size)
	}
	if len(dg.Value) == 0 {
		r.Fail("an empty digest")
	}
	return dg
}

// digests reads [+ digest] with each algorithm at most once.
func (d *decoder) digests(r *cborx.Reader) []claim.Digest {
	n := r.Array()
	if r.OK() && (n == 0 || n > 64) {
		r.Fail("a list of %d digests; it has 1 to 64", n)
	}
	if !r.OK() {
		return nil
	}
	out := make([]claim.Digest, 0, n)
	for ; n > 0 && r.OK(); n-- {
		dg := d.digest(r)
		for _, o := range out {
			if r.OK() && o.SameAlg(dg) {
				r.Fail("algorithm %s occurs twice in one list of digests", dg.AlgString())
			}
		}
		out = append(out, dg)
	}
	return out
}

// OID makes the ID 111(content) of a dotted OID; false when s is none.
func OID(s string) (claim.ID, bool) {
	arcs := bytes.Split([]byte(s), []byte("."))
	if len(arcs) < 2 {
		return claim.ID{}, false
	}
	var out []byte
	var first uint64
	for i, a := range arcs {
		if len(a) == 0 || len(a) > 18 || (len(a) > 1 && a[0] == '0') {
			return claim.ID{}, false
		}
		var v uint64
		for _, c := range a {
			if c < '0' || c > '9' {
				return claim.ID{}, false
			}
			v = v*10 + uint64(c-'0')
		}
		switch {
		case i == 0 && v > 2, i == 1 && first < 2 && v > 39:
			return claim.ID{}, false
		case i == 0:
			first = v
			continue
		case i == 1:
			v += first * 40
		}
		out = appendBase128(out, v)
	}
	return claim.Bytes(claim.TagOID, out), true
}

func appendBase128(b []byte, v uint64) []byte {
	var tmp [10]byte
	i := len(tmp) - 1
	for tmp[i] = byte(v & 0x7f); v > 0x7f; tmp[i] = byte(v&0x7f) | 0x80 {
		v >>= 7
		i--
	}
	return append(b, tmp[i:]...)
}

// UUIDText gives the text form of an untagged or tagged UUID (RFC 9562 section 4), else "".
func UUIDText(id claim.ID) string {
	c := id.Content()
	if id.Kind != claim.KindBytes || len(c) != 16 {
		return ""
	}
	return claim.Bytes(claim.TagUUID, c).String()
}

// idText is the text form of a corim id or tag-id.
func idText(id claim.ID) string {
	if id.Kind == claim.KindText {
		return id.TextContent()
	}
	return UUIDText(id)
}
