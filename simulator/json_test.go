package simulator_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

// The JSON of each generation of Trustee's guests equals what was recorded from them for the same report.
func TestTrusteeJSONEqualsRecordedEvidence(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: recorded evidence is not at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, "kbs", "snp-json.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Name, Shape string
			Report      json.RawMessage `json:"attestation_report"`
			Hex         string          `json:"report_hex"`
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, c := range file.Cases {
		if c.Report == nil {
			continue
		}
		report, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := simulator.TrusteeJSON(simulator.Shape(c.Shape[0]), evidence.Evidence{TEE: "snp", Data: report})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		seen[c.Shape]++
		if diff := cmp.Diff(decode(t, []byte(`{"attestation_report":`+string(c.Report)+`,"cert_chain":null}`)), decode(t, got)); diff != "" {
			t.Errorf("%s (-recorded +simulated):\n%s", c.Name, diff)
		}
	}
	for _, s := range []string{"A", "B", "C"} {
		if seen[s] == 0 {
			t.Errorf("no recorded evidence of shape %s", s)
		}
	}
}

// decode reads JSON of any form; members that are null mean the same as missing ones. Numbers stay text.
func decode(t *testing.T, b []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytesReader(b))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	dropNull(o)
	return o
}

func dropNull(o map[string]any) {
	for k, v := range o {
		if v == nil {
			delete(o, k)
		} else if m, ok := v.(map[string]any); ok {
			dropNull(m)
		}
	}
}

func TestAproxyJSON(t *testing.T) {
	for _, tc := range []struct {
		name  string
		aux   []byte
		certs string
	}{{"with a table", []byte{1, 2, 3}, `"AQID"`}, {"without", nil, "null"}, {"empty", []byte{}, "null"}} {
		b, err := simulator.AproxyJSON(evidence.Evidence{Data: []byte("report"), Aux: tc.aux})
		if err != nil {
			t.Fatal(err)
		}
		want := `{"snp-report":"` + base64.StdEncoding.EncodeToString([]byte("report")) + `","certs-buf":` + tc.certs + `}`
		if string(b) != want {
			t.Errorf("%s: %s, want %s", tc.name, b, want)
		}
	}
}

func TestTrusteeJSONRefusesWhatItsGuestsCannotSend(t *testing.T) {
	g, err := chip(t, world(t, simulator.Turin), simulator.Turin).Launch(simulator.GuestConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := g.Evidence([64]byte{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := simulator.TrusteeJSON(simulator.ShapeA, ev); !fault.Is(err, fault.Unsupported) {
		t.Errorf("Turin in shape A: %v", err)
	}
	if _, err := simulator.TrusteeJSON('Z', ev); !fault.Is(err, fault.Usage) {
		t.Errorf("unknown shape: %v", err)
	}
}
