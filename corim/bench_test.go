package corim_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
)

// BenchmarkDecodeCoMID reads the 612 bytes of the draft's largest CoMID example; the floor is one strict walk over them.
func BenchmarkDecodeCoMID(b *testing.B) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		b.Skip("ASSAY_VECTORS is not set")
	}
	in, err := os.ReadFile(filepath.Join(dir, "corim", "spec", "comid-design-cd.cbor"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := corim.DecodeCoMID(in, corim.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	per := float64(b.Elapsed()) / float64(b.N)
	const rounds = 2000
	start := time.Now()
	for range rounds {
		if err := cborx.Check(in, cborx.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
	floor := float64(time.Since(start)) / rounds
	b.ReportMetric(per/floor, "x-floor")
}
