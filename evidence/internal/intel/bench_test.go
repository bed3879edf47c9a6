package intel_test

import (
	"context"
	"crypto/ecdsa"
	"os"
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

// measure returns the best mean of several runs.
func measure(b *testing.B, verify func() bool) time.Duration {
	b.Helper()
	const n = 200
	best := time.Hour
	for range 5 {
		start := time.Now()
		for range n {
			if !verify() {
				b.Fatal("does not verify")
			}
		}
		best = min(best, time.Since(start)/n)
	}
	return best
}

// floor is the P-256 verification that no cache can save.
func floor(b *testing.B, quote []byte) time.Duration {
	q := must[dcap.Quote](b)(dcap.ParseQuote(quote))
	ak := must[*ecdsa.PublicKey](b)(dcap.ParseKey(q.AttestationKey))
	return measure(b, func() bool { return dcap.VerifyRaw(ak, q.Signed, q.Signature) })
}

// floorOfTwo is the two verifications of a quote whose attestation key is new: one with a key just read, one with a known.
func floorOfTwo(b *testing.B, quote []byte, pck *ecdsa.PublicKey) time.Duration {
	q := must[dcap.Quote](b)(dcap.ParseQuote(quote))
	return measure(b, func() bool {
		ak, err := dcap.ParseKey(q.AttestationKey)
		return err == nil && dcap.VerifyRaw(ak, q.Signed, q.Signature) && dcap.VerifyRaw(pck, q.QEReport, q.QESignature)
	})
}

// A quote of a platform whose chain, collateral and QE are known: one P-256 verification covers the nonce.
func BenchmarkTDXWarm(b *testing.B) {
	ev, env := pair(b)
	d := must[*tdx.Driver](b)(tdx.New(tdx.Config{}))
	bare := floor(b, ev.Data)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bare.Nanoseconds()), "x-floor")
}

// The first quote after a boot of a platform whose PCK chain and collateral are known: two P-256 verifications, since
// the attestation key is new.
func BenchmarkTDXFirstOfPlatform(b *testing.B) {
	m := must[*sim.Machine](b)(world(b).NewMachine(sim.MachineConfig{}))
	c := must[*sim.Collateral](b)(m.Collateral(true, sim.CollateralOptions{}))
	env := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](b)(evidence.NewAnchors(world(b).Anchors())), Collateral: given(c.Given())}
	const boots = 256
	evs := make([]evidence.Evidence, boots)
	for i := range evs {
		auth := make([]byte, 32) // another boot has another QE report
		auth[0], auth[1] = byte(i), byte(i>>8)
		evs[i].Data = must[[]byte](b)(m.TDQuote(sim.TD{}, sim.BodyTD10, sim.QuoteOptions{AuthData: auth, AttestationKey: newKey(b)}))
	}
	warm := func() *tdx.Driver {
		d := must[*tdx.Driver](b)(tdx.New(tdx.Config{}))
		first := must[[]byte](b)(m.TDQuote(sim.TD{}, sim.BodyTD10, sim.QuoteOptions{}))
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: first}, env); err != nil {
			b.Fatal(err)
		}
		return d
	}
	bare := floorOfTwo(b, evs[0].Data, &m.PCK.Key.PublicKey)
	d := warm()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%boots == 0 && i > 0 {
			b.StopTimer()
			d = warm() // forgets the QE reports, keeps chain and collateral
			b.StartTimer()
		}
		if _, err := d.Authenticate(context.Background(), evs[i%boots], env); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bare.Nanoseconds()), "x-floor")
}

// Nothing is known: chain, collateral, lists, everything is verified.
func BenchmarkTDXCold(b *testing.B) {
	ev, env := pair(b)
	bare := floor(b, ev.Data)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		d := must[*tdx.Driver](b)(tdx.New(tdx.Config{}))
		b.StartTimer()
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(12*float64(bare.Nanoseconds())), "x-floor")
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
