package policy

import (
	"context"

	"github.com/assay-tee/assay/claim"
)

// ResourcePolicy decides about single requests on the strength of a token's claims, as Trustee's resource policies do.
// Where one is set it answers the question about the release instead of [Policy]; it never changes a verdict.
type ResourcePolicy interface {
	ID() string
	Decide(ctx context.Context, q ResourceQuestion) (*Decision, error)
}

// ResourceQuestion is one request for a resource.
type ResourceQuestion struct {
	Claims   []byte // JSON of the token's claims, verified
	Plugin   string // "resource"
	Path     []string
	Query    map[string]string
	Resource string     // what the decision names: repository/type/tag
	Tier     claim.Tier // status of the token as a whole, for the decision's record
}
