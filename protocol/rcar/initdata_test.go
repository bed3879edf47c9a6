package rcar

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

func TestInitDataVectors(t *testing.T) {
	var v struct {
		Documents []struct {
			Name, TOML, Digest string
			File               string            `json:"toml_file"`
			Fields             map[string]string `json:"expected_fields"`
			Claims             map[string]any    `json:"expected_init_data_claims"`
			Keys               []string          `json:"expected_claims_keys"`
		}
		Negative []struct {
			Name, TOML, TEE, Expect, Reason, Field string
			Format                                 string
		}
	}
	vectors(t, "kbs/init-data.json", &v)
	if len(v.Documents) != 10 {
		t.Fatalf("%d documents", len(v.Documents))
	}
	for _, d := range v.Documents {
		if d.File != "" {
			b, err := os.ReadFile(filepath.Join(os.Getenv("ASSAY_VECTORS"), "kbs", d.File))
			if err != nil {
				t.Fatal(err)
			}
			d.TOML = string(b)
		}
		doc, err := InitData{Format: "toml", Body: d.TOML}.Parse()
		if err != nil || hex.EncodeToString(doc.Digest) != d.Digest {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		var claims map[string]any
		if err := json.Unmarshal(doc.Claims, &claims); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d.Claims, claims); d.Claims != nil && diff != "" {
			t.Errorf("%s: %s", d.Name, diff)
		}
		for _, k := range d.Keys {
			if claims[k] == nil {
				t.Errorf("%s: no %s", d.Name, k)
			}
		}
		fit, err := evidence.ExpectFit(doc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"snp.HOST_DATA", "tdx.MRCONFIGID", "sgx.CONFIGID"} {
			if _, err := fit.Check(f, unhex(t, d.Fields[f])); err != nil {
				t.Errorf("%s: %v", d.Name, err)
			}
		}
	}
	for _, n := range v.Negative {
		if n.Reason != "malformed" {
			continue
		}
		if _, err := (InitData{Format: "toml", Body: n.TOML}).Parse(); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}

func FuzzInitData(f *testing.F) {
	f.Add("version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n\"aa.toml\" = \"a = 1\"\n\"policy.rego\" = \"policy_data := {}\"\n")
	f.Fuzz(func(t *testing.T, body string) {
		d, err := InitData{Format: "toml", Body: body}.Parse()
		if err != nil {
			return
		}
		if !json.Valid(d.Claims) {
			t.Fatalf("claims are not JSON: %q", d.Claims)
		}
	})
}

// Inner documents longer than any real one are not taken apart: they are claims as text.
func TestLongInnerDocumentsStayText(t *testing.T) {
	for _, tc := range []struct {
		inner string
		text  bool
	}{{"a = 1", false}, {strings.Repeat("x.", 1<<16) + "x = 1", true}} {
		d, err := InitData{Format: "toml", Body: "version = \"1\"\nalgorithm = \"sha256\"\n[data]\n\"aa.toml\" = \"\"\"\n" + tc.inner + "\n\"\"\""}.Parse()
		if err != nil {
			t.Fatal(err)
		}
		var claims map[string]json.RawMessage
		if err := json.Unmarshal(d.Claims, &claims); err != nil {
			t.Fatal(err)
		}
		if got := claims["aa.toml"][0] == '"'; got != tc.text {
			t.Errorf("%.20s: text %v", tc.inner, got)
		}
	}
}
