package assay_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"testing"
	"time"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/result"
	"github.com/assay-tee/assay/simulator"
)

// Everything after stage 1: appraisal against one reference value, the built-in policy, an ES256 EAR with its trail;
// against one bare P-384 verification (x-floor), taken in turns so that both see the same machine.
func BenchmarkVerdictAndEAR(b *testing.B) {
	now := time.Now()
	amd, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, KeyBits: 2048})
	check(b, err)
	chip, err := amd.NewChip(simulator.Milan)
	check(b, err)
	guest, err := chip.Launch(simulator.GuestConfig{Measurement: [48]byte{1}})
	check(b, err)
	ev, err := guest.Evidence([64]byte{2})
	check(b, err)
	anchors, err := evidence.NewAnchors(amd.Anchors())
	check(b, err)
	pol, err := rego.Builtin(rego.Params{AllowSimulatorUnsafe: true})
	check(b, err)
	v, err := assay.New(assay.Config{Anchors: anchors, Policy: pol})
	check(b, err)
	st, err := endorse.NewBuilder(endorse.Config{Time: now})
	check(b, err)
	check(b, st.Local("bench", "snp", []endorse.Expectation{{Name: "measurement", Values: [][]byte{append([]byte{1}, make([]byte, 47)...)}}}))
	set := st.Set()
	bind, err := evidence.ExpectExact(append([]byte{2}, make([]byte, 63)...))
	check(b, err)
	verified, err := v.Authenticate(context.Background(), now, assay.Submission{Evidence: ev, Binding: bind})
	check(b, err)
	key, err := keys.Generate(keys.ES256)
	check(b, err)
	issuer, err := result.NewIssuer(result.IssuerConfig{Key: key})
	check(b, err)

	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(b, err)
	digest := sha512.Sum384([]byte("report"))
	r, s, err := ecdsa.Sign(rand.Reader, p384, digest[:])
	check(b, err)

	var ours, floor time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		o, err := v.Appraise(context.Background(), []appraise.Input{{Verified: verified}}, set, policy.Acceptable())
		check(b, err)
		_, err = issuer.Issue(o.Appraisal, o.Decision, result.Options{})
		check(b, err)
		mid := time.Now()
		if !ecdsa.Verify(&p384.PublicKey, digest[:], r, s) {
			b.Fatal("bad signature")
		}
		ours, floor = ours+mid.Sub(start), floor+time.Since(mid)
	}
	b.ReportMetric(float64(ours)/float64(floor), "x-floor")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "verdict-ns/op")
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
