// Package policy is the contract of stage 4: an appraisal and a question go in, a decision with its reasons comes out.
// Policies are written in Rego (package policy/rego); what is undefined counts as no.
package policy

import (
	"context"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/policy/internal/sealed"
)

// Decision is the answer to one [Question]. It cannot be made outside the policy packages.
type Decision = sealed.Decision

// The parts of a [Decision].
type (
	Content          = sealed.Content
	Question         = sealed.Question
	AttesterDecision = sealed.AttesterDecision
	Reason           = sealed.Reason
)

// Acceptable asks "is this machine acceptable?".
func Acceptable() Question { return Question{} }

// MayHave asks "may it have this secret?"; resource is repository/type/tag.
func MayHave(resource string) Question { return Question{Release: true, Resource: resource} }

// Policy decides. Decide fails only with class policy (the policy could not be evaluated, which counts as no) or
// unavailable (cancelled), never to express a verdict. A Policy is compiled once and is safe for concurrent use.
type Policy interface {
	// ID is urn:assay:policy:<name>:<sha-256 of the policy's bytes>.
	ID() string
	Decide(ctx context.Context, a *appraise.Appraisal, q Question) (*Decision, error)
}
