package collateral

import (
	"context"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Chain asks its members in turn; the first that has an answer gives it. A member that has none says so with class
// unavailable; any other error ends the search.
type Chain []evidence.Collateral

// Given implements evidence.Collateral.
func (c Chain) Given() [][]byte {
	var out [][]byte
	for _, m := range c {
		out = append(out, m.Given()...)
	}
	return out
}

// Get implements evidence.Collateral. When nobody has an answer, the error is that of the last member, which is the one
// that could have helped: the service, or Offline.
func (c Chain) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	err := fault.New(fault.Unavailable, "%s %s: there is no source of collateral", req.Service, req.Path)
	for _, m := range c {
		var r evidence.Response
		if r, err = m.Get(ctx, req); err == nil || !fault.Is(err, fault.Unavailable) || ctx.Err() != nil {
			return r, err
		}
	}
	return evidence.Response{}, err
}

// Offline has nothing and never looks anywhere: it ends a Chain where no connection may be opened.
type Offline struct{}

// Given implements evidence.Collateral.
func (Offline) Given() [][]byte { return nil }

// Get implements evidence.Collateral. It names what is missing, so that it can be fetched elsewhere and brought along.
func (Offline) Get(_ context.Context, req evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "offline, and %s %s is not in the files given; fetch it where there is a network and give it with --cert or --collateral", req.Service, req.Path)
}
