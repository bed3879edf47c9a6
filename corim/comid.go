package corim

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// comid reads concise-mid-tag (draft-ietf-rats-corim section 5) from b, which the result keeps.
func (d *decoder) comid(b []byte) (*CoMID, error) {
	r := cborx.NewReader(b, innerLimits)
	c := &CoMID{Raw: b}
	seen := 0
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			c.Language = r.Text()
		case 1:
			c.TagIdentity = d.tagIdentity(r)
			seen |= 1
		case 2:
			c.Entities = d.entities(r, 0, 2)
		case 3:
			d.list(r, maxTags, func() { c.Linked = append(c.Linked, d.linked(r)) })
		case 4:
			d.triples(r, &c.Triples)
			seen |= 2
		default:
			c.Ext = d.extension(r, "concise-mid-tag", k, c.Ext)
		}
	}
	if r.OK() && seen != 3 {
		r.Fail("concise-mid-tag lacks its tag-identity (1) or triples (4)")
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return c, nil
}

func (d *decoder) linked(r *cborx.Reader) (l LinkedTag) {
	rel := false
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			l.TagID = d.textOrUUID(r)
		case 1:
			if l.Rel, rel = r.Int64(), true; r.OK() && l.Rel != RelSupplements && l.Rel != RelReplaces {
				r.FailAs(fault.Unsupported, "linked tag with the unknown relation %d", l.Rel)
			}
		default:
			r.Fail("a linked tag has the unknown key %d", k)
		}
	}
	if l.TagID.IsZero() || !rel {
		r.Fail("a linked tag lacks its tag-id (0) or relation (1)")
	}
	return l
}

func (d *decoder) triples(r *cborx.Reader, t *Triples) {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("the triples map is empty")
	}
	for left := maxTriples; n > 0 && r.OK(); n-- {
		key := r.Int64()
		if r.Kind() != cborx.Array {
			r.Fail("triple category %d is not a list", key)
			return
		}
		left -= d.category(r, t, key, left)
	}
}

// category reads one list of triples, at most max, and returns how many.
func (d *decoder) category(r *cborx.Reader, t *Triples, key int64, max int) (count int) {
	if name, ours := "", d.profile != nil; ours {
		if name, ours = d.profile.TripleKeys[key]; ours {
			t.Unknown = append(t.Unknown, UnknownTriple{Key: key, Name: name, Raw: r.Canonical()})
			return 1
		}
	}
	one := func(f func()) {
		d.list(r, max, func() {
			if f(); !r.OK() {
				r.Within("%s triple %d", tripleName(key), count)
			}
			count++
		})
	}
	switch key {
	case 0:
		one(func() { t.Reference = append(t.Reference, d.valueTriple(r)) })
	case 1:
		one(func() { t.Endorsed = append(t.Endorsed, d.valueTriple(r)) })
	case 2:
		one(func() { t.Identity = append(t.Identity, d.keyTriple(r)) })
	case 3:
		one(func() { t.AttestKey = append(t.AttestKey, d.keyTriple(r)) })
	case 4:
		one(func() { t.Dependency = append(t.Dependency, d.domainTriple(r)) })
	case 5:
		one(func() { t.Membership = append(t.Membership, d.domainTriple(r)) })
	case 6:
		one(func() { t.CoSWID = append(t.CoSWID, d.coswidTriple(r)) })
	case 8:
		one(func() { t.Series = append(t.Series, d.series(r)) })
	case 10:
		one(func() { t.Conditional = append(t.Conditional, d.conditional(r)) })
	case 7, 9:
		r.Fail("triple category %d is reserved", key)
	default:
		d.warn("a triple category is not known here; it contributes nothing")
		t.Unknown = append(t.Unknown, UnknownTriple{Key: key, Raw: r.Canonical()})
		count = 1
	}
	return count
}

func tripleName(key int64) string {
	switch key {
	case 0:
		return "reference-value"
	case 1:
		return "endorsed-value"
	case 2:
		return "identity"
	case 3:
		return "attest-key"
	case 4:
		return "dependency"
	case 5:
		return "membership"
	case 6:
		return "coswid"
	case 8:
		return "conditional-endorsement-series"
	case 10:
		return "conditional-endorsement"
	}
	return "unknown"
}

// valueTriple reads [environment, [+ measurement-map]].
func (d *decoder) valueTriple(r *cborx.Reader) (v ValueTriple) {
	r.Tuple(2, 2)
	v.Environment = d.environment(r)
	v.Elements = d.measurements(r, false)
	return v
}

func (d *decoder) keyTriple(r *cborx.Reader) (k KeyTriple) {
	n := r.Tuple(2, 3)
	k.Environment = d.environment(r)
	k.Keys = d.keys(r)
	if n < 3 || !r.OK() {
		return k
	}
	m := r.Map()
	if m == 0 {
		r.Fail("the conditions of a key triple are empty")
	}
	for ; m > 0 && r.OK(); m-- {
		switch key := r.Int64(); key {
		case 0:
			k.MKey = d.mkey(r)
		case 1:
			k.AuthorizedBy = d.keys(r)
		default:
			r.Fail("the conditions of a key triple have the unknown key %d", key)
		}
	}
	return k
}

func (d *decoder) domainTriple(r *cborx.Reader) (t DomainTriple) {
	r.Tuple(2, 2)
	t.Domain = d.environment(r)
	d.list(r, maxTriples, func() { t.Members = append(t.Members, d.environment(r)) })
	return t
}

func (d *decoder) coswidTriple(r *cborx.Reader) (t CoSWIDTriple) {
	r.Tuple(2, 2)
	t.Environment = d.environment(r)
	d.list(r, maxTags, func() { t.TagIDs = append(t.TagIDs, d.textOrUUID(r)) })
	return t
}

func (d *decoder) conditional(r *cborx.Reader) (c ConditionalTriple) {
	r.Tuple(2, 2)
	d.list(r, maxTriples, func() { c.Conditions = append(c.Conditions, d.valueTriple(r)) })
	d.list(r, maxTriples, func() { c.Endorsements = append(c.Endorsements, d.valueTriple(r)) })
	return c
}

// series reads [[env, [* mm], ? [+ key]], [+ [[+ mm], [+ mm]]]] (section 5.1.8).
func (d *decoder) series(r *cborx.Reader) (s SeriesTriple) {
	r.Tuple(2, 2)
	n := r.Tuple(2, 3)
	s.Environment = d.environment(r)
	s.Common = d.measurements(r, true)
	if n == 3 {
		s.AuthorizedBy = d.keys(r)
	}
	d.list(r, maxTriples, func() {
		r.Tuple(2, 2)
		var item SeriesItem
		item.Condition = d.measurements(r, false)
		item.Addition = d.measurements(r, false)
		s.Items = append(s.Items, item)
	})
	return s
}

// measurements reads a list of measurement-map.
func (d *decoder) measurements(r *cborx.Reader, mayBeEmpty bool) []claim.Element {
	n := r.Array()
	switch {
	case !r.OK():
		return nil
	case n == 0 && !mayBeEmpty:
		r.Fail("the list of measurements is empty")
		return nil
	case n == 0:
		return nil
	}
	if d.elements += n; d.elements > maxElements {
		r.Fail("more than %d measurements in one document", maxElements)
		return nil
	}
	out := make([]claim.Element, n)
	for i := range out {
		if d.measurement(r, &out[i]); !r.OK() {
			r.Within("measurement %d", i)
			return nil
		}
	}
	return out
}

func (d *decoder) measurement(r *cborx.Reader, e *claim.Element) {
	values := false
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			e.Key = d.mkey(r)
		case 1:
			d.values(r, &e.Values)
			values = true
		case 2:
			e.AuthorizedBy = d.keys(r)
		default:
			r.Fail("measurement-map has the unknown key %d", k)
		}
	}
	if r.OK() && !values {
		r.Fail("measurement-map lacks its value (1)")
	}
	for _, dg := range d.odd {
		if !d.profile.OddDigest(e.Key, dg) {
			r.Fail("a %s digest of %d bytes", dg.AlgString(), len(dg.Value))
		}
	}
	d.odd = d.odd[:0]
}
