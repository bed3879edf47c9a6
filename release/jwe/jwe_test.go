package jwe

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func generate(t testing.TB, kind string) (PrivateKey, *Key) {
	p, err := Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Public()
	if err != nil {
		t.Fatal(err)
	}
	return p, k
}

func TestRoundTrip(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA", "ML-KEM-768"} {
		p, k := generate(t, kind)
		again, err := ParseKey(k.JSON())
		if err != nil || !again.Equal(k) {
			t.Fatalf("%s: %v", kind, err)
		}
		for _, n := range []int{0, 1, 32, 70000} {
			secret := make([]byte, n)
			rand.Read(secret)
			out, err := Encrypt(k, RFC7516, secret)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decrypt(p, out)
			if err != nil || !bytes.Equal(got, secret) {
				t.Fatalf("%s: %v", kind, err)
			}
			other, _ := generate(t, kind)
			if _, err := Decrypt(other, out); !fault.Is(err, fault.Signature) {
				t.Errorf("%s: another key: %v", kind, err)
			}
		}
	}
}

// TestHeaderBytes holds the form that the clients rebuild; one member more or another order and their AAD differs.
func TestHeaderBytes(t *testing.T) {
	_, k := generate(t, "P-521")
	out, err := Encrypt(k, RFC7516, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	head, err := b64.DecodeString(m["protected"])
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHeader(head)
	if err != nil || !bytes.Equal(h.reserialised, head) {
		t.Fatalf("%s is not stable: %s", head, h.reserialised)
	}
	if !strings.HasPrefix(string(head), `{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"P-521","kty":"EC","x":"`) {
		t.Errorf("header %s", head)
	}
	iv, _ := b64.DecodeString(m["iv"])
	tag, _ := b64.DecodeString(m["tag"])
	ek, _ := b64.DecodeString(m["encrypted_key"])
	if len(h.epkX) != 66 || len(h.epkY) != 66 || len(iv) != 12 || len(tag) != 16 || len(ek) != 40 {
		t.Error("a size that halts the guest")
	}
	if !strings.HasPrefix(string(out), `{"protected":"`) || strings.Contains(string(out), `"aad"`) {
		t.Errorf("response %s", out)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	_, p256 := generate(t, "P-256")
	_, p521 := generate(t, "P-521")
	edit := func(k *Key, f func(map[string]string)) string {
		m := map[string]string{}
		if err := json.Unmarshal(k.JSON(), &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		out, _ := json.Marshal(m)
		return string(out)
	}
	zeros := b64.EncodeToString(make([]byte, 66))
	for _, tc := range []struct {
		name, jwk string
		class     fault.Class
	}{
		{"not an object", `"x"`, fault.Malformed},
		{"no kty", `{}`, fault.Malformed},
		{"unknown kty", `{"kty":"oct"}`, fault.Unsupported},
		{"private member", edit(p256, func(m map[string]string) { m["d"] = "AA" }), fault.Malformed},
		{"off the curve", edit(p256, func(m map[string]string) { m["y"] = m["x"] }), fault.Malformed},
		{"zero point", edit(p521, func(m map[string]string) { m["x"], m["y"] = zeros, zeros }), fault.Malformed},
		{"65 bytes", edit(p521, func(m map[string]string) { b, _ := b64.DecodeString(m["x"]); m["x"] = b64.EncodeToString(b[1:]) }), fault.Malformed},
		{"padded base64", edit(p256, func(m map[string]string) { m["x"] += "=" }), fault.Malformed},
		{"other curve", edit(p256, func(m map[string]string) { m["crv"] = "secp256k1" }), fault.Unsupported},
		{"curve swapped", edit(p256, func(m map[string]string) { m["crv"] = "P-521" }), fault.Malformed},
		{"other alg", edit(p256, func(m map[string]string) { m["alg"] = "dir" }), fault.Unsupported},
		{"RSA 1024", `{"kty":"RSA","alg":"RSA-OAEP-256","n":"` + b64.EncodeToString(bytes.Repeat([]byte{0xff}, 128)) + `","e":"AQAB"}`, fault.Malformed},
		{"RSA even modulus", `{"kty":"RSA","alg":"RSA-OAEP-256","n":"` + b64.EncodeToString(append(bytes.Repeat([]byte{0xff}, 255), 2)) + `","e":"AQAB"}`, fault.Malformed},
		{"RSA exponent 1", `{"kty":"RSA","alg":"RSA-OAEP-256","n":"` + b64.EncodeToString(bytes.Repeat([]byte{0xff}, 256)) + `","e":"AQ"}`, fault.Malformed},
		{"ML-KEM short", `{"kty":"AKP","alg":"ML-KEM-768+A192KW","pub":"AAAA"}`, fault.Malformed},
		{"huge", `{"kty":"` + strings.Repeat("a", MaxKeySize) + `"}`, fault.Malformed},
		{"two alg members", strings.Replace(string(p256.JSON()), `{`, `{"alg":"dir",`, 1), fault.Malformed},
	} {
		if k, err := ParseKey([]byte(tc.jwk)); k != nil || !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.class)
		}
	}
}

func TestUnknownMembersAreDropped(t *testing.T) {
	_, k := generate(t, "P-256")
	with := strings.Replace(string(k.JSON()), `{`, `{"kid":"1","use":"enc",`, 1)
	got, err := ParseKey([]byte(with))
	if err != nil || !got.Equal(k) {
		t.Fatalf("%v", err)
	}
}

// TestKeyWrap is the example of RFC 3394 section 4.6: 256 bits of key data with a 256-bit KEK.
func TestKeyWrap(t *testing.T) {
	kek := unhex(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	key := unhex(t, "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
	w, err := wrapKey(kek, key)
	if err != nil || !bytes.Equal(w, unhex(t, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")) {
		t.Fatalf("%x %v", w, err)
	}
	back, err := unwrapKey(kek, w)
	if err != nil || !bytes.Equal(back, key) {
		t.Fatal(err)
	}
	for i := range w {
		w[i] ^= 1
		if _, err := unwrapKey(kek, w); err == nil {
			t.Errorf("byte %d changed and still opened", i)
		}
		w[i] ^= 1
	}
}

func FuzzParseKey(f *testing.F) {
	for _, kind := range []string{"P-256", "P-521", "ML-KEM-768"} {
		_, k := generate(f, kind)
		f.Add(k.JSON())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKey(data)
		if err != nil {
			return
		}
		again, err := ParseKey(k.JSON())
		if err != nil || !again.Equal(k) {
			t.Fatalf("canonical form %s does not parse: %v", k.JSON(), err)
		}
	})
}

func FuzzDecrypt(f *testing.F) {
	p, k := generate(f, "P-256")
	out, err := Encrypt(k, RFC7516, []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out)
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := Decrypt(p, data); err == nil && string(got) != "secret" {
			t.Fatalf("opened to %q", got)
		}
	})
}

func BenchmarkEncryptP256(b *testing.B) {
	_, k := generate(b, "P-256")
	secret := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encrypt(k, RFC7516, secret); err != nil {
			b.Fatal(err)
		}
	}
}
