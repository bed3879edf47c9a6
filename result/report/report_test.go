package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/result/report"
)

var at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func text(t *testing.T, r *report.Report, o report.TextOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Text(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func guest() *report.Report {
	r := report.FromError(at, "", fault.New(fault.Internal, "unused"))
	r.Failures = nil
	r.Verdict = "affirming"
	r.Evidence = []report.Evidence{{Label: "snp", TEE: "snp", Product: "Milan", Status: "affirming", Root: report.Root{Name: "ARK-Milan", Source: "built-in"},
		Binding: report.Binding{Bound: true, Field: "REPORT_DATA"}, Claims: claim.Object{{Name: "measurement", Value: claim.H([]byte{1, 2})}}}}
	src := &endorse.Source{Kind: "corim", ID: "fw-1", Signer: "publisher", Anchor: "publisher", NotAfter: at.AddDate(1, 0, 0),
		Provenance: []endorse.ProvenanceLink{{Builder: "builder", Source: "https://git.example/fw", Commit: "abc123"}}}
	r.Trail = []appraise.Entry{
		{Attester: "snp", Claim: "measurement", Field: "MEASUREMENT", Value: "0102", Accepted: true, Vouchers: []appraise.Voucher{{Source: src, Relation: "reference-value"}}},
		{Attester: "snp", Claim: "host_data", Value: "00", Nearest: &appraise.Nearest{Source: src, What: "host_data", Why: "host_data differs: evidence 00 statement 11"}},
		{Attester: "snp", Claim: "vmpl", Field: "VMPL at 0x030", Value: "0"},
	}
	return r
}

// Azure's vTPM has the measurement of its CPU as text too, in base64; people compare hex.
func TestTextShowsMeasurementsInHexOnly(t *testing.T) {
	r := guest()
	r.Evidence[0].Claims = claim.Object{{Name: "measurement", Value: claim.S("AQI=")}}
	if out := text(t, r, report.TextOptions{}); strings.Contains(out, "AQI=") {
		t.Errorf("base64 is shown:\n%s", out)
	}
}

func TestTextTellsWhatTheVerdictRestsOn(t *testing.T) {
	out := text(t, guest(), report.TextOptions{})
	for _, want := range []string{"AFFIRMING", "ARK-Milan, built-in", `reference-value by "publisher", statement fw-1`, "until 2027-11-24",
		"built by builder from https://git.example/fw at abc123", "host_data differs", "1 further claims"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "vmpl") || strings.Contains(out, "\x1b") {
		t.Errorf("too much is shown:\n%s", out)
	}
	if out := text(t, guest(), report.TextOptions{Explain: true}); !strings.Contains(out, "vmpl = 0  [VMPL at 0x030]") {
		t.Errorf("--explain leaves a claim out:\n%s", out)
	}
}

// The tree of --explain has all that the JSON form says about a statement: key, hash, anchor with its scope, validity,
// and both values where the nearest one differs.
func TestExplainIsWhole(t *testing.T) {
	r := guest()
	src := r.Trail[0].Vouchers[0].Source
	src.TagID, src.TagVersion, src.SHA256, src.SignerKey = "tag-1", 7, strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	src.Scope, src.NotBefore, src.Relaxations = "reference-values about any environment", at, []string{"old-mask"}
	r.Trail[0].Root, r.Trail[0].Registers = "ARK-Milan", []string{"0"}
	n := r.Trail[1].Nearest
	n.Evidence, n.Statement = strings.Repeat("00", 32), strings.Repeat("11", 32)
	r.Evidence[0].Chain = []report.Link{{Role: "VCEK", Subject: "SEV-VCEK"}, {Role: "ASK", Subject: "SEV-Milan"}, {Role: "ARK", Subject: "ARK-Milan"}}
	out := text(t, r, report.TextOptions{Explain: true})
	for _, want := range []string{"└─ ARK ARK-Milan", "   └─ ASK SEV-Milan", "      └─ VCEK SEV-VCEK", `├─ reference-value by "publisher"`, "fw-1 (corim)", "tag-1 version 7",
		src.SHA256, src.SignerKey, `"publisher"`, src.Scope, "2026-11-24 to 2027-11-24", "old-mask", "└─ authenticated under ARK-Milan", n.Evidence, n.Statement, "registers 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestTextTellsWhyNot(t *testing.T) {
	r := guest()
	r.Verdict, r.Evidence[0].Binding.Bound = "none", false
	same := policy.Reason{Code: "unbound", What: "nothing shows that it is fresh", Why: "no nonce", Next: "say --nonce"}
	r.Reasons = []policy.Reason{same, same}
	out := text(t, r, report.TextOptions{})
	for _, want := range []string{"NONE  authentic, not affirming", "Why not affirming", "→ say --nonce", "nothing shows that this evidence is fresh"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Count(out, "→ say --nonce") != 1 {
		t.Errorf("one finding is told twice:\n%s", out)
	}
}

// A refusal has the shape of a verdict: the same members, none null.
func TestRefusalHasTheShapeOfAVerdict(t *testing.T) {
	r := report.FromError(at, "report.bin", fault.New(fault.Stale, "the certificate expired"))
	out := text(t, r, report.TextOptions{})
	for _, want := range []string{"REFUSED", "stale in report.bin: the certificate expired", fault.Stale.Row().Meaning} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"evidence", "trail", "reasons", "failures"} {
		if !strings.HasPrefix(string(m[name]), "[") {
			t.Errorf("%s is %s, a list expected", name, m[name])
		}
	}
	if string(m["schema"]) != `"assay.verify/v1"` || string(m["verdict"]) != `"none"` {
		t.Errorf("schema %s verdict %s", m["schema"], m["verdict"])
	}
}

// Zero values of earlier stages give an empty report and no verdict.
func TestZeroValuesGiveNoVerdict(t *testing.T) {
	if r := report.New(nil, nil); r.Verdict != "none" || len(r.Evidence) != 0 {
		t.Errorf("%+v", r)
	}
}
