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
	floor := timePer(b, func() {
		k, err := ecdh.P521().GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		_ = k.PublicKey()
		if _, err := k.ECDH(host.PublicKey()); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := secex.NewRequest(secex.RequestConfig{HostKeys: []*ecdh.PublicKey{host.PublicKey()}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "x-floor")
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
	floor := timePer(b, func() {
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
	b.ReportAllocs()
	var ours time.Duration
	for b.Loop() {
		start := time.Now()
		ch, err := w.driver.Challenge(context.Background(), evidence.ChallengeRequest{Time: w.now, Session: w.session, Anchors: anchors, Collateral: coll, Lifetime: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		raw, err := json.Marshal(w.answer(ch, digest())) // the machine's work is not the Verifier's
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, evidence.Env{Time: w.now, Binding: bind, Anchors: anchors, Collateral: coll, Session: w.session}); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N)/floor, "x-floor")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "verifier-ns/op")
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
	floor := timePer(b, func() {
		m := hmac.New(sha512.New, key)
		m.Write(msg)
		m.Sum(nil)
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.driver.Authenticate(context.Background(), evidence.Evidence{Data: raw}, env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/floor, "x-hmac")
}

// timePer measures f, in nanoseconds per call.
func timePer(b *testing.B, f func()) float64 {
	b.Helper()
	n, start := 0, time.Now()
	for time.Since(start) < 200*time.Millisecond {
		f()
		n++
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}
