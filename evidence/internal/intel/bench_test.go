package intel_test

import (
	"context"
	"crypto/ecdsa"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/dcap"
	sim "github.com/assay-tee/assay/simulator/intel"
)

// pair is real evidence when it is at hand, else simulated.
func pair(tb testing.TB) (evidence.Evidence, evidence.Env) {
	if os.Getenv("ASSAY_VECTORS") != "" {
		return realPair(tb)
	}
	return setup{tdx: true}.build(tb)
}

// ratio measures op and floor in turns and reports the quotient of their medians as x-floor: whatever else the machine
// does meets both alike.
func ratio(b *testing.B, op func(i int), floor func() bool) {
	b.Helper()
	const n = 401
	ops, floors := make([]time.Duration, n), make([]time.Duration, n)
	for i := range n {
		start := time.Now()
		op(i)
		between := time.Now()
		if !floor() {
			b.Fatal("does not verify")
		}
		ops[i], floors[i] = between.Sub(start), time.Since(between)
	}
	slices.Sort(ops)
	slices.Sort(floors)
	b.ReportMetric(float64(ops[n/2])/float64(floors[n/2]), "x-floor")
}

// floor is the P-256 verification that no cache can save.
func floor(b *testing.B, quote []byte) func() bool {
	q := must[dcap.Quote](b)(dcap.ParseQuote(quote))
	ak := must[*ecdsa.PublicKey](b)(dcap.ParseKey(q.AttestationKey))
	return func() bool { return dcap.VerifyRaw(ak, q.Signed, q.Signature) }
}

// A quote of a platform whose chain, collateral and QE are known: one P-256 verification covers the nonce.
func BenchmarkTDXWarm(b *testing.B) {
	ev, env := pair(b)
	d := must[*tdx.Driver](b)(tdx.New(tdx.Config{}))
	op := func(int) {
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		op(0)
	}
	ratio(b, op, floor(b, ev.Data))
}

// The first quote after a boot of a platform whose PCK chain and collateral are known: two P-256 verifications, one with
// a key that nobody has seen before, and one with the PCK.
func BenchmarkTDXFirstOfPlatform(b *testing.B) {
	m := must[*sim.Machine](b)(world(b).NewMachine(sim.MachineConfig{}))
	c := must[*sim.Collateral](b)(m.Collateral(true, sim.CollateralOptions{}))
	env := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](b)(evidence.NewAnchors(world(b).Anchors())), Collateral: given(c.Given())}
	const boots = 401
	evs := make([]evidence.Evidence, boots)
	for i := range evs {
		evs[i].Data = must[[]byte](b)(m.TDQuote(sim.TD{}, sim.BodyTD10, sim.QuoteOptions{AttestationKey: newKey(b)}))
	}
	warm := func() *tdx.Driver { // knows chain and collateral, and no QE report but one
		d := must[*tdx.Driver](b)(tdx.New(tdx.Config{}))
		first := must[[]byte](b)(m.TDQuote(sim.TD{}, sim.BodyTD10, sim.QuoteOptions{}))
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: first}, env); err != nil {
			b.Fatal(err)
		}
		return d
	}
	d := warm()
	op := func(i int) {
		if _, err := d.Authenticate(context.Background(), evs[i%boots], env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%boots == 0 && i > 0 {
			b.StopTimer()
			d = warm()
			b.StartTimer()
		}
		op(i)
	}
	d = warm()
	i := 0
	ratio(b, op, func() bool {
		q := must[dcap.Quote](b)(dcap.ParseQuote(evs[i%boots].Data))
		i++
		ak := must[*ecdsa.PublicKey](b)(dcap.ParseKey(q.AttestationKey))
		return dcap.VerifyRaw(ak, q.Signed, q.Signature) && dcap.VerifyRaw(&m.PCK.Key.PublicKey, q.QEReport, q.QESignature)
	})
}

// Nothing is known: chain, collateral, lists, everything is verified; twelve P-256 verifications at least.
func BenchmarkTDXCold(b *testing.B) {
	ev, env := pair(b)
	op := func(int) {
		if _, err := must[*tdx.Driver](b)(tdx.New(tdx.Config{})).Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		op(0)
	}
	one := floor(b, ev.Data)
	ratio(b, op, func() bool {
		ok := true
		for range 12 {
			ok = one() && ok
		}
		return ok
	})
}

func BenchmarkParseQuote(b *testing.B) {
	ev, _ := pair(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dcap.ParseQuote(ev.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClaims(b *testing.B) {
	ev, env := pair(b)
	v := must[*evidence.Verified](b)(must[*tdx.Driver](b)(tdx.New(tdx.Config{})).Authenticate(context.Background(), ev, env))
	b.ReportAllocs()
	for b.Loop() {
		v.Claims()
	}
}
