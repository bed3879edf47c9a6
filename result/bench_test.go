package result_test

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
	"github.com/assay-tee/assay/result"
)

// p384 is the duration of one bare P-384 verification, measured here and now.
func p384(b *testing.B) time.Duration {
	b.Helper()
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
	return time.Since(start) / rounds
}

func bench(b *testing.B, f func() error) {
	floor := p384(b)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(floor.Nanoseconds()), "x-floor")
}

func BenchmarkIssue(b *testing.B) {
	w := newWorld(b, nil)
	i, err := result.NewIssuer(result.IssuerConfig{Key: w.key})
	if err != nil {
		b.Fatal(err)
	}
	bench(b, func() error {
		_, err := i.Issue(w.appraisal, w.decision, result.Options{})
		return err
	})
}

func BenchmarkIssueCWT(b *testing.B) {
	w := newWorld(b, nil)
	i, err := result.NewIssuer(result.IssuerConfig{Key: w.key})
	if err != nil {
		b.Fatal(err)
	}
	bench(b, func() error {
		_, err := i.IssueCWT(w.appraisal, w.decision, result.Options{})
		return err
	})
}

// Stages 4 and 5 together: the built-in policy and the signature with ES256.
func BenchmarkDecideAndIssue(b *testing.B) {
	w := newWorld(b, nil)
	p, err := rego.Builtin(rego.Params{})
	if err != nil {
		b.Fatal(err)
	}
	i, err := result.NewIssuer(result.IssuerConfig{Key: w.key})
	if err != nil {
		b.Fatal(err)
	}
	bench(b, func() error {
		d, err := p.Decide(context.Background(), w.appraisal, policy.Acceptable())
		if err != nil {
			return err
		}
		_, err = i.Issue(w.appraisal, d, result.Options{})
		return err
	})
}
