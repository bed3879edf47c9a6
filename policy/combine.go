package policy

import (
	"context"
	"slices"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/internal/sealed"
)

// All is the policy that asks every one of ps, in order, and takes the worst of their answers: per Attester and member
// of the vector the worst value ([Worse]), the worst status, every reason, and a release only when all allow it.
func All(ps ...Policy) (Policy, error) {
	switch {
	case len(ps) == 0:
		return nil, fault.New(fault.Usage, "no policy: a verifier without one would accept everything")
	case slices.Contains(ps, nil):
		return nil, fault.New(fault.Usage, "a policy in the list is nil")
	case len(ps) == 1:
		return ps[0], nil
	}
	return all(slices.Clone(ps)), nil
}

type all []Policy

// ID is that of the first policy; [Content].PolicyIDs of a decision lists all of them.
func (ps all) ID() string { return ps[0].ID() }

func (ps all) Decide(ctx context.Context, a *appraise.Appraisal, q Question) (*Decision, error) {
	var out Content
	for i, p := range ps {
		d, err := p.Decide(ctx, a, q)
		if err != nil {
			return nil, err
		}
		if !d.Valid() {
			return nil, fault.New(fault.Policy, "policy %s gave no valid decision", p.ID())
		}
		if c := d.Content(); i == 0 {
			out = c
			out.Attesters, out.Reasons, out.PolicyIDs = slices.Clone(c.Attesters), slices.Clone(c.Reasons), slices.Clone(c.PolicyIDs)
		} else if err := worsen(&out, c); err != nil {
			return nil, err
		}
	}
	return sealed.New(out), nil
}

// worsen lowers out to the worse of out and c.
func worsen(out *Content, c Content) error {
	if len(out.Attesters) != len(c.Attesters) {
		return fault.New(fault.Policy, "policies disagree on how many attesters there are")
	}
	out.Tier = out.Tier.Worse(c.Tier)
	out.Allow = out.Allow && c.Allow
	for i := range out.Attesters {
		o, n := &out.Attesters[i], c.Attesters[i]
		if o.Label != n.Label {
			return fault.New(fault.Policy, "policies disagree on the order of the attesters")
		}
		o.Tier = o.Tier.Worse(n.Tier)
		for m := range o.Vector {
			o.Vector[m] = WorseOpt(o.Vector[m], n.Vector[m])
		}
	}
	for _, r := range c.Reasons {
		if !slices.Contains(out.Reasons, r) {
			out.Reasons = append(out.Reasons, r)
		}
	}
	for _, id := range c.PolicyIDs {
		if !slices.Contains(out.PolicyIDs, id) {
			out.PolicyIDs = append(out.PolicyIDs, id)
		}
	}
	return nil
}

// Worse selects one of two values of a member of the vector (draft-ietf-rats-ar4si section 2.3.3): contraindicated,
// then warning, then affirming, each with standard values before the verifier's own. Two choices where the draft is
// open or weaker: an explicit 1 or −1 goes before affirming, because it caps the status (specs ear.md section 5), and
// of two values of one kind the one that says less (the larger magnitude) is taken. 0 is no assertion.
func Worse(a, b claim.TrustClaim) claim.TrustClaim {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	case a.Tier() != b.Tier():
		if a.Tier().Better(b.Tier()) {
			return b
		}
		return a
	case (a > 0) != (b > 0):
		return max(a, b)
	case a > 0:
		return max(a, b)
	}
	return min(a, b)
}

// WorseOpt is [Worse] with unset members, which assert nothing.
func WorseOpt(a, b claim.Opt[claim.TrustClaim]) claim.Opt[claim.TrustClaim] {
	switch {
	case !a.Set:
		return b
	case !b.Set:
		return a
	}
	return claim.Some(Worse(a.V, b.V))
}
