package corim

import (
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// Decode reads an unsigned manifest: tag 501 around corim-map (draft-ietf-rats-corim section 4.1). Errors are malformed,
// or unsupported for an unknown profile or type choice.
func Decode(b []byte, o Options) (*Manifest, error) {
	d := &decoder{opts: o}
	b = append([]byte(nil), b...) // what is read must not change under the reader
	r := cborx.NewReader(b, outerLimits)
	if t, ok := r.PeekTag(); ok && t == TagLegacyCoRIM && d.relaxed(RelaxLegacyPrefix) {
		r.Tag()
	}
	switch k := r.Kind(); {
	case k == cborx.Map && d.relaxed(RelaxBarePayload):
	default:
		r.Expect(TagCoRIM)
	}
	m := d.manifest(r)
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "corim")
	}
	m.Raw, m.Relaxations, m.Warnings = b, d.used, d.warnings
	return m, nil
}

// DecodeCoMID reads one CoMID map without its tag, under o.Profile when that is set.
func DecodeCoMID(b []byte, o Options) (*CoMID, error) {
	d := &decoder{opts: o, profile: o.Profile}
	c, err := d.comid(append([]byte(nil), b...))
	if err != nil {
		return nil, fault.Wrap(err, "comid")
	}
	return c, nil
}

// DecodeCoTL reads one concise tag list map without its tag.
func DecodeCoTL(b []byte, o Options) (*CoTL, error) {
	d := &decoder{opts: o}
	c, err := d.cotl(append([]byte(nil), b...))
	return c, fault.Wrap(err, "cotl")
}

func (d *decoder) manifest(r *cborx.Reader) *Manifest {
	m := &Manifest{}
	n := r.Map()
	// The profile decides how tags are read, and the map need not be sorted: find it first.
	body := *r
	for i := 0; i < n && body.OK(); i++ {
		if body.Int64() == 3 {
			m.Profile = d.profileID(&body)
			if body.OK() {
				body.FailErr(d.lookupProfile(m.Profile))
			}
			break
		}
		body.Skip()
	}
	if r.FailErr(body.Err()); !r.OK() {
		return m
	}
	var seen uint64
	for ; n > 0 && r.OK(); n-- {
		k := r.Int64()
		if k >= 0 && k < 64 {
			seen |= 1 << k
		}
		if d.profile != nil && len(d.profile.OnlyKeys) > 0 && !containsKey(d.profile.OnlyKeys, k) {
			r.Skip()
			continue
		}
		switch k {
		case 0:
			m.ID = d.textOrUUID(r)
			r.Within("id")
		case 1:
			d.tags(r, m)
		case 2:
			d.list(r, maxTags, func() { m.DependentRIMs = append(m.DependentRIMs, d.locator(r)) })
			r.Within("dependent-rims")
		case 3:
			r.Skip()
		case 4:
			v := d.validity(r)
			m.Validity = &v
			r.Within("rim-validity")
		case 5:
			m.Entities = d.entities(r, 1, 2)
			signers := 0
			for _, e := range m.Entities {
				for _, role := range e.Roles {
					if role == 2 {
						signers++
					}
				}
			}
			if signers > 1 {
				r.Fail("more than one entity has the role manifest-signer")
			}
			r.Within("entities")
		default:
			m.Ext = d.extension(r, "corim-map", k, m.Ext)
		}
	}
	if r.OK() && seen&3 != 3 {
		r.Fail("corim-map lacks id (0) or tags (1)")
	}
	return m
}

func containsKey(keys []int64, k int64) bool {
	for _, x := range keys {
		if x == k {
			return true
		}
	}
	return false
}

// extension keeps an unknown positive key, and refuses a negative one, which only a profile can explain (specs corim.md
// A18).
func (d *decoder) extension(r *cborx.Reader, where string, k int64, list []claim.Extension) []claim.Extension {
	if k < 0 {
		r.FailAs(fault.Unsupported, "%s has the private key %d, which no profile here explains", where, k)
		return list
	}
	if r.OK() {
		d.warn(where + " has a key that is not known here; it contributes nothing")
	}
	return append(list, claim.Extension{Key: k, CBOR: r.Canonical()})
}

// list reads a non-empty array of at most max entries.
func (d *decoder) list(r *cborx.Reader, max int, entry func()) {
	n := r.Array()
	switch {
	case !r.OK():
		return
	case n == 0:
		r.Fail("the list is empty")
	case n > max:
		r.Fail("a list of %d entries; at most %d are read", n, max)
	}
	for ; n > 0 && r.OK(); n-- {
		entry()
	}
}

func (d *decoder) textOrUUID(r *cborx.Reader) claim.ID {
	if r.Kind() == cborx.Bytes {
		b := r.Bytes()
		if len(b) != 16 {
			r.Fail("an identifier of %d bytes; a UUID has 16", len(b))
		}
		return claim.Bytes(claim.TagNone, b)
	}
	s := r.Text()
	if s == "" {
		r.Fail("the identifier is empty")
	}
	return claim.Text(claim.TagNone, s)
}

func (d *decoder) uri(r *cborx.Reader) string {
	if r.Kind() == cborx.Text && d.relaxed(RelaxUntaggedURI) {
		return r.Text()
	}
	r.Expect(claim.TagURI)
	s := r.Text()
	if s == "" {
		r.Fail("the URI is empty")
	}
	return s
}

func (d *decoder) profileID(r *cborx.Reader) string {
	defer r.Within("profile")
	if r.Kind() == cborx.Array && d.relaxed(RelaxProfileArray) {
		r.Tuple(1, 1)
	}
	if t, ok := r.PeekTag(); ok && t == claim.TagOID {
		return d.oid(r).String()
	}
	return d.uri(r)
}

// maxUnix is the last second of year 9999, beyond which times have no text form.
const maxUnix = 253402300799

func (d *decoder) epoch(r *cborx.Reader) time.Time {
	r.Expect(1)
	s := r.Int64()
	if s > maxUnix || s < -62135596800 {
		r.Fail("the time %d lies outside the years 1 to 9999", s)
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func (d *decoder) validity(r *cborx.Reader) (v Validity) {
	end := false
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			t := d.epoch(r)
			v.NotBefore = &t
		case 1:
			v.NotAfter, end = d.epoch(r), true
		default:
			r.Fail("validity has the unknown key %d", k)
		}
	}
	if !end {
		r.Fail("validity lacks not-after (1)")
	}
	return v
}

func (d *decoder) entities(r *cborx.Reader, lo, hi int64) (out []Entity) {
	d.list(r, maxTags, func() {
		var e Entity
		for n := r.Map(); n > 0 && r.OK(); n-- {
			switch k := r.Int64(); k {
			case 0:
				e.Name = r.Text()
			case 1:
				e.RegID = d.uri(r)
			case 2:
				d.list(r, 64, func() {
					role := r.Int64()
					if role >= 0 && (role < lo || role > hi) {
						d.warn("an entity has a role that is not known here")
					}
					e.Roles = append(e.Roles, role)
				})
			default:
				e.Ext = d.extension(r, "entity-map", k, e.Ext)
			}
		}
		if e.Name == "" || len(e.Roles) == 0 {
			r.Fail("an entity lacks its name (0) or roles (2)")
		}
		out = append(out, e)
	})
	return out
}

func (d *decoder) locator(r *cborx.Reader) (l Locator) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			if l.HRefList = r.Kind() == cborx.Array; l.HRefList {
				d.list(r, 64, func() { l.HRefs = append(l.HRefs, d.uri(r)) })
			} else {
				l.HRefs = []string{d.uri(r)}
			}
		case 1:
			// digest / [+ digest]: a digest is an array too, whose first entry is not an array.
			peek := *r
			peek.Array()
			if l.ThumbprintList = peek.Kind() == cborx.Array; l.ThumbprintList {
				l.Thumbprints = d.digests(r)
			} else {
				l.Thumbprints = []claim.Digest{d.digest(r)}
			}
		default:
			r.Fail("a locator has the unknown key %d", k)
		}
	}
	if len(l.HRefs) == 0 {
		r.Fail("a locator lacks its href (0)")
	}
	return l
}

func (d *decoder) tagIdentity(r *cborx.Reader) (t TagIdentity) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			t.TagID = d.textOrUUID(r)
		case 1:
			t.TagVersion = r.Uint()
			t.ExplicitZero = t.TagVersion == 0
		default:
			r.Fail("tag-identity has the unknown key %d", k)
		}
	}
	if t.TagID.IsZero() {
		r.Fail("tag-identity lacks its tag-id (0)")
	}
	r.Within("tag-identity")
	return t
}

func (d *decoder) tags(r *cborx.Reader, m *Manifest) {
	i := 0
	d.list(r, maxTags, func() {
		d.tag(r, m)
		r.Within("tags[%d]", i)
		i++
	})
}

func (d *decoder) tag(r *cborx.Reader, m *Manifest) {
	var t uint64
	var content []byte
	if r.Kind() == cborx.Bytes && d.relaxed(RelaxBstrAroundTag) {
		in := cborx.NewReader(r.Bytes(), innerLimits)
		t, content = in.Tag(), in.Raw()
		r.FailErr(in.Done())
	} else {
		t, content = r.Tag(), r.Bytes()
	}
	if !r.OK() {
		return
	}
	var err error
	switch t {
	case TagCoMID:
		var c *CoMID
		if c, err = d.comid(content); err == nil {
			m.CoMIDs = append(m.CoMIDs, *c)
		}
	case TagCoSWID:
		var c *CoSWID
		if c, err = d.coswid(content); err == nil {
			m.CoSWIDs = append(m.CoSWIDs, *c)
		}
	case TagCoTL:
		var c *CoTL
		if c, err = d.cotl(content); err == nil {
			m.CoTLs = append(m.CoTLs, *c)
		}
	case TagCoTS:
		var c *CoTS
		if c, err = d.cots(content); err == nil {
			m.CoTSs = append(m.CoTSs, *c)
		}
	default:
		err = fault.New(fault.Unsupported, "tag %d is no kind of tag that is known here", t)
	}
	r.FailErr(err)
	m.TagOrder = append(m.TagOrder, t)
}

func (d *decoder) cotl(b []byte) (*CoTL, error) {
	r := cborx.NewReader(b, innerLimits)
	c := &CoTL{Raw: b}
	var seen int
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			c.TagIdentity = d.tagIdentity(r)
			seen |= 1
		case 1:
			d.list(r, maxTriples, func() { c.Tags = append(c.Tags, d.tagIdentity(r)) })
			seen |= 2
		case 2:
			c.Validity = d.validity(r)
			seen |= 4
		default:
			r.FailAs(fault.Unsupported, "a tag list has the unknown key %d", k)
		}
	}
	if seen != 7 {
		r.Fail("a tag list lacks its identity (0), tags (1) or validity (2)")
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return c, nil
}
