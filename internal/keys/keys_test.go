package keys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
)

func TestKeyFilesRoundTrip(t *testing.T) {
	for _, alg := range keys.Algs() {
		t.Run(string(alg), func(t *testing.T) {
			k, err := keys.Generate(alg)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := k.Write(path); err != nil {
				t.Fatal(err)
			}
			st, err := os.Stat(path)
			if err != nil || st.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v", st.Mode(), err)
			}
			if err := k.Write(path); !fault.Is(err, fault.Usage) {
				t.Errorf("overwrote: %v", err)
			}
			got, err := keys.Load(path)
			if err != nil || got.Alg != alg || got.Public.KID != k.Public.KID {
				t.Fatalf("%v %v", got, err)
			}
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := keys.Load(path); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("readable by others: %v", err)
			}
		})
	}
}

func TestPublicForms(t *testing.T) {
	for _, alg := range keys.Algs() {
		k, err := keys.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := json.Marshal(k.Public.JWK())
		if err != nil {
			t.Fatal(err)
		}
		set, err := json.Marshal(keys.JWKS(k.Public))
		if err != nil {
			t.Fatal(err)
		}
		for name, form := range map[string][]byte{"pem": k.Public.PEM(), "der": k.Public.SPKI(), "jwk": jwk, "jwks": set} {
			got, err := keys.ParsePublic(form)
			if err != nil || len(got) != 1 || got[0].KID != k.Public.KID || got[0].Alg != alg || got[0].Fingerprint() != k.Public.Fingerprint() {
				t.Errorf("%s %s: %v %v", alg, name, got, err)
			}
		}
	}
}

// The key and thumbprint of RFC 8037 appendix A.
func TestThumbprintIsThatOfTheRFC(t *testing.T) {
	got, err := keys.ParsePublic([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil || got[0].KID != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("%v %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	priv, err := k.PEM()
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p224DER, err := x509.MarshalPKIXPublicKey(&p224.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		in   []byte
		want fault.Class
	}{
		{"private where public is wanted", priv, fault.Usage},
		{"symmetric JWK", []byte(`{"kty":"oct","k":"AAAA"}`), fault.Usage},
		{"alg of another curve", []byte(`{"kty":"EC","crv":"P-256","alg":"ES384","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`), fault.Malformed},
		{"point off the curve", []byte(`{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"5Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`), fault.Malformed},
		{"encryption key", []byte(`{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), fault.Malformed},
		{"member twice", []byte(`{"kty":"OKP","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`), fault.Malformed},
		{"RSA", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: rsaDER}), fault.Unsupported},
		{"P-224", p224DER, fault.Unsupported},
		{"empty", nil, fault.Malformed},
		{"empty set", []byte(`{"keys":[]}`), fault.Malformed},
		{"text", []byte("hello"), fault.Malformed},
	} {
		if _, err := keys.ParsePublic(tc.in); !fault.Is(err, tc.want) {
			t.Errorf("%s: %v (%v), want %v", tc.name, err, fault.ClassOf(err), tc.want)
		}
	}
	if _, err := keys.ParsePrivate(k.Public.PEM()); !fault.Is(err, fault.Malformed) {
		t.Errorf("public where private is wanted: %v", err)
	}
	if _, err := keys.Generate("HS256"); !fault.Is(err, fault.Usage) {
		t.Errorf("HS256: %v", err)
	}
}

func FuzzParsePublic(f *testing.F) {
	k, err := keys.Generate(keys.EdDSA)
	if err != nil {
		f.Fatal(err)
	}
	jwk, err := json.Marshal(k.Public.JWK())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jwk)
	f.Add(k.Public.PEM())
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, err := keys.ParsePublic(b)
		if err == nil && len(ps) == 0 {
			t.Fatal("no key and no error")
		}
		_, _ = keys.ParsePrivate(b)
	})
}
