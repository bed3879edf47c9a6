package assay

import (
	"context"
	"fmt"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/builtin"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/result/report"
)

// Config is what a [Verifier] rests on. Nothing in it has a default that would leave a check out.
type Config struct {
	// Drivers authenticate evidence; nil means all that are built in.
	Drivers *builtin.Table
	// Anchors are the hardware roots; nil means those pinned in the binary and no others.
	Anchors *evidence.Anchors
	// Collateral gives vendor data; nil means that only what comes with the evidence and what is built in is available.
	Collateral evidence.Collateral
	// Policy decides; it is required. policy/rego has a built-in one.
	Policy policy.Policy
}

// Verifier runs stages 1, 3 and 4: it authenticates evidence, appraises it against admitted statements and decides. It
// is immutable and safe for concurrent use.
type Verifier struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Verifier, error) {
	if cfg.Policy == nil {
		return nil, fault.New(fault.Usage, "a verifier needs a policy; rego.Builtin gives one that fails closed")
	}
	if cfg.Drivers == nil {
		t, err := builtin.New()
		if err != nil {
			return nil, err
		}
		cfg.Drivers = t
	}
	if cfg.Anchors == nil {
		cfg.Anchors = evidence.BuiltinAnchors()
	}
	return &Verifier{cfg: cfg}, nil
}

// Submission is one piece of evidence and what it must be bound to.
type Submission struct {
	Label    string // name within the appraisal; "" means the driver's name. A label never comes from evidence
	Evidence evidence.Evidence
	Binding  evidence.Binding
	// Session and ChallengeState belong to TEEs that answer a challenge of the Verifier (evidence.Challenger).
	Session, ChallengeState []byte
}

// Authenticate is stage 1 for one submission at the given time.
func (v *Verifier) Authenticate(ctx context.Context, at time.Time, s Submission) (*evidence.Verified, error) {
	row, err := v.cfg.Drivers.For(s.Evidence)
	if err != nil {
		return nil, err
	}
	return row.Driver.Authenticate(ctx, s.Evidence, evidence.Env{
		Time: at, Binding: s.Binding, Anchors: v.cfg.Anchors, Collateral: v.cfg.Collateral,
		Session: s.Session, ChallengeState: s.ChallengeState,
	})
}

// Outcome is an appraisal with the decision on it.
type Outcome struct {
	Appraisal *appraise.Appraisal
	Decision  *policy.Decision
}

// Report renders the outcome for people and scripts.
func (o *Outcome) Report() *report.Report { return report.New(o.Appraisal, o.Decision) }

// Appraise is stages 3 and 4 for authenticated evidence: the first input is the lead.
func (v *Verifier) Appraise(ctx context.Context, in []appraise.Input, statements *endorse.Set, q policy.Question) (*Outcome, error) {
	a, err := appraise.Appraise(in, statements)
	if err != nil {
		return nil, err
	}
	d, err := v.cfg.Policy.Decide(ctx, a, q)
	if err != nil {
		return nil, err
	}
	return &Outcome{Appraisal: a, Decision: d}, nil
}

// Verify is stages 1, 3 and 4: it authenticates every submission and asks whether the machine is acceptable. The first
// submission that is not authentic ends it with that error.
func (v *Verifier) Verify(ctx context.Context, at time.Time, statements *endorse.Set, subs ...Submission) (*Outcome, error) {
	if len(subs) == 0 {
		return nil, fault.New(fault.Usage, "no evidence")
	}
	in := make([]appraise.Input, 0, len(subs))
	for i, s := range subs {
		ver, err := v.Authenticate(ctx, at, s)
		if err != nil {
			if len(subs) > 1 {
				err = fault.Wrap(err, "evidence %d", i+1)
			}
			return nil, err
		}
		in = append(in, appraise.Input{Label: label(in, s.Label, ver), Verified: ver})
	}
	return v.Appraise(ctx, in, statements, policy.Acceptable())
}

// label gives the second and later evidence of one driver a number; labels that the caller chose are left alone.
func label(in []appraise.Input, chosen string, ver *evidence.Verified) string {
	if chosen != "" {
		return chosen
	}
	n := 1
	for _, x := range in {
		if x.Verified.TEE() == ver.TEE() {
			n++
		}
	}
	if n == 1 {
		return ver.TEE()
	}
	return fmt.Sprintf("%s-%d", ver.TEE(), n)
}
