package native_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/release/jwe"
)

func key(t testing.TB) *jwe.Key {
	t.Helper()
	p, err := jwe.Generate("P-256")
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Public()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestB4KnownAnswer(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: no known answers")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "svsm", "kat.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Nonce   struct{ Hex string }
		Binding []struct {
			ID, TEE, Purpose, Session, SPKI string
			PreImage                        string `json:"pre_image_hex"`
			ReportData                      string `json:"report_data"`
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	seen := 0
	for _, v := range doc.Binding {
		if v.ID != "B4" {
			continue
		}
		seen++
		k, err := jwe.ParseSPKI(unhex(v.SPKI))
		if err != nil {
			t.Fatal(err)
		}
		b := native.Binding{TEE: v.TEE, Purpose: native.Purpose(v.Purpose), Session: [16]byte(unhex(v.Session)), Key: k, Nonce: [32]byte(unhex(doc.Nonce.Hex))}
		pre, err := b.PreImage()
		if err != nil || hex.EncodeToString(pre) != v.PreImage {
			t.Errorf("pre-image %x, %v", pre, err)
		}
		rd, err := b.ReportData()
		if err != nil || hex.EncodeToString(rd[:]) != v.ReportData {
			t.Errorf("report data %x, %v", rd, err)
		}
	}
	if seen == 0 {
		t.Error("no known answer for B4")
	}
}

// TestB4SeparatesFields: whatever changes, the digest does; moving a byte from one field to the next does too.
func TestB4SeparatesFields(t *testing.T) {
	good := native.Binding{TEE: "snp", Purpose: native.Release, Key: key(t)}
	seen := map[[64]byte]string{}
	for name, change := range map[string]func(*native.Binding){
		"as it is":    func(*native.Binding) {},
		"tee":         func(b *native.Binding) { b.TEE = "tdx" },
		"purpose":     func(b *native.Binding) { b.Purpose = native.Verify },
		"session":     func(b *native.Binding) { b.Session[15] = 1 },
		"key":         func(b *native.Binding) { b.Key = key(t) },
		"nonce":       func(b *native.Binding) { b.Nonce[0] = 1 },
		"moved bytes": func(b *native.Binding) { b.TEE, b.Purpose = "snpr", "elease" },
	} {
		b := good
		change(&b)
		rd, err := b.ReportData()
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[rd]; twice {
			t.Errorf("%s and %s give the same report data", name, other)
		}
		seen[rd] = name
	}
}

func submission(t testing.TB) []byte {
	t.Helper()
	s := native.Submission{TEE: "snp", Evidence: native.NewItem("application/octet-stream", []byte("report")), Key: key(t), Resource: "a/b/c"}
	s.AddCollateral(native.NewItem(native.TypeAux, []byte("table")))
	s.AddCollateral(native.NewItem(native.TypeCert, []byte("certificate")))
	s.AddCollateral(native.NewItem(native.TypeEventLog, []byte("log")))
	b, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSubmissionRoundTrip(t *testing.T) {
	s, err := native.ParseSubmission(native.Release, submission(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.TEE != "snp" || string(s.Evidence.Bytes()) != "report" || string(s.Aux) != "table" || string(s.EventLog) != "log" ||
		!slices.EqualFunc(s.Certificates, [][]byte{[]byte("certificate")}, bytes.Equal) || s.Resource != "a/b/c" || s.Form != native.JWE {
		t.Errorf("%+v", s)
	}
}

func TestSubmissionRefuses(t *testing.T) {
	body := string(submission(t))
	small := `{"kty":"RSA","alg":"RSA-OAEP-256","e":"AQAB","n":"` + native.Encode(append([]byte{0x80}, bytes.Repeat([]byte{1}, 255)...)) + `"}`
	jwk := body[strings.Index(body, `"key":`)+6 : strings.Index(body, `,"resource"`)]
	for _, tc := range []struct {
		name, from, to string
		purpose        native.Purpose
		class          fault.Class
		named          bool
	}{
		{"unknown member", `"tee":`, `"extra":1,"tee":`, native.Release, fault.Malformed, true},
		{"another case", `"tee":`, `"TEE":`, native.Release, fault.Malformed, true},
		{"twice", `"tee":`, `"tee":"x","tee":`, native.Release, fault.Malformed, false},
		{"no session", `"session":`, `"sessions":`, native.Release, fault.Malformed, false},
		{"session padded", `"session":"AAAAAAAAAAAAAAAAAAAAAA"`, `"session":"AAAAAAAAAAAAAAAAAAAAAA=="`, native.Release, fault.Malformed, false},
		{"session with a line break", `"session":"AAAAAAAAAAAAAAAAAAAAAA"`, `"session":"AAAAAAAAAAAAAAAAAAAAAA\n"`, native.Release, fault.Malformed, false},
		{"session with spare bits", `"session":"AAAAAAAAAAAAAAAAAAAAAA"`, `"session":"AAAAAAAAAAAAAAAAAAAAAB"`, native.Release, fault.Malformed, false},
		{"session too short", `"session":"AAAAAAAAAAAAAAAAAAAAAA"`, `"session":"AAAA"`, native.Release, fault.Malformed, false},
		{"evidence empty", `"value":"cmVwb3J0"`, `"value":""`, native.Release, fault.Malformed, true},
		{"no media type", `"type":"application/octet-stream"`, `"type":"x y"`, native.Release, fault.Malformed, true},
		{"collateral of an unknown type", native.TypeCert, "application/zip", native.Release, fault.Unsupported, true},
		{"two tables", native.TypeCert, native.TypeAux, native.Release, fault.Malformed, true},
		{"private key", `"kty":`, `"d":"AA","kty":`, native.Release, fault.Malformed, true},
		{"point not on the curve", `"x":"`, `"x":"AAAA`, native.Release, fault.Malformed, true},
		{"RSA of 2048 bits", jwk, small, native.Release, fault.Malformed, true},
		{"RSA1_5", jwk, strings.Replace(small, "RSA-OAEP-256", "RSA1_5", 1), native.Release, fault.Unsupported, true},
		{"no resource", `,"resource":"a/b/c"`, ``, native.Release, fault.Malformed, true},
		{"unknown form", `,"resource"`, `,"form":"plain","resource"`, native.Release, fault.Unsupported, true},
		{"wrapped key", `,"resource"`, `,"wrapped_key":"AAAA","resource"`, native.Release, fault.Unsupported, true},
		{"verify asks for no resource", "", "", native.Verify, fault.Malformed, true},
	} {
		in := strings.Replace(body, tc.from, tc.to, 1)
		if in == body && tc.from != "" {
			t.Fatalf("%s: nothing changed", tc.name)
		}
		s, err := native.ParseSubmission(tc.purpose, []byte(in))
		if !fault.Is(err, tc.class) || s.Named != tc.named {
			t.Errorf("%s: named %t, %v", tc.name, s.Named, err)
		}
	}
}

func TestNonceRequest(t *testing.T) {
	for body, class := range map[string]fault.Class{
		`{"tee":"snp"}`: fault.Malformed, `{"tee":"snp","purpose":"other"}`: fault.Unsupported, `[]`: fault.Malformed,
		`{"tee":1,"purpose":"release"}`: fault.Malformed, `{"tee":"snp","purpose":"release","x":1}`: fault.Malformed,
	} {
		if _, err := native.ParseNonceRequest([]byte(body)); !fault.Is(err, class) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, p := range []native.Purpose{native.Release, native.Verify, native.SPIRE} {
		r, err := native.ParseNonceRequest([]byte(`{"tee":"snp","purpose":"` + string(p) + `"}`))
		if err != nil || r.Purpose != p || r.TEE != "snp" {
			t.Errorf("%+v %v", r, err)
		}
		if got, ok := native.PurposeOf(p.Version()); !ok || got != p {
			t.Errorf("%s: %s", p, got)
		}
	}
	for _, v := range []string{"0.4.0", "native/", "native/other"} {
		if _, ok := native.PurposeOf(v); ok {
			t.Errorf("%q is no version of this wire", v)
		}
	}
}

func FuzzSubmission(f *testing.F) {
	f.Add(submission(f))
	f.Add([]byte(`{"session":"AAAAAAAAAAAAAAAAAAAAAA"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []native.Purpose{native.Release, native.Verify} {
			s, err := native.ParseSubmission(p, b)
			if s == nil || err == nil && (s.Key == nil || !s.Named || len(s.Evidence.Bytes()) == 0) {
				t.Errorf("%+v", s)
			}
		}
	})
}
