package appraise

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
)

// tracker collects, while the engine runs, what the trail has to say.
type tracker struct {
	vouchers map[*claim.Element][]Voucher
	covered  map[*claim.Element][]claim.ID // registers that a voucher speaks of
	met      map[*endorse.Reference]bool
}

func (t *tracker) matched(r *endorse.Reference) {
	if t.met == nil {
		t.met = map[*endorse.Reference]bool{}
	}
	t.met[r] = true
}

// vouch remembers who vouches for e; of an element with registers, only for those that are named.
func (t *tracker) vouch(e *claim.Element, src *endorse.Source, relation string, registers ...claim.ID) {
	if t.vouchers == nil {
		t.vouchers, t.covered = map[*claim.Element][]Voucher{}, map[*claim.Element][]claim.ID{}
	}
	if len(e.Values.Registers) > 0 {
		t.covered[e] = append(t.covered[e], registers...)
	}
	for _, v := range t.vouchers[e] {
		if v.Source == src && v.Relation == relation {
			return
		}
	}
	t.vouchers[e] = append(t.vouchers[e], Voucher{src, relation})
}

// accept lists what one world found, without what an earlier world found too.
func (a *Attester) accept(set *acs) {
	a.Accepted = slices.Grow(a.Accepted, len(set.nodes))
	var derived []AcceptedECT
	for _, n := range set.nodes {
		if n.cm == claim.CMEvidence {
			i := slices.IndexFunc(a.Accepted, func(e AcceptedECT) bool { return e.Source == nil && e.From == n.from })
			if i < 0 {
				a.Accepted = append(a.Accepted, AcceptedECT{ECT: *n.evidence, From: n.from})
			}
			continue
		}
		derived = n.bySource(derived)
	}
	for _, d := range derived {
		if !slices.ContainsFunc(a.Accepted, func(e AcceptedECT) bool { return sameECT(&e, &d) }) {
			a.Accepted = append(a.Accepted, d)
		}
	}
	slices.SortStableFunc(a.Accepted, orderECTs)
}

// bySource appends one ECT per statement that contributed to n.
func (n *node) bySource(out []AcceptedECT) []AcceptedECT {
	first := len(out)
	for i, e := range n.elements {
		j := first
		for j < len(out) && (out[j].Source != n.sources[i] || out[j].Relation != n.relation[i]) {
			j++
		}
		if j == len(out) {
			out = append(out, AcceptedECT{ECT: claim.ECT{Environment: n.env, Authority: n.auth, Profile: n.profile, CMType: n.cm},
				Source: n.sources[i], Relation: n.relation[i], From: n.from})
		}
		out[j].Elements = append(out[j].Elements, *e)
	}
	for j := first; j < len(out); j++ {
		if len(out[j].Elements) > 1 {
			slices.SortStableFunc(out[j].Elements, orderElements)
		}
	}
	return out
}

func sameECT(a, b *AcceptedECT) bool {
	return a.Source == b.Source && a.Relation == b.Relation && a.From == b.From && a.Environment == b.Environment && a.Profile == b.Profile &&
		slices.EqualFunc(a.Elements, b.Elements, func(x, y claim.Element) bool { return x.Key == y.Key && compare.Equal(&x.Values, &y.Values) })
}

// orderECTs puts evidence first, in the driver's order, then what was derived, by what it says and who says it, so that
// the order in which statements arrived cannot be seen.
func orderECTs(a, b AcceptedECT) int {
	if a.Source == nil || b.Source == nil {
		switch {
		case a.Source == b.Source:
			return cmp.Compare(a.From, b.From)
		case a.Source == nil:
			return -1
		}
		return 1
	}
	if c := cmp.Or(cmp.Compare(a.CMType, b.CMType), orderSources(a.Source, b.Source), strings.Compare(a.Relation, b.Relation), cmp.Compare(a.From, b.From)); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(a.Environment.String(), b.Environment.String()), strings.Compare(a.Profile, b.Profile),
		slices.CompareFunc(a.Elements, b.Elements, orderElements))
}

func orderSources(a, b *endorse.Source) int {
	if a == b {
		return 0
	}
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID), strings.Compare(a.TagID, b.TagID),
		cmp.Compare(a.TagVersion, b.TagVersion), strings.Compare(a.SHA256, b.SHA256), strings.Compare(a.Signer, b.Signer))
}

func orderElements(a, b claim.Element) int {
	if c := cmp.Or(cmp.Compare(a.Key.Kind, b.Key.Kind), bytes.Compare(a.Key.AppendCBOR(nil), b.Key.AppendCBOR(nil))); c != 0 {
		return c
	}
	return strings.Compare(compare.Render(&a.Values), compare.Render(&b.Values))
}

// explain writes the trail.
func (a *Attester) explain(set *endorse.Set, local []*endorse.Reference, tr *tracker) {
	v := a.Evidence
	ects := v.ECTs()
	n := 0
	for i := range ects {
		n += len(ects[i].Elements)
	}
	a.Trail = make([]Entry, 0, n)
	var open []*claim.Element // beside Trail; nil when accepted
	root := v.Root().Name
	for i := range ects {
		for j := range ects[i].Elements {
			e := &ects[i].Elements[j]
			vs, covered := a.vouchers(&ects[i], e, tr)
			regs := registersOf(e, covered)
			// Who speaks of one register says nothing about the others.
			accepted := len(vs) > 0 && len(regs) == len(e.Values.Registers)
			a.Trail = append(a.Trail, Entry{Attester: a.Label, Claim: elementName(e), Field: e.Field, Value: compare.Render(&e.Values),
				Accepted: accepted, Registers: regs, Root: root, Vouchers: vs})
			if accepted {
				e = nil
			}
			open = append(open, e)
		}
	}
	a.explainOpen(set, local, tr, open)
	a.explainEndorsed(root)
}

// vouchers lists who vouches for one element of the evidence: reference values that it met, and plain endorsed values of
// its environment that it equals.
func (a *Attester) vouchers(ect *claim.ECT, e *claim.Element, tr *tracker) (out []Voucher, covered []claim.ID) {
	out, covered = tr.vouchers[e], tr.covered[e]
	for i := range a.Accepted {
		x := &a.Accepted[i]
		if x.CMType != claim.CMEndorsements || !x.Environment.Contains(ect.Environment) {
			continue
		}
		for j := range x.Elements {
			// A minimum or range that was endorsed says nothing about this value unless its profile's rules say so.
			if _, form := compare.ConditionForm(&x.Elements[j].Values); !form && compare.Element(&x.Elements[j], e, nil) {
				out = append(slices.Clip(out), Voucher{x.Source, x.Relation})
				covered = append(slices.Clip(covered), registerIDs(&x.Elements[j].Values)...)
				break
			}
		}
	}
	if len(out) > 1 {
		slices.SortFunc(out, func(x, y Voucher) int {
			return cmp.Or(orderSources(x.Source, y.Source), strings.Compare(x.Relation, y.Relation))
		})
	}
	return out, covered
}

func registerIDs(v *claim.Values) []claim.ID {
	var out []claim.ID
	for _, r := range v.Registers {
		out = append(out, r.ID)
	}
	return out
}

// registersOf names the registers of e that are covered, in the order of e.
func registersOf(e *claim.Element, covered []claim.ID) []string {
	var out []string
	for _, r := range e.Values.Registers {
		if slices.Contains(covered, r.ID) {
			out = append(out, registerName(r.ID))
		}
	}
	return out
}

// explainEndorsed lists what endorsers added.
func (a *Attester) explainEndorsed(root string) {
	for i := range a.Accepted {
		x := &a.Accepted[i]
		if x.CMType != claim.CMEndorsements {
			continue
		}
		for j := range x.Elements {
			a.Endorsed = append(a.Endorsed, Entry{Attester: a.Label, Claim: elementName(&x.Elements[j]), Value: compare.Render(&x.Elements[j].Values),
				Accepted: true, Root: root, Vouchers: []Voucher{{x.Source, x.Relation}}})
		}
	}
}

// quote shortens a value for a sentence.
func quote(s string) string {
	if len(s) > 24 {
		return s[:12] + "…"
	}
	return s
}

func by(src *endorse.Source) string {
	s := fmt.Sprintf("%q", src.Signer)
	if src.ID != "" && src.Kind != "local" {
		s += fmt.Sprintf(" id %s", src.ID)
	}
	return s
}
