package snp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"math/big"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
)

func BenchmarkParse(b *testing.B) {
	raw := plainReport(3)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// bareVerify is the floor: one P-384 verification by the standard library, of a digest of the signed part.
func bareVerify(b *testing.B) func() {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha512.Sum384(make([]byte, signedSize))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		if !ecdsa.Verify(&key.PublicKey, sum[:], new(big.Int).Set(r), s) {
			b.Fatal("floor does not verify")
		}
	}
}

// measure runs f and floor by turns, so that both see the same machine, and reports the median ratio.
func measure(b *testing.B, metric string, f, floor func()) {
	b.ReportAllocs()
	var mine, theirs []time.Duration
	for b.Loop() {
		t0 := time.Now()
		f()
		mine = append(mine, time.Since(t0))
		b.StopTimer()
		t0 = time.Now()
		floor()
		theirs = append(theirs, time.Since(t0))
		b.StartTimer()
	}
	slices.Sort(mine)
	slices.Sort(theirs)
	b.ReportMetric(float64(mine[len(mine)/2])/float64(theirs[len(theirs)/2]), metric)
}

// realEvidence is one real report with its VCEK.
func realEvidence(b *testing.B) (evidence.Evidence, evidence.Env) {
	dir := filepath.Join(vectorDir(b), "snp")
	return evidence.Evidence{Data: readFile(b, dir, "reports/genoa-v5-6d1ceffae6ad.bin"), Endorsements: [][]byte{readFile(b, dir, "veks/genoa-vcek-b6563a6c7767.der")}},
		unbound(parseTime(b, "2026-07-15T00:00:00Z"), evidence.BuiltinAnchors())
}

func authenticate(b *testing.B, d *Driver, ev evidence.Evidence, env evidence.Env) func() {
	return func() {
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWarm: the VCEK is known. Target: x-floor at most 1.1.
func BenchmarkWarm(b *testing.B) {
	ev, env := realEvidence(b)
	run := authenticate(b, newDriver(b), ev, env)
	run()
	measure(b, "x-floor", run, bareVerify(b))
}

// BenchmarkWarmGuestForm: the same, from the JSON of a Trustee guest.
func BenchmarkWarmGuestForm(b *testing.B) {
	_, env := realEvidence(b)
	ev := evidence.Evidence{Data: readFile(b, vectorDir(b), "trustee/snp/evidence-genoa-v3.json")}
	run := authenticate(b, newDriver(b), ev, env)
	run()
	measure(b, "x-floor", run, bareVerify(b))
}

// BenchmarkCold: no certificate is known; the ratio to go-sev-guest is measured in internal/oracle.
func BenchmarkCold(b *testing.B) {
	ev, env := realEvidence(b)
	d, err := New(Config{CacheBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	measure(b, "x-floor", authenticate(b, d, ev, env), bareVerify(b))
}

func BenchmarkClaims(b *testing.B) {
	ev, env := realEvidence(b)
	v, err := newDriver(b).Authenticate(context.Background(), ev, env)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Claims()
	}
}
