package appraise

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
)

// benchSet holds n reference values of images that are not the guest's, and one that is.
func benchSet(tb testing.TB, n int) *endorse.Set {
	b := builder(tb)
	src := source("Example Firmware")
	r := endorse.Relations{}
	policy := claim.Element{Key: claim.Uint(2), Values: claim.Values{Raw: &claim.Raw{Value: make([]byte, 8), Mask: []byte{0, 0, 8, 0, 0, 0, 0, 0}}}}
	for i := range n {
		r.References = append(r.References, &endorse.Reference{Environment: snpClass, Elements: []claim.Element{measurement(fmt.Sprint("image ", i)), policy}})
	}
	if err := b.Assert(src, r); err != nil {
		tb.Fatal(err)
	}
	assert(tb, b, "Example Firmware 2", reference(measurement("image"), policy))
	return b.Set()
}

func BenchmarkAppraise(b *testing.B) {
	for _, n := range []int{1, 100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("references=%d", n), func(b *testing.B) {
			if n > 10_000 && testing.Short() {
				b.Skip("a million statements take a while")
			}
			set := benchSet(b, n)
			v := verified(b, snpGuest("chip", "image"))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				a, err := Appraise([]Input{{Verified: v}}, set)
				if err != nil || !a.Attesters()[0].Trail[7].Accepted {
					b.Fatal("not accepted")
				}
			}
		})
	}
}

// BenchmarkAppraiseRefused is the case in which the trail has to look for the nearest statement.
func BenchmarkAppraiseRefused(b *testing.B) {
	set := benchSet(b, 1000)
	v := verified(b, snpGuest("chip", "unknown"))
	b.ReportAllocs()
	for b.Loop() {
		a, err := Appraise([]Input{{Verified: v}}, set)
		if err != nil || a.Attesters()[0].Trail[7].Nearest == nil {
			b.Fatal("no reason given")
		}
	}
}

// BenchmarkMillion appraises one guest against 100 and against a million stored reference values by turns, both in one
// process, so that both see the same heap. x-100 is the ratio of the medians.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("a million statements take a while")
	}
	small, large := benchSet(b, 100), benchSet(b, 1_000_000)
	v := verified(b, snpGuest("chip", "image"))
	run := func(set *endorse.Set) time.Duration {
		t0 := time.Now()
		a, err := Appraise([]Input{{Verified: v}}, set)
		d := time.Since(t0)
		if err != nil || !a.Attesters()[0].Trail[7].Accepted {
			b.Fatal("not accepted")
		}
		return d
	}
	var few, many []time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		many = append(many, run(large))
		few = append(few, run(small))
	}
	slices.Sort(few)
	slices.Sort(many)
	b.ReportMetric(float64(many[len(many)/2])/float64(few[len(few)/2]), "x-100")
}
