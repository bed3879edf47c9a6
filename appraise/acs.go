package appraise

import (
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// maxECTs bounds the ECTs of one Attester's evidence, so that the links of a derived ECT fit a word.
const maxECTs = 64

// EvidenceSet is a set of indices into the Attester's own ECTs: what of the evidence a derived ECT rests on.
type EvidenceSet uint64

// Has reports whether index i is in the set.
func (s EvidenceSet) Has(i int) bool { return i >= 0 && i < maxECTs && s>>i&1 == 1 }

// node is one ECT of an accepted claims set while it is being built. ECTs of one environment, conceptual message,
// authority and profile are one (section 8.2), whichever statements they came from.
type node struct {
	env      claim.Environment
	cm       claim.CMType
	auth     claim.Authority
	profile  string
	from     EvidenceSet
	evidence *claim.ECT // that the node is; nil when derived
	elements []*claim.Element
	sources  []*endorse.Source // beside elements; nil entries are evidence
	relation []string          // beside elements
}

// acs is the accepted claims set of one Attester, or of one consistent binding of its instances.
type acs struct {
	nodes   []*node
	changed []*node // since the last selection
}

// newACS is phase 2 (section 8.3.4.1): the evidence itself. ECTs of one environment, authority and profile are one (specs
// corim.md A10 and section 13), so that a condition may be met by what two of them say; of two environments never.
func newACS(ects []claim.ECT, pick EvidenceSet) *acs {
	a := &acs{nodes: make([]*node, 0, len(ects)+4)}
	for i := range ects {
		if !pick.Has(i) {
			continue
		}
		e := &ects[i]
		if n := a.find(&e.Environment, claim.CMEvidence, e.Profile, e.Authority); n != nil {
			n.join(e, 1<<i)
			continue
		}
		n := &node{env: e.Environment, cm: claim.CMEvidence, auth: e.Authority, profile: e.Profile, from: 1 << i, evidence: e,
			elements: make([]*claim.Element, len(e.Elements))}
		for j := range e.Elements {
			n.elements[j] = &e.Elements[j]
		}
		a.nodes = append(a.nodes, n)
	}
	a.changed = slices.Clone(a.nodes)
	return a
}

// join adds the elements of a further ECT of evidence.
func (n *node) join(e *claim.ECT, from EvidenceSet) {
	n.from |= from
	whole := *n.evidence
	whole.Elements = append(whole.Elements[:len(whole.Elements):len(whole.Elements)], e.Elements...)
	n.evidence = &whole
	for j := range e.Elements {
		n.elements = append(n.elements, &e.Elements[j])
	}
}

// add appends an ECT; what is there already is not added again. It reports whether anything was new.
func (a *acs) add(env *claim.Environment, cm claim.CMType, profile string, elements []*claim.Element, src *endorse.Source, relation string, from EvidenceSet) bool {
	n := a.find(env, cm, profile, src.Authority)
	if n == nil {
		n = &node{env: *env, cm: cm, auth: src.Authority, profile: profile}
		a.nodes = append(a.nodes, n)
	}
	n.from |= from
	grew := false
	for _, e := range elements {
		if !n.holds(e, src) {
			n.elements, n.sources, n.relation = append(n.elements, e), append(n.sources, src), append(n.relation, relation)
			grew = true
		}
	}
	if grew && !slices.Contains(a.changed, n) {
		a.changed = append(a.changed, n)
	}
	return grew
}

func (a *acs) find(env *claim.Environment, cm claim.CMType, profile string, auth claim.Authority) *node {
	for _, n := range a.nodes {
		if n.cm == cm && n.profile == profile && n.env == *env && sameAuthority(n.auth, auth) {
			return n
		}
	}
	return nil
}

func (n *node) holds(e *claim.Element, src *endorse.Source) bool {
	for i, h := range n.elements {
		if n.sources[i] == src && h.Key == e.Key && (h == e || compare.Equal(&h.Values, &e.Values)) {
			return true
		}
	}
	return false
}

func sameAuthority(a, b claim.Authority) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || a.Satisfies(b) && b.Satisfies(a))
}

// worlds splits the evidence of one Attester into consistent bindings of instances (specs corim.md A23): two ECTs of
// one class but different instances are never in the same world, so that no endorsement mixes two devices.
func worlds(ects []claim.ECT) ([]EvidenceSet, error) {
	out := []EvidenceSet{0}
	var done EvidenceSet
	for i := range ects {
		if done.Has(i) {
			continue
		}
		groups := instances(ects, i)
		for _, g := range groups {
			done |= g
		}
		if len(groups) == 1 {
			for w := range out {
				out[w] |= groups[0]
			}
			continue
		}
		var next []EvidenceSet
		for _, w := range out {
			for _, g := range groups {
				next = append(next, w|g)
			}
		}
		if len(next) > maxECTs {
			return nil, fault.New(fault.Unsupported, "evidence names so many instances of the same classes that their combinations cannot be told apart")
		}
		out = next
	}
	return out, nil
}

// instances groups the ECTs that share the class and group of ects[i] by instance. ECTs without an instance belong to
// each of the groups.
func instances(ects []claim.ECT, i int) []EvidenceSet {
	var all EvidenceSet
	byInstance := map[claim.ID]EvidenceSet{}
	var order []claim.ID
	for j := i; j < len(ects); j++ {
		e := &ects[j].Environment
		if e.Class != ects[i].Environment.Class || e.Group != ects[i].Environment.Group {
			continue
		}
		if e.Instance.IsZero() {
			all |= 1 << j
			continue
		}
		if _, seen := byInstance[e.Instance]; !seen {
			order = append(order, e.Instance)
		}
		byInstance[e.Instance] |= 1 << j
	}
	if len(order) == 0 {
		return []EvidenceSet{all}
	}
	out := make([]EvidenceSet, len(order))
	for k, id := range order {
		out[k] = byInstance[id] | all
	}
	return out
}

// checkEvidence refuses what no driver may deliver.
func checkEvidence(v *evidence.Verified) error {
	ects := v.ECTs()
	if len(ects) > maxECTs {
		return fault.New(fault.Internal, "driver %s delivered %d ECTs; at most %d are possible", v.TEE(), len(ects), maxECTs)
	}
	for i := range ects {
		e := &ects[i]
		if e.Environment.IsZero() || e.CMType != claim.CMEvidence || len(e.Authority) == 0 {
			return fault.New(fault.Internal, "driver %s delivered an ECT without environment or authority, or one that is not evidence", v.TEE())
		}
		for j := range e.Elements {
			if form, found := compare.ConditionForm(&e.Elements[j].Values); found {
				return fault.New(fault.Internal, "driver %s delivered a condition as evidence: %s at element %s", v.TEE(), form, elementName(&e.Elements[j]))
			}
		}
	}
	return nil
}
