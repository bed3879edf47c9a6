package endorse

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/corim"
)

// statementPart is one relation with what its scope has to cover.
type statementPart struct {
	kind  TripleKind
	env   claim.Environment
	about []claim.Element
	rel   relation // nil for what only has to be in scope
}

// comparators makes the profile's look-up usable by package compare; nil for none.
func comparators(p *corim.Profile) Comparators {
	if p == nil || p.Compare == nil {
		return nil
	}
	return func(mkey claim.ID, codePoint int64) compare.Func { return p.Comparator(mkey, codePoint) }
}

// transform turns the triples of a CoMID into relations (section 8.2, specs corim.md section 13). src is shared by all
// of them. For series and conditional endorsements the scope has to cover what they add; a condition only reads.
func transform(m *corim.Manifest, p *corim.Profile, cmp Comparators, t *corim.Triples, src *Source) []statementPart {
	name := func(env *claim.Environment, elements []claim.Element) {
		for i := range elements {
			if e := &elements[i]; e.Name == "" {
				if p != nil && p.ElementName != nil {
					e.Name = p.ElementName(*env, e.Key)
				}
				if e.Name == "" {
					e.Name = e.Key.TextContent()
				}
			}
		}
	}
	var out []statementPart
	add := func(kind TripleKind, env claim.Environment, about []claim.Element, r relation) {
		out = append(out, statementPart{kind, env, about, r})
	}
	exact := p != nil && p.ExactCover
	for i := range t.Reference {
		x := &t.Reference[i]
		name(&x.Environment, x.Elements)
		add(KindReference, x.Environment, x.Elements, &Reference{Environment: x.Environment, Elements: x.Elements, Profile: m.Profile, Compare: cmp, ExactCover: exact, Source: src})
	}
	for i := range t.Endorsed {
		x := &t.Endorsed[i]
		name(&x.Environment, x.Elements)
		add(KindEndorsed, x.Environment, x.Elements, &Endorsement{Conditions: []claim.ECT{{Environment: x.Environment}},
			Additions: []claim.ECT{addition(x, m.Profile, src)}, Profile: m.Profile, Compare: cmp, Source: src})
	}
	for i := range t.Conditional {
		e := &Endorsement{Conditional: true, Profile: m.Profile, Compare: cmp, Source: src}
		for j := range t.Conditional[i].Conditions {
			c := &t.Conditional[i].Conditions[j]
			name(&c.Environment, c.Elements)
			e.Conditions = append(e.Conditions, claim.ECT{Environment: c.Environment, Elements: c.Elements})
		}
		for j := range t.Conditional[i].Endorsements {
			a := &t.Conditional[i].Endorsements[j]
			name(&a.Environment, a.Elements)
			e.Additions = append(e.Additions, addition(a, m.Profile, src))
			r := relation(nil)
			if j == 0 {
				r = e
			}
			add(KindConditional, a.Environment, a.Elements, r)
		}
	}
	for i := range t.Series {
		out = append(out, transformSeries(m, cmp, &t.Series[i], src, name)...)
	}
	for _, l := range []struct {
		triples  []corim.KeyTriple
		identity bool
		kind     TripleKind
	}{{t.Identity, true, KindIdentity}, {t.AttestKey, false, KindAttestKey}} {
		for _, k := range l.triples {
			add(l.kind, k.Environment, nil, &Keys{Environment: k.Environment, Keys: k.Keys, MKey: k.MKey, AuthorizedBy: k.AuthorizedBy,
				Identity: l.identity, Profile: m.Profile, Source: src})
		}
	}
	for _, l := range []struct {
		triples    []corim.DomainTriple
		dependency bool
		kind       TripleKind
	}{{t.Membership, false, KindMembership}, {t.Dependency, true, KindDependency}} {
		for _, d := range l.triples {
			add(l.kind, d.Domain, nil, &Domain{Domain: d.Domain, Members: d.Members, Dependency: l.dependency, Profile: m.Profile, Source: src})
			for _, member := range d.Members {
				add(l.kind, member, nil, nil)
			}
		}
	}
	for _, c := range t.CoSWID {
		add(KindCoSWIDLink, c.Environment, nil, nil)
	}
	return out
}

func transformSeries(m *corim.Manifest, cmp Comparators, t *corim.SeriesTriple, src *Source, name func(*claim.Environment, []claim.Element)) []statementPart {
	s := &Series{Environment: t.Environment, Common: t.Common, AuthorizedBy: t.AuthorizedBy, Profile: m.Profile, Compare: cmp, Source: src}
	name(&t.Environment, t.Common)
	out := make([]statementPart, 0, len(t.Items))
	for i := range t.Items {
		item := &t.Items[i]
		name(&t.Environment, item.Condition)
		name(&t.Environment, item.Addition)
		s.Items = append(s.Items, SeriesItem{item.Condition, claim.ECT{Environment: t.Environment, Elements: item.Addition,
			Authority: src.Authority, Profile: m.Profile, CMType: claim.CMEndorsements}})
		out = append(out, statementPart{KindSeries, t.Environment, item.Addition, nil})
	}
	if len(t.AuthorizedBy) > 0 {
		// The common authority wins over those of single elements (specs corim.md A2).
		for i := range s.Common {
			s.Common[i].AuthorizedBy = nil
		}
		for _, item := range s.Items {
			for i := range item.Condition {
				item.Condition[i].AuthorizedBy = nil
			}
		}
	}
	out[0].rel = s
	return out
}

func addition(x *corim.ValueTriple, profile string, src *Source) claim.ECT {
	return claim.ECT{Environment: x.Environment, Elements: x.Elements, Authority: src.Authority, Profile: profile, CMType: claim.CMEndorsements}
}
