package endorse

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// BenchmarkAdmit admits signed CoRIMs of one tag each. x-floor is the ratio to one bare ES256 verification.
func BenchmarkAdmit(b *testing.B) {
	k := newKey(b)
	docs := make([][]byte, 10_000)
	for i := range docs {
		docs[i] = sign(b, manifest(fmt.Sprint("m", i), comid(fmt.Sprint("t", i), 0, measured(byte(i)))), k, corim.SignOptions{})
	}
	sum := sha256.Sum256(docs[0])
	sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var mine, floor time.Duration
	n := 0
	for b.Loop() {
		set := newBuilder(b, Config{Anchors: []*Anchor{anchor("a", k)}})
		t0 := time.Now()
		for _, d := range docs {
			if _, err := set.Admit(d); err != nil {
				b.Fatal(err)
			}
		}
		if set.Set().Len() != len(docs) {
			b.Fatal("not all were admitted")
		}
		mine += time.Since(t0)
		b.StopTimer()
		t0 = time.Now()
		for range docs {
			ecdsa.VerifyASN1(&k.PublicKey, sum[:], sig)
		}
		floor += time.Since(t0)
		n += len(docs)
		b.StartTimer()
	}
	b.ReportMetric(float64(mine.Nanoseconds())/float64(n), "ns/statement")
	b.ReportMetric(float64(mine)/float64(floor), "x-floor")
}

// Whatever bytes come, admission refuses them with a class, and never takes in what is not signed.
func FuzzAdmit(f *testing.F) {
	k := newKey(f)
	good := sign(f, manifest("m", comid("t", 0, measured(1))), k, corim.SignOptions{})
	raw, err := corim.Encode(manifest("m", comid("t", 0, measured(1))), corim.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
		if r, err := b.Admit(data); err == nil && r.ID != "m" {
			t.Errorf("admitted %+v", r)
		} else if err != nil && fault.ClassOf(err) == fault.Internal {
			t.Errorf("class internal: %v", err)
		}
		if _, err := b.AdmitUnsigned(data, "admin"); err != nil && fault.ClassOf(err) == fault.Internal {
			t.Errorf("unsigned: class internal: %v", err)
		}
		b.Set()
	})
}
