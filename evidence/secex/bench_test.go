package secex_test

import (
	"context"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/json"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
)

// A request costs a key pair and one key agreement per host, and nothing else that counts.
func BenchmarkRequest(b *testing.B) {
	host, err := ecdh.P521().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	var t turns
	b.ReportAllocs()
	for b.Loop() {
		t.ours(func() {
			if _, err := secex.NewRequest(secex.RequestConfig{HostKeys: []*ecdh.PublicKey{host.PublicKey()}}); err != nil {
				b.Fatal(err)
			}
		})
		t.bare(func() {
			k, err := ecdh.P521().GenerateKey(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			_ = k.PublicKey()
			if _, err := k.ECDH(host.PublicKey()); err != nil {
				b.Fatal(err)
			}
		})
	}
	t.report(b, "x-floor")
}

// An exchange costs the P-521 work of its request and the HMAC of its answer; with the documents known, the rest
// (reading, looking up, claims) is small beside them.
func BenchmarkExchange(b *testing.B) {
	w := newWorld(b, true)
	bind, err := evidence.ExpectFit(digest())
	if err != nil {
		b.Fatal(err)
	}
	anchors, coll := w.anchors(), w.collateral()
	host, key, msg := w.machine.HostKey(), make([]byte, 64), make([]byte, 208+16+8+64+16+448)
	var t turns
	b.ReportAllocs()
	for b.Loop() {
		var ch *evidence.Challenge
		t.ours(func() {
			if ch, err = w.driver.Challenge(context.Background(), evidence.ChallengeRequest{Time: w.now, Session: w.session, Anchors: anchors, Collateral: coll, Lifetime: time.Minute}); err != nil {
				b.Fatal(err)
			}
		})
		raw, err := json.Marshal(w.answer(ch, digest())) // the machine's work is not the Verifier's
		if err != nil {
			b.Fatal(err)
		}
		t.ours(func() {
			if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, evidence.Env{Time: w.now, Binding: bind, Anchors: anchors, Collateral: coll, Session: w.session}); err != nil {
				b.Fatal(err)
			}
		})
		t.bare(func() {
			k, err := ecdh.P521().GenerateKey(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := k.ECDH(host); err != nil {
				b.Fatal(err)
			}
			m := hmac.New(sha512.New, key)
			m.Write(msg)
			m.Sum(nil)
		})
	}
	t.report(b, "x-floor")
}

// An answer alone, with the documents known.
func BenchmarkAnswer(b *testing.B) {
	w := newWorld(b, true)
	ch := w.challenge()
	raw, err := json.Marshal(w.answer(ch, digest()))
	if err != nil {
		b.Fatal(err)
	}
	bind, err := evidence.ExpectFit(digest())
	if err != nil {
		b.Fatal(err)
	}
	env := evidence.Env{Time: w.now, Binding: bind, Anchors: w.anchors(), Collateral: w.collateral(), Session: w.session}
	key, msg := make([]byte, 64), make([]byte, 208+16+8+64+16+448)
	var t turns
	b.ReportAllocs()
	for b.Loop() {
		t.ours(func() {
			if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, env); err != nil {
				b.Fatal(err)
			}
		})
		t.bare(func() {
			m := hmac.New(sha512.New, key)
			m.Write(msg)
			m.Sum(nil)
		})
	}
	t.report(b, "x-hmac")
}

// turns measures ours and the bare work in turns, so that both see the same machine.
type turns struct{ our, floor time.Duration }

func (t *turns) ours(f func()) { t.our += spent(f) }

func (t *turns) bare(f func()) { t.floor += spent(f) }

func (t *turns) report(b *testing.B, unit string) {
	b.ReportMetric(float64(t.our)/float64(t.floor), unit)
	b.ReportMetric(float64(t.our.Nanoseconds())/float64(b.N), "ours-ns/op")
}

func spent(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
