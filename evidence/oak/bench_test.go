package oak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence/oak"
)

// bare is one verification by the standard library.
func bare(b *testing.B, curve elliptic.Curve, sum []byte) func() {
	key := must[*ecdsa.PrivateKey](b)(ecdsa.GenerateKey(curve, rand.Reader))
	sig := must[[]byte](b)(ecdsa.SignASN1(rand.Reader, key, sum))
	return func() {
		if !ecdsa.VerifyASN1(&key.PublicKey, sum, sig) {
			b.Fatal("the floor does not verify")
		}
	}
}

// The floor is the signatures alone: the report, three layers, three application keys.
func BenchmarkAuthenticate(b *testing.B) {
	m := containers(b, nil)
	ev, env, d := m.evidence(), simulated(b), newDriver(b, oak.Config{})
	s384, s256 := sha512.Sum384(make([]byte, 672)), sha256.Sum256(make([]byte, 300))
	report, cert := bare(b, elliptic.P384(), s384[:]), bare(b, elliptic.P256(), s256[:])
	b.ReportAllocs()
	var mine, floor []time.Duration
	for b.Loop() {
		t0 := time.Now()
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
		mine = append(mine, time.Since(t0))
		b.StopTimer()
		t0 = time.Now()
		report()
		for range 6 {
			cert()
		}
		floor = append(floor, time.Since(t0))
		b.StartTimer()
	}
	slices.Sort(mine)
	slices.Sort(floor)
	b.ReportMetric(float64(mine[len(mine)/2])/float64(floor[len(floor)/2]), "x-floor")
}
