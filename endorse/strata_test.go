package endorse

import (
	"fmt"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// chainOf is n series of which each feeds the next.
func chainOf(n int) []*Series {
	elem := func(v int) claim.Element {
		s := fmt.Sprint(v)
		return claim.Element{Key: claim.Text(claim.TagNone, "s"), Values: claim.Values{Name: &s}}
	}
	out := make([]*Series, n)
	for i := range out {
		out[i] = &Series{Environment: class, Items: []SeriesItem{{Condition: []claim.Element{elem(i)}, Addition: claim.ECT{Environment: class, Elements: []claim.Element{elem(i + 1)}}}}}
	}
	return out
}

func TestStrataOfALongChain(t *testing.T) {
	b := newBuilder(t, Config{})
	chain := chainOf(1000)
	src := &Source{Kind: "vendor", ID: "x", Authority: claim.Authority{claim.Uint(1)}}
	if err := b.Assert(src, Relations{Series: chain}); err != nil {
		t.Fatal(err)
	}
	set := b.Set()
	for i := 1; i < len(chain); i++ {
		if set.SeriesRank(chain[i-1]) >= set.SeriesRank(chain[i]) {
			t.Fatalf("series %d has rank %d, what it feeds %d", i-1, set.SeriesRank(chain[i-1]), set.SeriesRank(chain[i]))
		}
	}
}

// Statements that all refer to each other are refused after bounded work, and what was there stays usable.
func TestStrataAreBounded(t *testing.T) {
	b := newBuilder(t, Config{})
	src := &Source{Kind: "vendor", ID: "x", Authority: claim.Authority{claim.Uint(1)}}
	if err := b.Assert(src, Relations{Series: chainOf(10)}); err != nil {
		t.Fatal(err)
	}
	err := b.Assert(src, Relations{Series: chainOf(8000)})
	refused(t, "8000 series that feed each other", err, fault.Malformed)
	if got := b.Set().Len(); got != 10 {
		t.Errorf("%d relations are in", got)
	}
	if err := b.Assert(src, Relations{Series: chainOf(10)}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
