package secex

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func userDataRequest(t *testing.T, data []byte, key crypto.Signer) ([]byte, error) {
	t.Helper()
	host, err := ecdh.P521().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return NewAddSecretRequest(AddSecretConfig{HostKeys: []*ecdh.PublicKey{host.PublicKey()}, Tags: &HeaderTags{1}, Type: SecretAES256,
		Secret: make([]byte, 32), UserData: data, UserDataKey: key})
}

func TestUserDataOfAddSecretRequests(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey := func(bits int) *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for name, tc := range map[string]struct {
		key  crypto.Signer
		most int
		kind byte
	}{
		"unsigned": {nil, 512, 1}, "EC P-521": {p521, 256, 2}, "RSA-2048": {rsaKey(2048), 256, 3}, "RSA-3072": {rsaKey(3072), 128, 4},
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Repeat([]byte{0xda}, tc.most)
			req, err := userDataRequest(t, data, tc.key)
			if err != nil {
				t.Fatal(err)
			}
			if req[7] != tc.kind {
				t.Errorf("kind %d", req[7])
			}
			var pub crypto.PublicKey
			if tc.key != nil {
				pub = tc.key.Public()
			}
			if got, err := UserData(req, pub); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%x, %v", got, err)
			}
			if _, err := userDataRequest(t, append(data, 0), tc.key); !fault.Is(err, fault.Usage) {
				t.Errorf("one byte too many: %v", err)
			}
			if tc.key == nil {
				if _, err := UserData(req, p521.Public()); !fault.Is(err, fault.Signature) {
					t.Errorf("unsigned where a signature is demanded: %v", err)
				}
				return
			}
			for at := range len(req) - gcmTagSize { // the tag is the Ultravisor's to check
				bad := bytes.Clone(req)
				bad[at] ^= 1
				if _, err := UserData(bad, pub); err == nil {
					t.Fatalf("byte %#x flipped: accepted", at)
				}
			}
			other, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := UserData(req, other.Public()); !fault.Is(err, fault.Signature) {
				t.Errorf("another key: %v", err)
			}
		})
	}
	if _, err := userDataRequest(t, nil, rsaKey(4096)); !fault.Is(err, fault.Unsupported) {
		t.Errorf("RSA-4096: %v", err)
	}
	none, err := userDataRequest(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := UserData(none, nil); err != nil || got != nil {
		t.Errorf("none: %x, %v", got, err)
	}
	if _, err := UserData(none, p521.Public()); !fault.Is(err, fault.Signature) {
		t.Errorf("none where a signature is demanded: %v", err)
	}
	for n := range none {
		if _, err := UserData(none[:n], nil); !fault.Is(err, fault.Malformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzUserData(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("asrcbM\x00\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := UserData(b, key.Public()); err == nil {
			t.Errorf("accepted under a key that signed nothing: %x", got)
		}
		_, _ = UserData(b, nil)
	})
}
