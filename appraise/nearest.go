package appraise

import (
	"fmt"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
)

// maxNearby bounds how many statements are looked at to explain why nothing vouches for a claim.
const maxNearby = 16

// near is a statement that did not match, with what of it did and its first difference.
type near struct {
	ref  *endorse.Reference
	ect  *claim.ECT
	met  []*claim.Element // evidence elements that it would have vouched for
	miss []miss           // in the statement's order
}

// miss is an element of the statement that the evidence does not meet.
type miss struct {
	c *claim.Element
	e *claim.Element // nil when the evidence has no such element
}

// explainOpen finds the nearest statement for each claim that nothing vouches for, and the expectations that were not met.
func (a *Attester) explainOpen(set *endorse.Set, local []*endorse.Reference, tr *tracker, open []*claim.Element) {
	var cands []near
	for _, r := range local {
		if tr.met[r] || r.TEE != "" && r.TEE != a.Evidence.TEE() {
			continue
		}
		if n, speaks := a.nearExpectation(r); speaks {
			a.Unmet = append(a.Unmet, difference(n.ref, n.miss[0]))
			cands = append(cands, n)
		}
	}
	ects := a.Evidence.ECTs()
	if !mentioned(set, open) {
		ects = nil
	}
	for i := range ects {
		for _, r := range set.Nearby(&ects[i].Environment, maxNearby) {
			if !tr.met[r] && mentions(r, open) {
				cands = append(cands, a.nearReference(r, &ects[i]))
			}
		}
	}
	a.contradict(cands)
	for i, e := range open {
		if e == nil {
			continue
		}
		if best := nearestTo(cands, e); best != nil {
			d := a.differenceAt(best, e)
			a.Trail[i].Nearest = &d
		}
	}
}

// contradict takes back what statements vouch for where the operator expects another value of that very claim: his own
// word counts most. The vouchers stay in the trail.
func (a *Attester) contradict(cands []near) {
	for i := range cands {
		for _, m := range cands[i].miss {
			if !cands[i].ref.ByName || m.e == nil {
				continue
			}
			l := a.lineOf(m.e)
			if l == nil {
				continue
			}
			for _, id := range registersNamed(m.c, m.e) {
				l.Registers = slices.DeleteFunc(l.Registers, func(r string) bool { return r == registerName(id) })
			}
			if l.Accepted {
				d := difference(cands[i].ref, m)
				l.Accepted, l.Nearest = false, &d
			}
		}
	}
}

// lineOf is the trail's line of an element of the evidence.
func (a *Attester) lineOf(e *claim.Element) *Entry {
	i := 0
	for _, ect := range a.Evidence.ECTs() {
		for j := range ect.Elements {
			if &ect.Elements[j] == e {
				return &a.Trail[i]
			}
			i++
		}
	}
	return nil
}

// mentioned reports whether any reference value speaks about a claim that is still open.
func mentioned(set *endorse.Set, open []*claim.Element) bool {
	for _, e := range open {
		if e != nil && set.Mentions(e.Key) {
			return true
		}
	}
	return false
}

// mentions reports whether r says something about a claim that is still open; only then is it worth a closer look.
func mentions(r *endorse.Reference, open []*claim.Element) bool {
	for i := range r.Elements {
		for _, e := range open {
			if e != nil && e.Key == r.Elements[i].Key {
				return true
			}
		}
	}
	return false
}

// nearestTo picks the statement that speaks about e and has the fewest differences; the operator's own comes first.
func nearestTo(cands []near, e *claim.Element) *near {
	var best *near
	for i := range cands {
		c := &cands[i]
		if c.speaksOf(e) && (best == nil || best.ref.ByName == c.ref.ByName && len(c.miss) < len(best.miss)) {
			best = c
		}
	}
	return best
}

func (n *near) speaksOf(e *claim.Element) bool {
	for _, m := range n.met {
		if m == e {
			return true
		}
	}
	for _, m := range n.miss {
		if m.e == e {
			return true
		}
	}
	return false
}

// differenceAt is the difference at e itself where there is one, otherwise the first difference of the statement: then
// e is as the statement says, but the statement as a whole does not speak about this machine.
func (a *Attester) differenceAt(n *near, e *claim.Element) Nearest {
	for _, m := range n.miss {
		if m.e == e {
			return difference(n.ref, m)
		}
	}
	return a.firstDifference(n)
}

func (a *Attester) nearReference(r *endorse.Reference, ect *claim.ECT) near {
	n := near{ref: r, ect: ect}
	for i := range r.Elements {
		c := &r.Elements[i]
		var same, other *claim.Element
		for j := range ect.Elements {
			e := &ect.Elements[j]
			switch {
			case c.Key != e.Key:
			case compare.Values(&c.Values, &e.Values, c.Key, r.Compare):
				same = e
			case other == nil:
				other = e
			}
		}
		if same != nil {
			n.met = append(n.met, same)
		} else {
			n.miss = append(n.miss, miss{c, other})
		}
	}
	return n
}

// firstDifference is why n vouches for nothing. It is put into words for the nearest statement only, not for each that
// was looked at.
func (a *Attester) firstDifference(n *near) Nearest {
	r := n.ref
	switch {
	case r.ByName:
		return difference(r, n.miss[0])
	case !r.Source.ValidAt(a.Evidence.Time()):
		return Nearest{Source: r.Source, What: "validity", Evidence: a.Evidence.Time().UTC().Format("2006-01-02T15:04:05Z"),
			Statement: validity(r.Source), Why: fmt.Sprintf("the statement by %s does not hold at the time of the appraisal: %s", by(r.Source), validity(r.Source))}
	case len(n.miss) > 0:
		return difference(r, n.miss[0])
	case r.ExactCover:
		return Nearest{Source: r.Source, What: "completeness", Evidence: fmt.Sprintf("%d elements", len(n.ect.Elements)), Statement: fmt.Sprintf("%d elements", len(r.Elements)),
			Why: fmt.Sprintf("the statement by %s must describe the evidence completely, one element for one", by(r.Source))}
	}
	return Nearest{Source: r.Source, What: "authority", Evidence: "the attesting key", Statement: "another key",
		Why: fmt.Sprintf("the statement by %s only speaks of evidence that another key vouches for", by(r.Source))}
}

func validity(s *endorse.Source) string {
	const day = "2006-01-02T15:04:05Z"
	out := "valid"
	if !s.NotBefore.IsZero() {
		out += " from " + s.NotBefore.UTC().Format(day)
	}
	if !s.NotAfter.IsZero() {
		out += " to " + s.NotAfter.UTC().Format(day)
	}
	return out
}

// nearExpectation reports how an expectation by name failed, and whether this Attester has any of the claims at all.
func (a *Attester) nearExpectation(r *endorse.Reference) (n near, speaks bool) {
	n.ref = r
	ects := a.Evidence.ECTs()
	for i := range r.Elements {
		var same, other *claim.Element
		for j := range ects {
			for k := range ects[j].Elements {
				e := &ects[j].Elements[k]
				if ok, named := byName(&r.Elements[i], e); ok {
					same = e
				} else if named && other == nil {
					other = e
				}
			}
		}
		speaks = speaks || same != nil || other != nil
		if same != nil {
			n.met = append(n.met, same)
		} else {
			n.miss = append(n.miss, miss{&r.Elements[i], other})
		}
	}
	return n, speaks && len(n.miss) > 0
}

// difference says how an element of the statement and the evidence differ.
func difference(r *endorse.Reference, m miss) Nearest {
	d := Nearest{Source: r.Source, What: elementName(m.c), Evidence: compare.Absent, Statement: compare.Render(&m.c.Values)}
	detail := ""
	if m.e != nil {
		d.What = elementName(m.e)
		if r.ByName {
			d.What, d.Evidence = m.c.Name, compare.Render(&m.e.Values)
		} else {
			cp, _ := compare.FirstDifference(&m.c.Values, &m.e.Values, m.c.Key, r.Compare)
			d.Evidence, d.Statement = compare.RenderPoint(&m.e.Values, cp), compare.RenderPoint(&m.c.Values, cp)
			detail = compare.Why(&m.c.Values, &m.e.Values, cp)
		}
	}
	d.Why = fmt.Sprintf("%s differs: evidence %s statement %s by %s", d.What, quote(d.Evidence), quote(d.Statement), by(r.Source))
	if m.e == nil {
		d.Why = fmt.Sprintf("%s is not in the evidence; the statement by %s asks for %s", d.What, by(r.Source), quote(d.Statement))
	}
	if detail != "" {
		d.Why += " (" + detail + ")"
	}
	return d
}
