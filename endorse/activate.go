package endorse

import (
	"slices"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// activation is a tag list with the tags that it names, all of them at hand.
type activation struct {
	list *corim.CoTL
	tags []*tag
}

// planLists resolves the tag lists of m where activation is required. A list counts only as a whole: one tag that is
// not there refuses it (section 6). A tag is named by its id and version, and may have been published by anybody whom
// an anchor admitted.
func (b *Builder) planLists(m *corim.Manifest, p *plan, issuer string) ([]activation, error) {
	if !b.cfg.RequireActivation {
		return nil, nil
	}
	var out []activation
	for i := range m.CoTLs {
		a := activation{list: &m.CoTLs[i]}
		for _, want := range m.CoTLs[i].Tags {
			candidates := slices.Concat(p.add, p.reissued, b.ledger.byID[want.TagID])
			hit := slices.IndexFunc(candidates, func(t *tag) bool { return t.key.id == want.TagID && t.version == want.TagVersion })
			if hit < 0 {
				return nil, fault.New(fault.Unavailable, "the tag list %s of %q names the tag %s, which has not been admitted; submit that first",
					tagText(m.CoTLs[i].TagIdentity), issuer, tagText(want))
			}
			for _, t := range candidates {
				if t.key.id == want.TagID && t.version == want.TagVersion {
					a.tags = append(a.tags, t)
				}
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// activate brings the tags of the lists into force, all of them or none, each for no longer than its list holds.
func (b *Builder) activate(lists []activation) error {
	var rels []relation
	var commit []func()
	for _, a := range lists {
		for _, t := range a.tags {
			if b.ledger.tags[t.key] != t || slices.ContainsFunc(b.ledger.replaced[t.key.id], func(r replacement) bool { return r.reaches(t.key) }) {
				continue
			}
			src := *t.src
			w := window{notBefore: src.NotBefore, notAfter: src.NotAfter}.narrow(begin(&a.list.Validity), a.list.Validity.NotAfter, "")
			src.NotBefore, src.NotAfter = w.notBefore, w.notAfter
			if t.active && !src.NotAfter.After(t.inForce.NotAfter) {
				continue // an earlier list holds as long
			}
			live := make([]relation, len(t.rels))
			for i, r := range t.rels {
				live[i] = withSource(r, &src)
			}
			rels = append(rels, live...)
			commit = append(commit, func() {
				if t.active {
					b.drop(t.inForce)
				}
				t.active, t.inForce, t.live = true, &src, live
			})
		}
	}
	if err := b.addRelations(rels); err != nil {
		return err
	}
	for _, c := range commit {
		c()
	}
	return nil
}

// withSource is a copy of r that src vouches for.
func withSource(r relation, src *Source) relation {
	switch r := r.(type) {
	case *Reference:
		c := *r
		c.Source = src
		return &c
	case *Endorsement:
		c := *r
		c.Source = src
		return &c
	case *Series:
		c := *r
		c.Source = src
		return &c
	case *Keys:
		c := *r
		c.Source = src
		return &c
	case *Domain:
		c := *r
		c.Source = src
		return &c
	}
	return r
}
