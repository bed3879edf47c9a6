package attester_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

// What is sent to a KBS equals, member by member, what Trustee's own clients of the newest shape send for the same report.
func TestKBSEvidenceEqualsThatOfTrusteesClients(t *testing.T) {
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
	seen := 0
	for _, c := range file.Cases {
		if c.Shape != "C" || c.Report == nil {
			continue
		}
		seen++
		t.Run(c.Name, func(t *testing.T) {
			report, err := hex.DecodeString(c.Hex)
			if err != nil {
				t.Fatal(err)
			}
			got, err := attester.KBSEvidence(evidence.Evidence{TEE: "snp", Data: report})
			if err != nil {
				t.Fatal(err)
			}
			want := []byte(`{"attestation_report":` + string(c.Report) + `,"cert_chain":null}`)
			if diff := cmp.Diff(members(t, want), members(t, got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if seen == 0 {
		t.Fatal("no case of shape C in the vectors")
	}
}

// members reads JSON with numbers as text, and drops members that are null: they and missing ones mean the same.
func members(t *testing.T, b []byte) map[string]json.RawMessage {
	t.Helper()
	var o struct {
		Report map[string]json.RawMessage `json:"attestation_report"`
		Certs  json.RawMessage            `json:"cert_chain"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	out := map[string]json.RawMessage{"cert_chain": o.Certs}
	for k, v := range o.Report {
		var x struct {
			Value json.RawMessage
		}
		if err := json.Unmarshal([]byte(`{"Value":`+string(v)+`}`), &x); err != nil {
			t.Fatal(err)
		}
		if string(v) == "null" {
			continue
		}
		out[k] = compact(t, v)
	}
	return out
}

func compact(t *testing.T, v json.RawMessage) json.RawMessage {
	t.Helper()
	var anything map[string]json.RawMessage
	if json.Unmarshal(v, &anything) != nil { // arrays and numbers: without spaces they are equal or differ
		out := v[:0:0]
		for _, c := range v {
			if c != ' ' && c != '\n' {
				out = append(out, c)
			}
		}
		return out
	}
	for k := range anything {
		anything[k] = compact(t, anything[k])
	}
	b, err := json.Marshal(anything)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestKBSEvidenceCarriesTheCertificateTable(t *testing.T) {
	g := guest(t, simulator.GuestConfig{})
	ev, err := g.Evidence([64]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	other := simulator.TableEntry{GUID: [16]byte{0xec, 0xae, 0x0c, 0x0f, 15: 0xb6}, Data: []byte{1, 2}}
	table := append([]byte(nil), ev.Aux...)
	vcek := table[24*4:]
	ev.Aux = simulator.CertTable(simulator.VEKEntry(false, vcek), other)
	b, err := attester.KBSEvidence(ev)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Certs []struct {
			Type json.RawMessage `json:"cert_type"`
			Data []int           `json:"data"`
		} `json:"cert_chain"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatal(err)
	}
	if len(o.Certs) != 2 || string(o.Certs[0].Type) != `"VCEK"` || string(o.Certs[1].Type) != `{"OTHER":"ecae0c0f-0000-0000-0000-0000000000b6"}` {
		t.Fatalf("%+v", o.Certs)
	}
	if o.Certs[0].Data[0] != 0x30 || len(o.Certs[0].Data) != len(vcek) || len(o.Certs[1].Data) != 2 {
		t.Errorf("%d and %d bytes", len(o.Certs[0].Data), len(o.Certs[1].Data))
	}
}

func TestKBSEvidenceRefusesWhatItCannotCarry(t *testing.T) {
	g := guest(t, simulator.GuestConfig{})
	good, err := g.Evidence([64]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*evidence.Evidence)) evidence.Evidence {
		ev := good
		ev.Data, ev.Aux = append([]byte(nil), good.Data...), append([]byte(nil), good.Aux...)
		change(&ev)
		return ev
	}
	for _, tc := range []struct {
		name  string
		ev    evidence.Evidence
		class fault.Class
	}{
		{"another TEE", with(func(e *evidence.Evidence) { e.TEE = "secex" }), fault.Unsupported},
		{"short", with(func(e *evidence.Evidence) { e.Data = e.Data[:1183] }), fault.Malformed},
		{"reserved byte", with(func(e *evidence.Evidence) { e.Data[0x210] = 1 }), fault.Malformed},
		{"reserved byte of a TCB", with(func(e *evidence.Evidence) { e.Data[0x183] = 1 }), fault.Malformed},
		{"mitigations before version 5", with(func(e *evidence.Evidence) { e.Data[0x1F8] = 1 }), fault.Malformed},
		{"table without end", with(func(e *evidence.Evidence) { e.Aux = e.Aux[:30] }), fault.Malformed},
		{"entry outside", with(func(e *evidence.Evidence) { copy(e.Aux[16:], "\xff\xff\xff\xff\x02\x00\x00\x00") }), fault.Malformed},
		{"entry over the list", with(func(e *evidence.Evidence) { copy(e.Aux[16:], "\x00\x00\x00\x00\x02\x00\x00\x00") }), fault.Malformed},
	} {
		if _, err := attester.KBSEvidence(tc.ev); !fault.Is(err, tc.class) {
			t.Errorf("%s: class %v, want %v: %v", tc.name, fault.ClassOf(err), tc.class, err)
		}
	}
}

// The table comes from the host: no bytes may make its reader fail in another way than with an error.
func FuzzKBSEvidence(f *testing.F) {
	f.Add(make([]byte, 1184), []byte{})
	f.Add(make([]byte, 1184), simulator.CertTable(simulator.VEKEntry(false, []byte{0x30, 0})))
	f.Add([]byte{2}, make([]byte, 24))
	f.Fuzz(func(t *testing.T, report, table []byte) {
		b, err := attester.KBSEvidence(evidence.Evidence{TEE: "snp", Data: report, Aux: table})
		if err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("class %v: %v", fault.ClassOf(err), err)
		}
		if len(b) > 32<<10+8*(len(report)+len(table)) {
			t.Errorf("%d bytes of JSON from %d of input", len(b), len(report)+len(table))
		}
	})
}
