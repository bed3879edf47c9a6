package snp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

// AMD signs with 48 bytes of salt, and with nothing else.
func TestSaltLength(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384([]byte("tbs"))
	for _, salt := range []int{0, 20, 32, 47, 48, 49, 64} {
		sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA384, sum[:], &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA384})
		if salt == 0 {
			sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA384, sum[:])
		}
		if err != nil {
			t.Fatal(err)
		}
		err = verifyPSSBytes(&key.PublicKey, []byte("tbs"), sig)
		if salt == 48 && err != nil || salt != 48 && !fault.Is(err, fault.Signature) {
			t.Errorf("salt of %d bytes (0 is PKCS#1 v1.5): %v", salt, err)
		}
	}
}
