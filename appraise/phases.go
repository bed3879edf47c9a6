package appraise

import (
	"math"
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
)

// The names of relations in the trail.
const (
	relReference   = "reference-value"
	relEndorsed    = "endorsed-value"
	relConditional = "conditional-endorsement"
	relSeries      = "conditional-endorsement-series"
	relExpectation = "local-expectation"
)

// engine appraises one world of one Attester.
type engine struct {
	set   *endorse.Set
	local []*endorse.Reference
	at    time.Time
	tee   string
	ects  []claim.ECT
	acs   *acs
	out   *Attester
	tr    *tracker

	sel       endorse.Selection
	waiting   []*endorse.Endorsement
	applied   []*endorse.Endorsement
	series    []*endorse.Series
	keys      []*endorse.Keys
	domains   []*endorse.Domain
	scheduled map[any]bool
}

// references is phase 3 (section 8.3.4.2): each reference value that some Evidence ECT meets is asserted with the
// values of the Evidence, under the authority of its signer. Only the claims that the statement names are asserted.
func (g *engine) references() {
	for i := 0; i < len(g.acs.nodes) && g.acs.nodes[i].cm == claim.CMEvidence; i++ {
		n := g.acs.nodes[i]
		g.set.Select(&n.env, n.elements, &g.sel)
		for _, r := range g.sel.References {
			if !r.Source.ValidAt(g.at) || !n.meets(&r.Environment, nil, r.Elements, r.Compare) ||
				r.ExactCover && !n.oneToOne(r.Elements, r.Compare) {
				continue
			}
			g.tr.matched(r)
			g.reassert(n, r)
		}
		g.schedule()
	}
	for _, r := range g.local {
		g.expectation(r)
	}
}

// reassert adds, for every condition element, the evidence elements that meet it (section 8.3.4.2.1, specs corim.md
// A30): the evidence's values, so that no range enters the accepted claims.
func (g *engine) reassert(n *node, r *endorse.Reference) {
	var add []*claim.Element
	for i := range r.Elements {
		c := &r.Elements[i]
		for _, e := range n.elements {
			if !compare.Element(c, e, r.Compare) {
				continue
			}
			add = append(add, &claim.Element{Key: e.Key, Name: e.Name, Field: e.Field, Values: compare.Project(&c.Values, &e.Values)})
			g.tr.vouch(e, r.Source, relReference, registerIDs(&c.Values)...)
		}
	}
	g.acs.add(&r.Environment, claim.CMReferenceValues, r.Profile, add, r.Source, relReference, n.from)
}

// expectation matches what the operator said by name: all of it, anywhere in this Attester's evidence, or none of it.
func (g *engine) expectation(r *endorse.Reference) {
	if r.TEE != "" && r.TEE != g.tee {
		return
	}
	type hit struct {
		n *node
		e *claim.Element
		x *claim.Element // what was expected
	}
	var hits []hit
	for i := range r.Elements {
		found := false
		for _, n := range g.acs.nodes {
			if n.cm != claim.CMEvidence {
				continue
			}
			for _, e := range n.elements {
				if same, _ := byName(&r.Elements[i], e); same {
					hits, found = append(hits, hit{n, e, &r.Elements[i]}), true
				}
			}
		}
		if !found {
			return
		}
	}
	g.tr.matched(r)
	for _, h := range hits {
		g.tr.vouch(h.e, r.Source, relExpectation, registersNamed(h.x, h.e)...)
		g.acs.add(&h.n.env, claim.CMReferenceValues, h.n.profile, []*claim.Element{h.e}, r.Source, relExpectation, h.n.from)
	}
}

// schedule remembers the conditional relations that the last selection brought up.
func (g *engine) schedule() {
	take := func(r any, src *endorse.Source) bool {
		if g.scheduled[r] || !src.ValidAt(g.at) {
			return false
		}
		if g.scheduled == nil {
			g.scheduled = map[any]bool{}
		}
		g.scheduled[r] = true
		return true
	}
	for _, r := range g.sel.Endorsements {
		if take(r, r.Source) {
			g.waiting = append(g.waiting, r)
		}
	}
	for _, r := range g.sel.Series {
		if take(r, r.Source) {
			g.series = append(g.series, r)
		}
	}
	for _, r := range g.sel.Keys {
		if take(r, r.Source) {
			g.keys = append(g.keys, r)
		}
	}
	for _, r := range g.sel.Domains {
		if take(r, r.Source) {
			g.domains = append(g.domains, r)
		}
	}
}

// reselect looks for relations that what was added could meet.
func (g *engine) reselect() {
	for len(g.acs.changed) > 0 {
		n := g.acs.changed[0]
		g.acs.changed = g.acs.changed[1:]
		g.set.Select(&n.env, n.elements, &g.sel)
		g.schedule()
	}
}

// augment is the E-ECT part of phase 4 (section 8.3.4.3): strata in order, and in each of them endorsements to a
// fixpoint before the series, which look at what is not there and must come last.
func (g *engine) augment() {
	g.reselect()
	for {
		rank := g.nextRank()
		for g.endorsements(rank) {
			g.reselect()
		}
		if rank == math.MaxInt {
			if len(g.series) == 0 {
				break
			}
			continue
		}
		var run []*endorse.Series
		g.series = slices.DeleteFunc(g.series, func(s *endorse.Series) bool {
			mine := g.set.SeriesRank(s) == rank
			if mine {
				run = append(run, s)
			}
			return mine
		})
		for _, s := range run {
			g.oneSeries(s)
		}
		g.reselect()
	}
	g.links()
}

// nextRank is the lowest stratum that still has something to look at.
func (g *engine) nextRank() int {
	rank := math.MaxInt
	for _, r := range g.series {
		rank = min(rank, g.set.SeriesRank(r))
	}
	return rank
}

// endorsements applies every waiting endorsement of this stratum or a lower one whose conditions are all met, and
// reports whether something was added.
func (g *engine) endorsements(rank int) bool {
	grew := false
	g.waiting = slices.DeleteFunc(g.waiting, func(r *endorse.Endorsement) bool {
		if g.set.EndorsementRank(r) > rank {
			return false
		}
		from, ok := g.conditions(r)
		if !ok {
			return false
		}
		g.applied = append(g.applied, r)
		rel := relEndorsed
		if r.Conditional {
			rel = relConditional
		}
		for i := range r.Additions {
			grew = g.addition(&r.Additions[i], r.Profile, r.Source, rel, from) || grew
		}
		return true
	})
	return grew
}

// links carries the links to evidence on until nothing changes: an endorsement may have been applied before the last
// ECT that meets its conditions was there, and the links must not depend on that.
func (g *engine) links() {
	for changed := len(g.ects) > 1; changed; {
		changed = false
		for _, r := range g.applied {
			from, _ := g.conditions(r)
			for i := range r.Additions {
				n := g.acs.find(&r.Additions[i].Environment, claim.CMEndorsements, r.Profile, r.Source.Authority)
				if n != nil && from&^n.from != 0 {
					n.from |= from
					changed = true
				}
			}
		}
	}
}

func (g *engine) conditions(r *endorse.Endorsement) (from EvidenceSet, ok bool) {
	for i := range r.Conditions {
		c := &r.Conditions[i]
		met := false
		for _, n := range g.acs.nodes {
			if n.meets(&c.Environment, c.Authority, c.Elements, r.Compare) {
				from |= n.from
				met = true
			}
		}
		if !met {
			return 0, false
		}
	}
	return from, true
}

// oneSeries adds what the first item gives that some ECT meets, and skips the rest (section 8.3.4.3.2).
func (g *engine) oneSeries(s *endorse.Series) {
	var common []*node
	for _, n := range g.acs.nodes {
		if n.meets(&s.Environment, s.AuthorizedBy, s.Common, s.Compare) {
			common = append(common, n)
		}
	}
	for i := range s.Items {
		var from EvidenceSet
		for _, n := range common {
			if n.meets(&s.Environment, nil, s.Items[i].Condition, s.Compare) {
				from |= n.from
			}
		}
		if from != 0 {
			g.addition(&s.Items[i].Addition, s.Profile, s.Source, relSeries, from)
			return
		}
	}
}

func (g *engine) addition(e *claim.ECT, profile string, src *endorse.Source, rel string, from EvidenceSet) bool {
	elements := make([]*claim.Element, len(e.Elements))
	for i := range e.Elements {
		elements[i] = &e.Elements[i]
	}
	return g.acs.add(&e.Environment, claim.CMEndorsements, profile, elements, src, rel, from)
}
