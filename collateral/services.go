package collateral

import (
	"context"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Services asks the client of the service that a request names. It implements evidence.Collateral.
type Services map[string]evidence.Collateral

// Given implements evidence.Collateral.
func (Services) Given() [][]byte { return nil }

// Get implements evidence.Collateral.
func (s Services) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	c, ok := s[req.Service]
	if !ok {
		return evidence.Response{}, fault.New(fault.Unavailable, "no client of the service %q", req.Service)
	}
	return c.Get(ctx, req)
}
