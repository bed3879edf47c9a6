package corim

import (
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// Encode writes tag 501 and corim-map, core deterministic (RFC 8949 section 4.2.1). A manifest that was read from
// deterministic bytes gives the same bytes. Raw is not looked at, except that CoSWID and CoTS tags with Raw are written
// from it. The result has been read back strictly with the profiles of o; what would not be read is not written.
func Encode(m *Manifest, o Options) ([]byte, error) {
	b, err := appendManifest(nil, m)
	if err != nil {
		return nil, fault.Wrap(err, "corim")
	}
	if _, err := Decode(b, Options{Profiles: o.Profiles, ForDisplay: o.ForDisplay}); err != nil {
		return nil, fault.Wrap(err, "the CoRIM would not be read by anybody")
	}
	return b, nil
}

// EncodeCoMID writes one CoMID map without its tag.
func EncodeCoMID(c *CoMID, o Options) ([]byte, error) {
	b, err := appendCoMID(nil, c)
	if err != nil {
		return nil, fault.Wrap(err, "comid")
	}
	if _, err := DecodeCoMID(b, Options{Profile: o.Profile}); err != nil {
		return nil, fault.Wrap(err, "the CoMID would not be read by anybody")
	}
	return b, nil
}

// EncodeCoTL writes one concise tag list map without its tag.
func EncodeCoTL(c *CoTL) ([]byte, error) {
	b := appendCoTL(nil, c)
	if _, err := DecodeCoTL(b, Options{}); err != nil {
		return nil, fault.Wrap(err, "the tag list would not be read by anybody")
	}
	return b, nil
}

func appendManifest(b []byte, m *Manifest) ([]byte, error) {
	var e cborx.MapEncoder
	e.Put(0, m.ID.AppendCBOR(nil))
	tags, err := appendTags(m)
	if err != nil {
		return nil, err
	}
	e.Put(1, tags)
	if len(m.DependentRIMs) > 0 {
		v := cborx.AppendArray(nil, len(m.DependentRIMs))
		for _, l := range m.DependentRIMs {
			v = appendLocator(v, l)
		}
		e.Put(2, v)
	}
	if m.Profile != "" {
		if oid, ok := OID(m.Profile); ok {
			e.Put(3, oid.AppendCBOR(nil))
		} else {
			e.Put(3, appendURI(nil, m.Profile))
		}
	}
	if m.Validity != nil {
		e.Put(4, appendValidity(nil, *m.Validity))
	}
	if len(m.Entities) > 0 {
		e.Put(5, appendEntities(nil, m.Entities))
	}
	putExt(&e, m.Ext)
	return e.Append(cborx.AppendTag(b, TagCoRIM)), nil
}

func putExt(e *cborx.MapEncoder, ext []claim.Extension) {
	for _, x := range ext {
		e.Put(x.Key, x.CBOR)
	}
}

// appendTags writes the tags in the order in which they were carried, as far as that is known.
func appendTags(m *Manifest) ([]byte, error) {
	contents := map[uint64][][]byte{}
	n := 0
	add := func(tag uint64, b []byte, err error) error {
		contents[tag] = append(contents[tag], b)
		n++
		return err
	}
	for i := range m.CoSWIDs {
		b, err := EncodeCoSWID(&m.CoSWIDs[i])
		if err := add(TagCoSWID, b, err); err != nil {
			return nil, err
		}
	}
	for i := range m.CoMIDs {
		b, err := appendCoMID(nil, &m.CoMIDs[i])
		if err := add(TagCoMID, b, err); err != nil {
			return nil, err
		}
	}
	for i := range m.CoTSs {
		b, err := EncodeCoTS(&m.CoTSs[i])
		if err := add(TagCoTS, b, err); err != nil {
			return nil, err
		}
	}
	for i := range m.CoTLs {
		_ = add(TagCoTL, appendCoTL(nil, &m.CoTLs[i]), nil)
	}
	out := cborx.AppendArray(nil, n)
	emit := func(tag uint64) {
		out = cborx.AppendBytes(cborx.AppendTag(out, tag), contents[tag][0])
		contents[tag] = contents[tag][1:]
	}
	for _, tag := range m.TagOrder {
		if len(contents[tag]) > 0 {
			emit(tag)
		}
	}
	for _, tag := range []uint64{TagCoSWID, TagCoMID, TagCoTS, TagCoTL} {
		for len(contents[tag]) > 0 {
			emit(tag)
		}
	}
	return out, nil
}

func appendURI(b []byte, s string) []byte {
	return cborx.AppendText(cborx.AppendTag(b, claim.TagURI), s)
}

func appendTime(b []byte, t time.Time) []byte {
	return cborx.AppendInt(cborx.AppendTag(b, 1), t.Unix())
}

func appendValidity(b []byte, v Validity) []byte {
	var e cborx.MapEncoder
	if v.NotBefore != nil {
		e.Put(0, appendTime(nil, *v.NotBefore))
	}
	e.Put(1, appendTime(nil, v.NotAfter))
	return e.Append(b)
}

func appendEntities(b []byte, es []Entity) []byte {
	b = cborx.AppendArray(b, len(es))
	for _, en := range es {
		var e cborx.MapEncoder
		e.Put(0, cborx.AppendText(nil, en.Name))
		if en.RegID != "" {
			e.Put(1, appendURI(nil, en.RegID))
		}
		roles := cborx.AppendArray(nil, len(en.Roles))
		for _, r := range en.Roles {
			roles = cborx.AppendInt(roles, r)
		}
		e.Put(2, roles)
		putExt(&e, en.Ext)
		b = e.Append(b)
	}
	return b
}

func appendLocator(b []byte, l Locator) []byte {
	var e cborx.MapEncoder
	var v []byte
	if len(l.HRefs) != 1 || l.HRefList {
		v = cborx.AppendArray(v, len(l.HRefs))
	}
	for _, h := range l.HRefs {
		v = appendURI(v, h)
	}
	e.Put(0, v)
	switch {
	case len(l.Thumbprints) == 1 && !l.ThumbprintList:
		e.Put(1, appendDigest(nil, l.Thumbprints[0]))
	case len(l.Thumbprints) > 0:
		e.Put(1, appendDigests(nil, l.Thumbprints))
	}
	return e.Append(b)
}

func appendTagIdentity(b []byte, t TagIdentity) []byte {
	var e cborx.MapEncoder
	e.Put(0, t.TagID.AppendCBOR(nil))
	if t.TagVersion != 0 || t.ExplicitZero {
		e.Put(1, cborx.AppendUint(nil, t.TagVersion))
	}
	return e.Append(b)
}

func appendCoTL(b []byte, c *CoTL) []byte {
	var e cborx.MapEncoder
	e.Put(0, appendTagIdentity(nil, c.TagIdentity))
	v := cborx.AppendArray(nil, len(c.Tags))
	for _, t := range c.Tags {
		v = appendTagIdentity(v, t)
	}
	e.Put(1, v)
	e.Put(2, appendValidity(nil, c.Validity))
	return e.Append(b)
}

func appendCoMID(b []byte, c *CoMID) ([]byte, error) {
	var e cborx.MapEncoder
	if c.Language != "" {
		e.Put(0, cborx.AppendText(nil, c.Language))
	}
	e.Put(1, appendTagIdentity(nil, c.TagIdentity))
	if len(c.Entities) > 0 {
		e.Put(2, appendEntities(nil, c.Entities))
	}
	if len(c.Linked) > 0 {
		v := cborx.AppendArray(nil, len(c.Linked))
		for _, l := range c.Linked {
			var le cborx.MapEncoder
			le.Put(0, l.TagID.AppendCBOR(nil))
			le.Put(1, cborx.AppendInt(nil, l.Rel))
			v = le.Append(v)
		}
		e.Put(3, v)
	}
	triples, err := appendTriples(nil, &c.Triples)
	if err != nil {
		return nil, err
	}
	e.Put(4, triples)
	putExt(&e, c.Ext)
	return e.Append(b), nil
}
