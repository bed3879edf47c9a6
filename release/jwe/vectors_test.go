package jwe

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

type vector struct {
	Name           string
	Use            []string
	RecipientJWK   json.RawMessage   `json:"recipient_jwk"`
	PrivateD       string            `json:"recipient_private_d"`
	PrivateJWK     map[string]string `json:"recipient_private_jwk"`
	Seed           string            `json:"recipient_seed"`
	EphemeralD     string            `json:"ephemeral_private_d"`
	CEK, IV        string
	PlaintextHex   string `json:"plaintext_hex"`
	Response       json.RawMessage
	Reserialising  string `json:"reserialising_client_result"`
	BasedOn        string `json:"based_on"`
	ProtectedJSON  string `json:"protected_json"`
	ReserialisedTo string `json:"client_reserialised_header"`
}

func loadVectors(t *testing.T) map[string][]vector {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: no known answers to compare with")
	}
	data, err := os.ReadFile(filepath.Join(dir, "kbs/jwe.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string][]vector{}
	for _, group := range []string{"cases", "legacy_0_1_x", "header_form", "tampered"} {
		var v []vector
		if err := json.Unmarshal(all[group], &v); err != nil || len(v) == 0 {
			t.Fatalf("%s: %v", group, err)
		}
		out[group] = v
	}
	return out
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v vector) private(t *testing.T) PrivateKey {
	var p PrivateKey
	var err error
	switch {
	case v.PrivateD != "":
		curve := ecdh.P256()
		if d := unhex(t, v.PrivateD); len(d) == 66 {
			curve = ecdh.P521()
		}
		p.EC, err = curve.NewPrivateKey(unhex(t, v.PrivateD))
	case v.Seed != "":
		p.KEM, err = mlkem.NewDecapsulationKey768(unhex(t, v.Seed))
	default:
		num := func(n string) *big.Int {
			b, err := b64.DecodeString(v.PrivateJWK[n])
			if err != nil {
				t.Fatal(err)
			}
			return new(big.Int).SetBytes(b)
		}
		p.RSA = &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: num("n"), E: int(num("e").Int64())}, D: num("d"), Primes: []*big.Int{num("p"), num("q")}}
		p.RSA.Precompute()
		err = p.RSA.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func compact(t *testing.T, raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestKnownAnswers(t *testing.T) {
	all := loadVectors(t)
	bytesCompared := 0
	for _, v := range append(all["cases"], all["legacy_0_1_x"]...) {
		t.Run(v.Name, func(t *testing.T) {
			priv, want := v.private(t), unhex(t, v.PlaintextHex)
			got, err := Decrypt(priv, v.Response)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("decrypted %x, %v", got, err)
			}
			key, err := ParseKey(v.RecipientJWK)
			if err != nil {
				t.Fatal(err)
			}
			if v.EphemeralD != "" {
				eph, err := key.ec.Curve().NewPrivateKey(unhex(t, v.EphemeralD))
				if err != nil {
					t.Fatal(err)
				}
				out, err := encrypt(key, RFC7516, want, params{cek: unhex(t, v.CEK), iv: unhex(t, v.IV), eph: eph})
				if err != nil || !bytes.Equal(out, compact(t, v.Response)) {
					t.Fatalf("encrypted\n%s %v, want\n%s", out, err, compact(t, v.Response))
				}
				bytesCompared++
			}
			form := RFC7516
			if bytes.Contains(v.Response, []byte(`"tag": ""`)) || bytes.Contains(v.Response, []byte(`"tag":""`)) {
				form = Legacy
			}
			fresh, err := Encrypt(key, form, want)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Decrypt(priv, fresh); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("round trip: %x %v", got, err)
			}
		})
	}
	if bytesCompared < 7 {
		t.Errorf("only %d known answers compared byte for byte", bytesCompared)
	}
}

func TestHeaderForms(t *testing.T) {
	for _, v := range loadVectors(t)["header_form"] {
		if v.ReserialisedTo != "" {
			h, err := parseHeader([]byte(v.ProtectedJSON))
			if err != nil || string(h.reserialised) != v.ReserialisedTo {
				t.Errorf("%s: re-serialised to %s, %v", v.Name, h.reserialised, err)
			}
		}
		if v.Response == nil {
			continue
		}
		_, err := Decrypt(v.private(t), v.Response)
		if (err == nil) != (v.Reserialising == "decrypts") {
			t.Errorf("%s: %v, want %s", v.Name, err, v.Reserialising)
		}
	}
}

func TestTampered(t *testing.T) {
	all := loadVectors(t)
	for _, v := range all["tampered"] {
		for _, base := range all["cases"] {
			if base.Name == v.BasedOn {
				if out, err := Decrypt(base.private(t), v.Response); err == nil {
					t.Errorf("%s opened to %x", v.Name, out)
				}
			}
		}
	}
}
