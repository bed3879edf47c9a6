package statement_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/statement"
)

func snp() *statement.Prediction {
	p := &statement.Prediction{Technology: statement.SNP, Inputs: []statement.Input{{Role: "firmware", Name: "/build/OVMF.fd", Bytes: 3,
		Digests: statement.Digests{SHA256: strings.Repeat("ab", 32), SHA384: strings.Repeat("cd", 48)}}}}
	p.Param("vmm_type", "QEMU")
	p.Param("vcpu_sig", "0x800f12")
	for n := 1; n <= 3; n++ {
		p.Values = append(p.Values, statement.Value{Name: "measurement", VCPUs: n, Alg: "sha384", Digest: bytes.Repeat([]byte{byte(n)}, 48)})
	}
	return p
}

func TestCoRIMHoldsEveryCount(t *testing.T) {
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	b, err := snp().CoRIM(statement.Options{ID: "guest", Entity: "Publisher", Validity: &corim.Validity{NotAfter: end}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := corim.Decode(b, corim.Options{Profiles: profiles.All()})
	if err != nil {
		t.Fatal(err)
	}
	// One reference triple per count and kind of signing key, all in one CoMID.
	if len(m.CoMIDs) != 1 || len(m.CoMIDs[0].Triples.Reference) != 6 || len(m.CoMIDs[0].Triples.Series) != 2 || len(m.CoMIDs[0].Triples.Series[0].Items) != 3 {
		t.Fatalf("%+v", m.CoMIDs)
	}
	names := map[string]bool{}
	for _, e := range m.CoMIDs[0].Triples.Series[0].Items[2].Addition {
		names[e.Key.TextContent()] = true
		if e.Key.TextContent() == statement.MKeyVCPUs && e.Values.IntRange.Value.Mag != 3 {
			t.Errorf("vCPUs %v", e.Values.IntRange.Value)
		}
	}
	for _, want := range []string{statement.MKeyFirmware, statement.MKeyVMM, statement.MKeyVCPUs, statement.MKeySignature} {
		if !names[want] {
			t.Errorf("no %s in %v", want, names)
		}
	}
}

func TestWhatIsNoReferenceValueIsRefused(t *testing.T) {
	state := &statement.Prediction{Technology: statement.SNP, Values: []statement.Value{{Name: "ovmf-hash", Digest: make([]byte, 48)}}}
	sev := &statement.Prediction{Technology: statement.SEV, Values: []statement.Value{{Name: "launch-digest", Digest: make([]byte, 32)}}}
	registers := &statement.Prediction{Technology: statement.TDX, Values: []statement.Value{{Name: "rtmr0", Digest: make([]byte, 48)}}}
	for name, tc := range map[string]struct {
		p     *statement.Prediction
		class fault.Class
	}{"a state on the way": {state, fault.Usage}, "SEV": {sev, fault.Unsupported}, "registers without MRTD": {registers, fault.Usage}} {
		if _, err := tc.p.CoRIM(statement.Options{}); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := state.WriteInToto(&bytes.Buffer{}); !fault.Is(err, fault.Usage) {
		t.Errorf("in-toto statement without subject: %v", err)
	}
}

func TestTDXHasOneTriplePerPageOrder(t *testing.T) {
	p := &statement.Prediction{Technology: statement.TDX}
	for _, n := range []string{"mrtd", "mrtd", "rtmr0", "rtmr1"} {
		p.Values = append(p.Values, statement.Value{Name: n, Alg: "sha384", Digest: bytes.Repeat([]byte{byte(len(p.Values))}, 48)})
	}
	m, err := p.Manifest(statement.Options{ID: "td"})
	if err != nil {
		t.Fatal(err)
	}
	ref := m.CoMIDs[0].Triples.Reference
	if len(ref) != 2 || len(ref[0].Elements) != 2 || len(ref[1].Elements[1].Values.Registers) != 2 {
		t.Errorf("%+v", ref)
	}
}

func TestInTotoNamesArtefactsAsSubjects(t *testing.T) {
	var buf bytes.Buffer
	if err := snp().WriteInToto(&buf); err != nil {
		t.Fatal(err)
	}
	var s struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name   string            `json:"name"`
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			Values []struct {
				Digest string `json:"digest"`
				VCPUs  int    `json:"vcpus"`
			} `json:"values"`
		} `json:"predicate"`
	}
	if err := json.Unmarshal(buf.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != statement.PredicateType || len(s.Subject) != 1 || s.Subject[0].Name != "OVMF.fd" ||
		s.Subject[0].Digest["sha256"] != strings.Repeat("ab", 32) || len(s.Predicate.Values) != 3 || s.Predicate.Values[1].Digest != strings.Repeat("02", 48) {
		t.Errorf("%s", buf.String())
	}
}
