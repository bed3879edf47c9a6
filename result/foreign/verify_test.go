package foreign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/result/foreign"
)

var now = time.Unix(1_780_000_000, 0)

var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var b64 = base64.RawURLEncoding.EncodeToString

func sign(tb testing.TB, header, claims map[string]any, k crypto.Signer) []byte {
	tb.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return b64(b)
	}
	msg := part(header) + "." + part(claims)
	var sig []byte
	var err error
	switch header["alg"] {
	case "PS384":
		sum := sha512.Sum384([]byte(msg))
		sig, err = k.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384})
	default:
		sum := sha256.Sum256([]byte(msg))
		sig, err = k.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(msg + "." + b64(sig))
}

func jwks(tb testing.TB, kid string, k *rsa.PublicKey) []foreign.Key {
	tb.Helper()
	ks, err := foreign.ParseKeys([]byte(fmt.Sprintf(`{"keys":[{"kty":"oct","kid":"x"},{"kty":"RSA","kid":%q,"alg":"RS256","n":%q,"e":"AQAB"}]}`, kid, b64(k.N.Bytes()))))
	if err != nil {
		tb.Fatal(err)
	}
	return ks
}

const issuer = "https://issuer.example"

// claims of the three kinds, as their services write them.
func claimsOf(kind foreign.Kind) map[string]any {
	c := map[string]any{"iss": issuer, "iat": now.Unix() - 10, "nbf": now.Unix() - 10, "exp": now.Unix() + 300}
	switch kind {
	case foreign.MAA:
		c["x-ms-attestation-type"] = "azurevm"
		c["secureboot"] = true
		c["x-ms-runtime"] = map[string]any{"client-payload": map[string]any{"nonce": "my-nonce-1234"}}
		c["x-ms-isolation-tee"] = map[string]any{"x-ms-attestation-type": "sevsnpvm", "x-ms-compliance-status": "azure-compliant-cvm",
			"x-ms-sevsnpvm-launchmeasurement": "aabb", "x-ms-sevsnpvm-is-debuggable": false}
	case foreign.ConfidentialSpace:
		c["aud"] = "me"
		c["eat_nonce"] = []string{"other-nonce", "my-nonce-1234"}
		c["hwmodel"], c["swname"], c["dbgstat"], c["secboot"] = "GCP_INTEL_TDX", "CONFIDENTIAL_SPACE", "disabled-since-boot", true
		c["submods"] = map[string]any{"container": map[string]any{"image_digest": "sha256:aabb"}}
	case foreign.TrustAuthority:
		c["verifier_nonce"] = map[string]any{"val": "my-nonce-1234", "iat": "x"}
		c["attester_type"], c["tdx_mrtd"], c["tdx_is_debuggable"], c["attester_tcb_status"] = "TDX", "aabb", false, "UpToDate"
	}
	return c
}

func configOf(tb testing.TB, kind foreign.Kind) foreign.Config {
	cfg := foreign.Config{Kind: kind, Keys: jwks(tb, "k1", &key().PublicKey), Time: now, Issuer: issuer, Nonce: "my-nonce-1234"}
	if kind == foreign.ConfidentialSpace {
		cfg.Audience = "me"
	}
	return cfg
}

func algOf(kind foreign.Kind) string {
	if kind == foreign.TrustAuthority {
		return "PS384"
	}
	return "RS256"
}

func TestTokens(t *testing.T) {
	for kind, want := range map[foreign.Kind]string{foreign.MAA: "sevsnpvm aabb", foreign.ConfidentialSpace: "GCP_INTEL_TDX sha256:aabb", foreign.TrustAuthority: "tdx aabb"} {
		tok := sign(t, map[string]any{"alg": algOf(kind), "kid": "k1", "typ": "JWT"}, claimsOf(kind), key())
		got, err := foreign.Verify(tok, configOf(t, kind))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got.TEE+" "+got.Measurement != want || !got.Bound || got.Debug == nil || *got.Debug || got.Compliant == nil || !*got.Compliant || got.KeyID != "k1" {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type ch = map[string]any
	for _, tc := range []struct {
		name   string
		header ch
		claims func(ch)
		cfg    func(*foreign.Config)
		key    crypto.Signer
		token  func([]byte) []byte
		class  fault.Class
	}{
		{name: "another key", key: other, class: fault.Signature},
		{name: "algorithm none", header: ch{"alg": "none"}, class: fault.Unsupported},
		{name: "algorithm HS256", header: ch{"alg": "HS256"}, class: fault.Unsupported},
		{name: "algorithm of another kind", header: ch{"alg": "PS384"}, class: fault.Unsupported},
		{name: "EC key for an RSA algorithm", header: ch{"alg": "RS256"}, key: ec, class: fault.Signature},
		{name: "kid of no key", header: ch{"alg": "RS256", "kid": "zzz"}, class: fault.Signature},
		{name: "critical extension", header: ch{"alg": "RS256", "crit": []string{"b64"}}, class: fault.Unsupported},
		{name: "another issuer", claims: func(c ch) { c["iss"] = "https://evil.example" }, class: fault.Binding},
		{name: "no issuer expected", cfg: func(c *foreign.Config) { c.Issuer = "" }, class: fault.Usage},
		{name: "no keys", cfg: func(c *foreign.Config) { c.Keys = nil }, class: fault.Usage},
		{name: "no clock", cfg: func(c *foreign.Config) { c.Time = time.Time{} }, class: fault.Internal},
		{name: "expired", cfg: func(c *foreign.Config) { c.Time = now.Add(300 * time.Second) }, class: fault.Expired},
		{name: "not yet", cfg: func(c *foreign.Config) { c.Time = now.Add(-time.Hour) }, class: fault.Expired},
		{name: "too old", cfg: func(c *foreign.Config) { c.MaxAge = time.Second }, class: fault.Expired},
		{name: "no exp", claims: func(c ch) { delete(c, "exp") }, class: fault.Malformed},
		{name: "exp is text", claims: func(c ch) { c["exp"] = "tomorrow" }, class: fault.Malformed},
		{name: "another nonce", cfg: func(c *foreign.Config) { c.Nonce = "another-nonce" }, class: fault.Binding},
		{name: "no nonce in it", claims: func(c ch) { delete(c, "x-ms-runtime") }, class: fault.Binding},
		{name: "an audience that nobody expected", claims: func(c ch) { c["aud"] = "somebody" }, class: fault.Binding},
		{name: "another audience", cfg: func(c *foreign.Config) { c.Audience = "me" }, class: fault.Binding},
		{name: "a token of another kind", claims: func(c ch) { delete(c, "x-ms-isolation-tee"); delete(c, "x-ms-attestation-type") }, class: fault.Malformed},
		{name: "a changed claim", token: func(b []byte) []byte {
			p := strings.Split(string(b), ".")
			c, _ := base64.RawURLEncoding.DecodeString(p[1])
			p[1] = b64([]byte(strings.Replace(string(c), "aabb", "aabc", 1)))
			return []byte(strings.Join(p, "."))
		}, class: fault.Signature},
		{name: "two parts", token: func(b []byte) []byte { return b[:strings.LastIndexByte(string(b), '.')] }, class: fault.Malformed},
		{name: "too large", token: func([]byte) []byte { return make([]byte, 1<<20) }, class: fault.Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, c, k := ch{"alg": "RS256", "kid": "k1"}, claimsOf(foreign.MAA), crypto.Signer(key())
			if tc.header != nil {
				h = tc.header
			}
			if tc.claims != nil {
				tc.claims(c)
			}
			if tc.key != nil {
				k = tc.key
			}
			cfg := configOf(t, foreign.MAA)
			if tc.cfg != nil {
				tc.cfg(&cfg)
			}
			tok := sign(t, h, c, k)
			if tc.token != nil {
				tok = tc.token(tok)
			}
			if got, err := foreign.Verify(tok, cfg); got != nil && err == nil || !fault.Is(err, tc.class) {
				t.Errorf("%v, want class %v", err, tc.class)
			}
		})
	}
}

// A token whose header brings certificates is believed only if they lead to a pinned root.
func TestCertifiedToken(t *testing.T) {
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, ca.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	root, _ := x509.ParseCertificate(der)
	leafTpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "signer"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	leaf, err := x509.CreateCertificate(rand.Reader, leafTpl, root, key().Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	self, err := x509.CreateCertificate(rand.Reader, leafTpl, leafTpl, key().Public(), key())
	if err != nil {
		t.Fatal(err)
	}
	cfg := configOf(t, foreign.ConfidentialSpace)
	cfg.Keys, cfg.Roots = nil, []*x509.Certificate{root}
	for _, tc := range []struct {
		name string
		cert []byte
		key  crypto.Signer
		ok   bool
	}{{"good", leaf, key(), true}, {"self-signed", self, key(), false}} {
		tok := sign(t, map[string]any{"alg": "RS256", "x5c": []string{base64.StdEncoding.EncodeToString(tc.cert)}}, claimsOf(foreign.ConfidentialSpace), tc.key)
		if _, err := foreign.Verify(tok, cfg); (err == nil) != tc.ok || err != nil && !fault.Is(err, fault.Signature) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(sign(f, map[string]any{"alg": "RS256", "kid": "k1"}, claimsOf(foreign.MAA), key()), []byte(`{"keys":[]}`))
	cfg := configOf(f, foreign.MAA)
	f.Fuzz(func(t *testing.T, b, set []byte) {
		if tok, err := foreign.Verify(b, cfg); tok == nil && err == nil {
			t.Error("neither")
		}
		_, _ = foreign.ParseKeys(set)
	})
}
