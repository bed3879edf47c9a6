package azvtpm_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
)

// A warm driver against the two signatures that cannot be left out: RSA-2048 of the quote, P-384 of the report.
func BenchmarkAuthenticate(b *testing.B) {
	doc, e := sim(b, nil)
	ev := evidence.Evidence{Data: encode(b, doc)}
	d := snpDriver(b)
	ak, err := akKey()
	if err != nil {
		b.Fatal(err)
	}
	sum, sum384 := sha256.Sum256(nil), sha512.Sum384(nil)
	sig, err := rsa.SignPKCS1v15(rand.Reader, ak, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, key, sum384[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Authenticate(context.Background(), ev, e); err != nil {
			b.Fatal(err)
		}
	}
	begin := time.Now()
	for range b.N {
		if rsa.VerifyPKCS1v15(&ak.PublicKey, crypto.SHA256, sum[:], sig) != nil || !ecdsa.VerifyASN1(&key.PublicKey, sum384[:], der) {
			b.Fatal("signature")
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(time.Since(begin)), "x-floor")
}
