package rcar

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release/jwe"
)

func vectors(t *testing.T, name string, into any) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: no known answers to compare with")
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type bindingVector struct {
	Name, Dialect, Role, Nonce, Hash, Digest string
	Key                                      json.RawMessage `json:"tee_pubkey"`
	Additional                               *string         `json:"additional_evidence"`
}

func TestBindingVectors(t *testing.T) {
	var v struct {
		Binding  []bindingVector
		FieldFit []struct {
			Name, Rule, Digest string
			FieldLength        int    `json:"field_length"`
			ExpectedField      string `json:"expected_field"`
		} `json:"field_fit"`
		Negative []struct {
			Name    string
			BasedOn string `json:"based_on"`
			Digest  string
			Field   string
		}
	}
	vectors(t, "kbs/report-data.json", &v)
	digests := map[string]string{}
	for _, b := range v.Binding {
		t.Run(b.Name, func(t *testing.T) {
			digests[b.Name] = b.Digest
			h, ok := ParseHash(b.Hash)
			if !ok {
				t.Fatalf("hash %q", b.Hash)
			}
			key, err := jwe.ParseKey(b.Key)
			if err != nil {
				// The pub of the ML-KEM vector "only exercises the canonical form"; it is no usable key, and we refuse those.
				if strings.Contains(b.Name, "akp") {
					t.Skip("the vector's ML-KEM key is not a valid key: " + err.Error())
				}
				t.Fatal(err)
			}
			version, aproxy := strings.CutSuffix(b.Dialect, "-aproxy")
			a := &Attestation{Key: key, Primary: []byte(`{}`)}
			if b.Additional != nil {
				a.Additional = *b.Additional
			}
			if aproxy {
				a.Primary = []byte(`{"snp-report":"","certs-buf":null}`)
			}
			if b.Role == "device" {
				if got := DeviceDigest(h, b.Nonce, key); hex.EncodeToString(got) != b.Digest {
					t.Errorf("digest %x", got)
				}
				return
			}
			got, err := a.Digests(Version(version), h, b.Nonce)
			if err != nil {
				t.Fatal(err)
			}
			match := false
			for _, d := range got {
				match = match || hex.EncodeToString(d.Value) == b.Digest
			}
			if !match {
				t.Errorf("digests %x, want %s", got, b.Digest)
			}
		})
	}
	for _, f := range v.FieldFit {
		if f.Rule != "pad-or-truncate" {
			continue
		}
		bind, err := evidence.ExpectFit(unhex(t, f.Digest))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bind.Check(f.Name, unhex(t, f.ExpectedField)); err != nil || len(f.ExpectedField) != 2*f.FieldLength {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	for _, n := range v.Negative {
		base, ok := digests[n.BasedOn]
		if !ok {
			base = digests["v0.4.0-primary-p256"]
		}
		bind, err := evidence.ExpectFit(unhex(t, base))
		if err != nil {
			t.Fatal(err)
		}
		field := unhex(t, n.Field)
		if n.Field == "" {
			field = make([]byte, 64)
			copy(field, unhex(t, n.Digest))
		}
		if _, err := bind.Check("REPORT_DATA", field); !fault.Is(err, fault.Binding) {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}

// TestTranscripts reads the requests of every client generation.
func TestTranscripts(t *testing.T) {
	var v struct {
		Accept []struct {
			Name  string
			Nonce string `json:"server_nonce"`
			Steps []struct {
				Request  struct{ Path, Body string }
				Response struct {
					BodyShape string `json:"body_shape"`
				}
			}
		}
	}
	vectors(t, "kbs/transcripts.json", &v)
	if len(v.Accept) != 9 {
		t.Fatalf("%d transcripts", len(v.Accept))
	}
	for _, tr := range v.Accept {
		t.Run(tr.Name, func(t *testing.T) {
			req, err := ParseRequest([]byte(tr.Steps[0].Request.Body))
			if err != nil || !req.Version.Known() {
				t.Fatalf("%+v %v", req, err)
			}
			if got := string(req.JSON()); got != tr.Steps[0].Request.Body {
				t.Errorf("auth written as %s", got)
			}
			ch, err := ParseChallenge([]byte(tr.Steps[0].Response.BodyShape))
			if err != nil || ch.Nonce != tr.Nonce || string(ch.JSON()) != tr.Steps[0].Response.BodyShape {
				t.Fatalf("%+v %v %s", ch, err, ch.JSON())
			}
			a, err := ParseAttestation(req.Version, []byte(tr.Steps[1].Request.Body))
			if err != nil {
				t.Fatal(err)
			}
			if req.Version == V040 {
				// The order inside tee-pubkey is the only freedom that the clients take.
				again, err := ParseAttestation(V040, a.JSON())
				if err != nil || !bytes.Equal(again.JSON(), a.JSON()) || a.Nonce != tr.Nonce {
					t.Errorf("round trip: %v", err)
				}
			}
			digests, err := a.Digests(req.Version, ch.Selected, tr.Nonce)
			if err != nil {
				t.Fatal(err)
			}
			var ev map[string]any
			if err := json.Unmarshal(a.Primary, &ev); err != nil {
				t.Fatal(err)
			}
			if a.IsAproxy() != (tr.Name == "0.4.0-aproxy-snp") {
				t.Error("aproxy not recognised, or too much")
			}
			if rd, ok := ev["report_data"].(string); ok {
				ok = false
				for _, d := range digests {
					ok = ok || bytes.Contains(mustB64(t, rd), d.Value)
				}
				if !ok {
					t.Errorf("report_data %s is none of %x", rd, digests)
				}
			}
		})
	}
}

func TestDevicesAreSortedAndChecked(t *testing.T) {
	a := &Attestation{Additional: `{"tpm":{"a":1},"nvidia":{"b":2},"hygondcu":{}}`}
	d, err := a.Devices()
	if err != nil || len(d) != 3 || d[0].TEE.Name != "hygondcu" || d[1].TEE.Name != "nvidia" || string(d[1].Data) != `{"b":2}` || d[2].TEE.Name != "tpm" {
		t.Fatalf("%+v %v", d, err)
	}
	for _, bad := range []string{`{"snp":{}}`, `{"nonsense":{}}`, `{"dpu":{},"nvidia-dpu":{}}`, `[]`, `{"nvidia":{"a":1,"a":2}}`} {
		a.Additional = bad
		if d, err := a.Devices(); err == nil {
			t.Errorf("%s: %v", bad, d)
		}
	}
}

func TestParseAttestationKeepsTheNonceOfABrokenBody(t *testing.T) {
	a, err := ParseAttestation(V040, []byte(`{"runtime-data":{"nonce":"N","tee-pubkey":{}},"tee-evidence":{}}`))
	if !fault.Is(err, fault.Malformed) || a.Nonce != "N" {
		t.Fatalf("%+v %v", a, err)
	}
}

func TestValidResource(t *testing.T) {
	for path, ok := range map[string]bool{
		"default/key/1": true, "a/b-c/d.e_f": true, "a/b": false, "a/b/c/d": false, "../b/c": false, "a/../c": false, "a/.b/c": false,
		"a//c": false, "": false, "a/b/c\n": false, "a/b/ü": false, "a/b/%2e": false,
	} {
		if ValidResource(path) != ok {
			t.Errorf("ValidResource(%q) = %v", path, !ok)
		}
	}
}

func FuzzParseAttestation(f *testing.F) {
	f.Add("0.4.0", []byte(`{"init-data":null,"runtime-data":{"nonce":"N","tee-pubkey":{"kty":"EC","crv":"P-256","alg":"ECDH-ES+A256KW","x":"rOy3DyWZGju2zGna07LFolgPlokBDrgF-JENNSyLD-c","y":"W2G4oFImrmBHkuETU0CjwzVmX5bx3Ho7BlnqhAbbJHc"}},"tee-evidence":{"primary_evidence":{},"additional_evidence":""}}`))
	f.Add("0.1.0", []byte(`{"tee-pubkey":{},"tee-evidence":"{}"}`))
	f.Fuzz(func(t *testing.T, version string, body []byte) {
		a, err := ParseAttestation(Version(version), body)
		if err != nil {
			return
		}
		if _, err := a.Digests(Version(version), SHA384, "N"); err != nil && !fault.Is(err, fault.Binding) {
			t.Fatal(err)
		}
		a.Devices()
	})
}

func mustB64(t *testing.T, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCurvesOfTheProtocol: keys that only our own wire knows are refused here.
func TestCurvesOfTheProtocol(t *testing.T) {
	for kind, ok := range map[string]bool{"P-256": true, "P-384": false, "P-521": true} {
		priv, err := jwe.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := priv.Public()
		if err != nil {
			t.Fatal(err)
		}
		a := Attestation{Nonce: "n", Key: pub, Primary: []byte("{}")}
		if _, err := ParseAttestation(V040, a.JSON()); ok && err != nil || !ok && !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
