package rego_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"testing"
	"time"

	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

// One verdict by the built-in policy, against one bare P-384 verification (x-floor).
func BenchmarkDecide(b *testing.B) {
	p, err := rego.Builtin(insecure(nil))
	if err != nil {
		b.Fatal(err)
	}
	a := machine{}.appraise(b)
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha512.Sum384([]byte("report"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	const rounds = 200
	start := time.Now()
	for range rounds {
		if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
			b.Fatal("bad signature")
		}
	}
	floor := time.Since(start) / rounds
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := p.Decide(context.Background(), a, policy.Acceptable()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(floor.Nanoseconds()), "x-floor")
}
