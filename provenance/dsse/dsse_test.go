package dsse

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func key(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignAndVerify(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []crypto.Signer{key(t, elliptic.P256()), key(t, elliptic.P384()), key(t, elliptic.P521()), ed} {
		b, err := Sign(PayloadInToto, []byte("payload"), "id", k)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Attest(b, []Key{{Name: "n", ID: "id", Require: true, Public: k.Public()}}, 1)
		if err != nil || string(a.Payload()) != "payload" || a.Signer().Name != "n" {
			t.Errorf("%T: %v", k, err)
		}
		if _, err := Attest(b, []Key{{Public: key(t, elliptic.P256()).Public()}}, 1); !fault.Is(err, fault.Signature) {
			t.Errorf("another key: %v", err)
		}
		if _, err := Attest(b, []Key{{ID: "other", Require: true, Public: k.Public()}}, 1); !fault.Is(err, fault.Signature) {
			t.Errorf("another key id: %v", err)
		}
	}
}

// The lengths in the encoding keep type and payload apart: shifting bytes from one to the other changes what is signed.
func TestPAEKeepsTypeAndPayloadApart(t *testing.T) {
	k := key(t, elliptic.P256())
	b, err := Sign("type", []byte(" 7 payload"), "", k)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	e.PayloadType, e.Payload = "type  7", []byte("payload")
	if _, err := e.Verify([]Key{{Public: k.Public()}}, 1); !fault.Is(err, fault.Signature) {
		t.Errorf("%v", err)
	}
}

func TestThresholdCountsKeys(t *testing.T) {
	a, b := key(t, elliptic.P256()), key(t, elliptic.P256())
	one, _ := Sign("t", []byte("p"), "", a)
	e, err := Parse(one)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Sign("t", []byte("p"), "", a)
	e2, _ := Parse(again)
	e.Signatures = append(e.Signatures, e2.Signatures...)
	keys := []Key{{Public: a.Public()}, {Name: "the same again", Public: a.Public()}, {Public: b.Public()}}
	if _, err := e.Verify(keys, 2); !fault.Is(err, fault.Signature) {
		t.Errorf("two signatures by one key: %v", err)
	}
	other, _ := Sign("t", []byte("p"), "", b)
	e3, _ := Parse(other)
	e.Signatures = append(e.Signatures, e3.Signatures...)
	if _, err := e.Verify(keys, 2); err != nil {
		t.Errorf("two keys: %v", err)
	}
	for _, bad := range [][]Key{nil, {}} {
		if _, err := e.Verify(bad, 1); !fault.Is(err, fault.Usage) {
			t.Errorf("no keys: %v", err)
		}
	}
}

func TestRefusals(t *testing.T) {
	const sigs = `"signatures":[{"sig":"QUJD"}]`
	many := `"signatures":[` + strings.TrimSuffix(strings.Repeat(`{"sig":"QUJD"},`, 65), ",") + `]`
	for name, text := range map[string]string{
		"payload twice":         `{"payloadType":"t","payload":"QUJD","payload":"QUJE",` + sigs + `}`,
		"payload in other case": `{"payloadType":"t","payload":"QUJD","Payload":"QUJE",` + sigs + `}`,
		"line break in base64":  `{"payloadType":"t","payload":"QUJD\nQUJD",` + sigs + `}`,
		"no padding":            `{"payloadType":"t","payload":"QUI",` + sigs + `}`,
		"loose padding bits":    `{"payloadType":"t","payload":"QUJ=",` + sigs + `}`,
		"no payload":            `{"payloadType":"t",` + sigs + `}`,
		"no signatures":         `{"payloadType":"t","payload":"QUJD","signatures":[]}`,
		"signature without sig": `{"payloadType":"t","payload":"QUJD","signatures":[{"keyid":"x"}]}`,
		"too many signatures":   `{"payloadType":"t","payload":"QUJD",` + many + `}`,
		"more text":             `{"payloadType":"t","payload":"QUJD",` + sigs + `} {}`,
		"nested deeply":         `{"payloadType":"t","payload":"QUJD","x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `,` + sigs + `}`,
		"not JSON":              `x`,
	} {
		if _, err := Parse([]byte(text)); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestURLSafeBase64IsRead(t *testing.T) {
	p := []byte{0xfb, 0xff, 0xfe}
	text := fmt.Sprintf(`{"payloadType":"t","payload":%q,"signatures":[{"sig":"QUJD"}]}`, base64.URLEncoding.EncodeToString(p))
	e, err := Parse([]byte(text))
	if err != nil || string(e.Payload) != string(p) {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"payloadType":"t","payload":"QUJD","signatures":[{"keyid":"k","sig":"QUJD"}]}`))
	k := Key{Public: key(f, elliptic.P256()).Public()}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Errorf("%v", err)
			}
			return
		}
		if _, err := e.Verify([]Key{k}, 1); err == nil {
			t.Error("a signature by nobody")
		}
	})
}

// BenchmarkAttest: x-floor is the ratio to the one signature check in it.
func BenchmarkAttest(b *testing.B) {
	k := key(b, elliptic.P256())
	file, _ := Sign(PayloadInToto, make([]byte, 4096), "", k)
	e, _ := Parse(file)
	keys := []Key{{Public: k.Public()}}
	var floor float64
	b.Run("signature", func(b *testing.B) {
		m := PAE(e.PayloadType, e.Payload)
		for b.Loop() {
			_ = keys[0].Check(m, e.Signatures[0].Sig)
		}
		floor = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("attest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Attest(file, keys, 1); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/floor, "x-floor")
	})
}
