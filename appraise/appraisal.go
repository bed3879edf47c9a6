// Package appraise is stage 3: authenticated evidence and admitted statements go in, accepted claims come out, each
// with the trail of what vouches for it. It is a pure function of its inputs: no clock, no store, no network.
package appraise

import (
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Appraisal is the outcome of stage 3. The zero value is not valid and is refused by stage 4.
type Appraisal struct {
	time      time.Time
	attesters []*Attester
	ok        bool
}

// Valid reports whether a was made by [Appraise].
func (a *Appraisal) Valid() bool { return a != nil && a.ok }

// Time returns the clock of the appraisal.
func (a *Appraisal) Time() time.Time { return a.time }

// Attesters returns one entry per separately appraised Attester, in the order given; the first is the lead.
func (a *Appraisal) Attesters() []*Attester { return a.attesters }

// Attester is what was found about one Attester. There is one accepted claims set per Attester (specs corim.md A23).
type Attester struct {
	Label    string
	Evidence *evidence.Verified
	Accepted []AcceptedECT    // the accepted claims set (ACS), in a deterministic order, evidence first
	Keys     []AcceptedKeys   // keys that a statement associates with this Attester
	Domains  []AcceptedDomain // accepted memberships and trust dependencies
	Trail    []Entry          // one line per claim of the evidence, in its order
	Endorsed []Entry          // one line per claim that an endorser added: not in the evidence, so never "measured"
	// Unmet lists what the operator expected by name and did not find. Whoever demands something that is not there must
	// not be told that the machine is as he demanded.
	Unmet []Nearest
	// Failed says why match-and-augment was ended ("" when it was not). Nothing but evidence is accepted then.
	Failed string
}

// AcceptedECT is an ECT of the accepted claims set with the statement that put it there; a nil Source is Evidence. What
// the draft joins into one ECT but comes from several statements is listed once per statement.
type AcceptedECT struct {
	claim.ECT
	Source   *endorse.Source
	Relation string      // "" for evidence, otherwise as in [Voucher]
	From     EvidenceSet // the evidence that it rests on
}

// Entry is one line of the trail: one claim, and what it rests on.
type Entry struct {
	Attester string `json:"attester"`
	Claim    string `json:"claim"`           // the name people know it by: "measurement"
	Field    string `json:"field,omitempty"` // evidence field it was read from
	Value    string `json:"value"`
	Accepted bool   `json:"accepted"` // an admitted statement vouches for this value, and no expectation contradicts it
	// Registers are those of a claim with several registers that a statement vouches for; it is accepted when all are.
	Registers []string  `json:"registers,omitempty"`
	Root      string    `json:"root"`               // hardware root the evidence was authenticated under
	Vouchers  []Voucher `json:"vouchers,omitempty"` // every statement that vouches for it
	Nearest   *Nearest  `json:"nearest,omitempty"`  // when nothing vouches: the statement that came nearest
}

// Voucher is one statement that vouches for a claim.
type Voucher struct {
	*endorse.Source
	// Relation is "reference-value", "local-expectation", "endorsed-value", "conditional-endorsement" or
	// "conditional-endorsement-series".
	Relation string `json:"relation"`
}

// Nearest is the statement that came nearest to a match, and the first difference.
type Nearest struct {
	*endorse.Source
	What      string `json:"what"`      // element that differs
	Evidence  string `json:"evidence"`  // value in the evidence, "absent" when there is none
	Statement string `json:"statement"` // value the statement asks for
	Why       string `json:"why"`       // one sentence
}

// Input is the evidence of one Attester under the label it will have in results.
type Input struct {
	Label    string // "" takes the name of the driver
	Verified *evidence.Verified
}

// Appraise matches authenticated evidence against admitted statements in the phases of draft-ietf-rats-corim section 8.
// The attesters inside an evidence (its Parts) are appraised apart and follow it in the result.
//
// It yields findings, never a failure of the machine: its errors are of class internal or usage and mean that it was
// called with something that stages 1 and 2 did not make, or unsupported for evidence beyond its limits.
func Appraise(in []Input, set *endorse.Set) (*Appraisal, error) {
	if !set.Valid() {
		return nil, fault.New(fault.Internal, "appraisal against an endorsement set that no builder made")
	}
	flat, err := flatten(in)
	if err != nil {
		return nil, err
	}
	a := &Appraisal{time: flat[0].Verified.Time(), attesters: make([]*Attester, len(flat))}
	for i, f := range flat {
		if a.attesters[i], err = appraiseOne(f, set, expectations(set, flat, i)); err != nil {
			return nil, err
		}
	}
	a.unspoken(set)
	a.ok = true
	return a, nil
}

// unspoken reports, on the lead, expectations about claims that no Attester has: a name that was mistyped must not read
// as a demand that was met.
func (a *Appraisal) unspoken(set *endorse.Set) {
	for _, r := range set.Local() {
		for i := range r.Elements {
			x := &r.Elements[i]
			if !slices.ContainsFunc(a.attesters, func(t *Attester) bool { return hasClaim(t.Evidence, r, x) }) {
				a.attesters[0].Unmet = append(a.attesters[0].Unmet, difference(r, miss{c: x}))
			}
		}
	}
}

// expectations are what the operator expects of attester i. What he expects together may be about several attesters of one
// appraisal, a vTPM and the CPU below it: each is held against what it has a claim about, and what none has a claim about is
// demanded of all. Where one of them differs, the verdict on the whole is that on the worst.
func expectations(set *endorse.Set, all []Input, i int) []*endorse.Reference {
	if len(all) == 1 {
		return set.Local()
	}
	var out []*endorse.Reference
	for _, r := range set.Local() {
		mine := slices.DeleteFunc(slices.Clone(r.Elements), func(x claim.Element) bool {
			return !hasClaim(all[i].Verified, r, &x) && slices.ContainsFunc(all, func(f Input) bool { return hasClaim(f.Verified, r, &x) })
		})
		switch {
		case len(mine) == len(r.Elements):
			out = append(out, r)
		case len(mine) > 0:
			part := *r
			part.Elements = mine
			out = append(out, &part)
		}
	}
	return out
}

func hasClaim(v *evidence.Verified, r *endorse.Reference, x *claim.Element) bool {
	if r.TEE != "" && r.TEE != v.TEE() {
		return false
	}
	for _, ect := range v.ECTs() {
		for i := range ect.Elements {
			if _, named := byName(x, &ect.Elements[i]); named {
				return true
			}
		}
	}
	return false
}

// maxAttesters bounds nested evidence.
const maxAttesters = 256

// flatten lists the inputs and their parts, each with a label of its own.
func flatten(in []Input) ([]Input, error) {
	if len(in) == 0 {
		return nil, fault.New(fault.Usage, "nothing to appraise")
	}
	var out []Input
	used := map[string]bool{}
	var add func(f Input, prefix string) error
	add = func(f Input, prefix string) error {
		if !f.Verified.Valid() {
			return fault.New(fault.Internal, "appraisal of evidence that no driver authenticated")
		}
		if f.Label == "" {
			f.Label = f.Verified.TEE()
		}
		if used[f.Label] {
			if prefix == "" || used[prefix+"/"+f.Label] {
				return fault.New(fault.Usage, "two attesters have the label %q; give each its own", f.Label)
			}
			f.Label = prefix + "/" + f.Label
		}
		if len(out) == maxAttesters {
			return fault.New(fault.Unsupported, "more than %d attesters in one appraisal", maxAttesters)
		}
		used[f.Label] = true
		out = append(out, f)
		for _, p := range f.Verified.Parts() {
			if err := add(Input{p.Label, p.Verified}, f.Label); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range in {
		if err := add(f, ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func appraiseOne(f Input, set *endorse.Set, local []*endorse.Reference) (*Attester, error) {
	v := f.Verified
	if err := checkEvidence(v); err != nil {
		return nil, err
	}
	ects := v.ECTs()
	ws, err := worlds(ects)
	if err != nil {
		return nil, err
	}
	out := &Attester{Label: f.Label, Evidence: v}
	tr := &tracker{}
	vendor := vendorStatements(v)
	var g *engine
	for _, w := range ws {
		g = &engine{set: set, local: local, at: v.Time(), tee: v.TEE(), ects: ects, out: out, tr: tr, acs: newACS(ects, w)}
		g.vendor(vendor, w)
		g.references()
		g.augment()
		g.keyTriples()
		out.accept(g.acs)
	}
	// Memberships are about all instances together.
	if err := g.memberships(ects); err != nil {
		out.fail("the membership of domains is circular: " + err.Error())
	} else if err := g.dependencies(); err != nil {
		out.fail("the trust dependencies are circular: " + err.Error())
	}
	if out.Failed != "" {
		tr = &tracker{}
	}
	out.explain(set, local, tr)
	return out, nil
}

// fail leaves nothing accepted but the evidence (specs corim.md section 14.3).
func (a *Attester) fail(why string) {
	a.Failed = why
	a.Accepted = slices.DeleteFunc(a.Accepted, func(e AcceptedECT) bool { return e.Source != nil })
	a.Keys, a.Domains = nil, nil
}
