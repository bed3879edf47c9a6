package collateral_test

import (
	"context"
	"testing"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/evidence"
)

// BenchmarkCacheHit is on the path of every verification that looks for a revocation list.
func BenchmarkCacheHit(b *testing.B) {
	c, err := collateral.NewCache(collateral.CacheConfig{Origin: &counter{}})
	if err != nil {
		b.Fatal(err)
	}
	req := evidence.Request{Service: kds.Service, Path: "/vcek/v1/Milan/crl"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
