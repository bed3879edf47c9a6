package snp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// table encodes a certificate table.
func table(entries ...tableEntry) []byte {
	head := make([]byte, (len(entries)+1)*tableEntrySize)
	out := slices.Clone(head)
	for i, e := range entries {
		copy(out[i*tableEntrySize:], e.guid[:])
		binary.LittleEndian.PutUint32(out[i*tableEntrySize+16:], uint32(len(out)))
		binary.LittleEndian.PutUint32(out[i*tableEntrySize+20:], uint32(len(e.data)))
		out = append(out, e.data...)
	}
	return out
}

func breakLines(s string) string {
	var b strings.Builder
	for len(s) > 64 {
		b.WriteString(s[:64] + "\r\n")
		s = s[64:]
	}
	return b.String() + s + "\n"
}

// Every wrapping of one report gives the same verdict, and the driver names the form.
func TestForms(t *testing.T) {
	dir := filepath.Join(vectorDir(t), "snp")
	report := readFile(t, dir, "reports/genoa-v3-8d8bfb3e540d.bin")
	tableBytes := readFile(t, dir, "certtable/genoa-8d8bfb3e540d.auxblob")
	vek := readFile(t, dir, "veks/genoa-vcek-ab5a6bc8e705.der")
	extended := slices.Concat(report, tableBytes)
	b64 := base64.StdEncoding.EncodeToString
	aproxy := `{"snp-report":"` + b64(report) + `","certs-buf":"` + b64(tableBytes) + `"}`
	quoted, err := json.Marshal(aproxy)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, format string
		ev           evidence.Evidence
	}{
		{"raw", FormatReport, evidence.Evidence{Data: report, Endorsements: [][]byte{vek}}},
		{"raw, certificate table as supplied certificate", FormatReport, evidence.Evidence{Data: report, Endorsements: [][]byte{tableBytes}}},
		{"outblob and auxblob", FormatReport, evidence.Evidence{Data: report, Aux: tableBytes}},
		{"said to be snp", FormatReport, evidence.Evidence{TEE: "snp", Format: FormatReport, Data: report, Aux: tableBytes}},
		{"extended", FormatExtended, evidence.Evidence{Data: extended}},
		{"extended with DER and padding", FormatExtended, evidence.Evidence{Data: slices.Concat(report, table(tableEntry{guidVCEK, vek}), make([]byte, 99))}},
		{"extended with an empty table", FormatExtended, evidence.Evidence{Data: slices.Concat(report, make([]byte, 24)), Endorsements: [][]byte{vek}}},
		{"hex", FormatExtended, evidence.Evidence{Data: []byte(hex.EncodeToString(extended) + "\n")}},
		{"upper-case hex with line breaks", FormatExtended, evidence.Evidence{Data: []byte(breakLines(strings.ToUpper(hex.EncodeToString(extended))))}},
		{"base64", FormatExtended, evidence.Evidence{Data: []byte(b64(extended))}},
		{"base64 with line breaks", FormatExtended, evidence.Evidence{Data: []byte(breakLines(b64(extended)))}},
		{"base64 without padding", FormatReport, evidence.Evidence{Data: []byte(base64.RawStdEncoding.EncodeToString(report)), Aux: tableBytes}},
		{"base64url", FormatExtended, evidence.Evidence{Data: []byte(base64.URLEncoding.EncodeToString(extended))}},
		{"base64url without padding", FormatExtended, evidence.Evidence{Data: []byte(base64.RawURLEncoding.EncodeToString(extended))}},
		{"aproxy", FormatAproxy, evidence.Evidence{Data: []byte(aproxy)}},
		{"aproxy without table", FormatAproxy, evidence.Evidence{Data: []byte(`{"snp-report":"` + b64(report) + `","certs-buf":null}`), Aux: tableBytes}},
		{"aproxy as primary evidence", FormatAproxy, evidence.Evidence{Data: []byte(` {"primary_evidence":` + aproxy + `,"additional_evidence":""}`)}},
		{"aproxy as text of primary evidence", FormatAproxy, evidence.Evidence{Data: []byte(`{"primary_evidence":` + string(quoted) + `}`)}},
		{"base64 of JSON", FormatAproxy, evidence.Evidence{Data: []byte(b64([]byte(aproxy)))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			format, ok := Detect(tc.ev.Data)
			if format != tc.format || !ok {
				t.Errorf("Detect: %q, %v; want %q", format, ok, tc.format)
			}
			v, err := newDriver(t).Authenticate(context.Background(), tc.ev, unbound(parseTime(t, "2026-07-15T00:00:00Z"), evidence.BuiltinAnchors()))
			wantOutcome(t, v, err, "")
			i, err := newDriver(t).Inspect(tc.ev)
			if err != nil || i.Format != tc.format {
				t.Errorf("Inspect: %+v, %v", i, err)
			}
		})
	}
}

func TestFormsRefused(t *testing.T) {
	report := make([]byte, ReportSize)
	report[0] = 3
	for name, ev := range map[string]evidence.Evidence{
		"other TEE":               {TEE: "tdx", Data: report},
		"other form":              {Format: FormatKBS, Data: report},
		"space":                   {Data: []byte("  \n ")},
		"text":                    {Data: []byte("hello, this is no report!")},
		"text of text":            {Data: []byte(base64.StdEncoding.EncodeToString([]byte("plain text that is nothing")))},
		"empty object":            {Data: []byte("{}")},
		"array":                   {Data: []byte("[1,2]")},
		"wrapped twice":           {Data: []byte(`{"primary_evidence":{"primary_evidence":{"snp-report":""}}}`)},
		"duplicate member":        {Data: []byte(`{"snp-report":"","snp-report":""}`)},
		"report not base64":       {Data: []byte(`{"snp-report":"*"}`)},
		"report null":             {Data: []byte(`{"snp-report":null}`)},
		"report no object":        {Data: []byte(`{"attestation_report":[]}`)},
		"half a table":            {Data: append(slices.Clone(report), 1, 2, 3)},
		"broken auxblob":          {Data: report, Aux: []byte{1}},
		"broken certificate":      {Data: report, Endorsements: [][]byte{[]byte("-----BEGIN CERTIFICATE-----\n!\n")}},
		"certificate of 100 kB":   {Data: report, Endorsements: [][]byte{append([]byte{0x30}, make([]byte, 100_000)...)}},
		"too many certificates":   {Data: report, Endorsements: slices.Repeat([][]byte{{0x30, 0}}, maxSupplied+1)},
		"certificate of no bytes": {Data: report, Endorsements: [][]byte{{}}},
	} {
		if _, err := unwrap(ev); !fault.Is(err, fault.Malformed) && !(name == "other TEE" && fault.Is(err, fault.Unsupported)) {
			t.Errorf("%s: %v, want class malformed", name, err)
		}
	}
}

func TestTableLimits(t *testing.T) {
	entry := func(b []byte, i int, off, n uint32) {
		binary.LittleEndian.PutUint32(b[i*tableEntrySize+16:], off)
		binary.LittleEndian.PutUint32(b[i*tableEntrySize+20:], n)
	}
	good := table(tableEntry{guidVCEK, []byte("one")}, tableEntry{guidASK, []byte("two")})
	if e, err := parseTable(good); err != nil || len(e) != 2 || string(e[0].data) != "one" || string(e[1].data) != "two" {
		t.Fatalf("%+v, %v", e, err)
	}
	many := make([]tableEntry, maxTableEntries+1)
	for i := range many {
		many[i] = tableEntry{guidBytes{byte(i + 1)}, []byte{1}}
	}
	change := func(f func([]byte)) []byte { b := slices.Clone(good); f(b); return b }
	for name, b := range map[string][]byte{
		"no end":                       good[:2*tableEntrySize],
		"end of 23 bytes":              make([]byte, 23),
		"too many entries":             table(many...),
		"too large":                    make([]byte, maxTable+1),
		"offset in the list":           change(func(b []byte) { entry(b, 0, 0, 3) }),
		"beyond the table":             change(func(b []byte) { entry(b, 1, uint32(len(b)), 1) }),
		"32-bit sum wraps":             change(func(b []byte) { entry(b, 0, 0xFFFFFFFF, 2) }),
		"length of four gigabytes":     change(func(b []byte) { entry(b, 0, 72, 0xFFFFFFFF) }),
		"overlap":                      change(func(b []byte) { entry(b, 1, 72, 3) }),
		"same GUID":                    table(tableEntry{guidVCEK, []byte("one")}, tableEntry{guidVCEK, []byte("two")}),
		"overlapping entries in a row": change(func(b []byte) { entry(b, 0, 72, 6); entry(b, 1, 74, 2) }),
	} {
		if e, err := parseTable(b); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %d entries, %v", name, len(e), err)
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "end alone": make([]byte, 24)} {
		if e, err := parseTable(b); err != nil || len(e) != 0 {
			t.Errorf("%s: %d entries, %v", name, len(e), err)
		}
	}
}

func TestKBSJSONVectors(t *testing.T) {
	dir := vectorDir(t)
	type jsonCase struct {
		Name   string
		Report json.RawMessage `json:"attestation_report"`
		File   string          `json:"attestation_report_file"`
		Hex    string          `json:"report_hex"`
		Expect string
	}
	var v struct{ Cases, Negative []jsonCase }
	if err := json.Unmarshal(readFile(t, dir, "kbs/snp-json.json"), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Cases) == 0 || len(v.Negative) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range v.Cases {
		text := []byte(`{"attestation_report":` + string(c.Report) + `,"cert_chain":null,"unknown":{"a":[1.5]}}`)
		if c.File != "" {
			text = readFile(t, dir, "kbs", c.File)
		}
		got, err := unwrapData(text)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
		} else if hex.EncodeToString(got.report) != c.Hex {
			t.Errorf("%s: other bytes", c.Name)
		}
	}
	for _, c := range v.Negative {
		_, err := unwrapData([]byte(`{"attestation_report":` + string(c.Report) + `,"cert_chain":null}`))
		if c.Expect == "reject" && !fault.Is(err, fault.Malformed) || c.Expect != "reject" && err != nil {
			t.Errorf("%s: %v, expected %s", c.Name, err, c.Expect)
		}
	}
}

func TestTrusteeCases(t *testing.T) {
	dir := filepath.Join(vectorDir(t), "trustee")
	var doc struct {
		Report map[string]any   `json:"attestation_report"`
		Chain  []map[string]any `json:"cert_chain"`
	}
	load := func() {
		d := json.NewDecoder(bytes.NewReader(readFile(t, dir, "snp/evidence-genoa-v3.json")))
		d.UseNumber()
		doc.Report, doc.Chain = nil, nil
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
	}
	numbers := func(b []byte) (out []int) {
		for _, c := range b {
			out = append(out, int(c))
		}
		return out
	}
	zeros, err := evidence.ExpectExact(make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	reportData, _ := hex.DecodeString("7e7320889600c7ac133aea7b896c51f41026002982292a7369559796999c1bf929eef3ff23c46e858f0b1982f9a92b17c51b578d958cde6b0c92978f150cf9b0")
	theirs, err := evidence.ExpectExact(reportData)
	if err != nil {
		t.Fatal(err)
	}
	const in2026 = "2026-06-01T00:00:00Z"
	for _, tc := range []struct {
		name, time, class string
		binding           evidence.Binding
		mutate            func()
	}{
		{"snp-ok", in2026, "", theirs, func() {}},
		{"snp-wrong-report-data", in2026, "binding", zeros, func() {}},
		{"snp-report-data-edited", in2026, "signature", theirs, func() { doc.Report["report_data"].([]any)[0] = 127 }},
		{"snp-tcb-edited", in2026, "signature", theirs, func() { doc.Report["reported_tcb"].(map[string]any)["snp"] = 24 }},
		{"snp-cert-chain-null", in2026, "unavailable", theirs, func() { doc.Chain = nil }},
		{"snp-cert-chain-empty", in2026, "unavailable", theirs, func() { doc.Chain = []map[string]any{} }},
		{"snp-other-vcek", in2026, "signature", theirs, func() { doc.Chain[0]["data"] = numbers(readFile(t, dir, "snp/test-vcek.der")) }},
		{"snp-expired", "2033-01-01T00:00:00Z", "stale", theirs, func() {}},
		{"snp-not-yet-valid", "2025-01-01T00:00:00Z", "stale", theirs, func() {}},
		{"other kinds of entries", in2026, "", theirs, func() {
			doc.Chain = append(doc.Chain, map[string]any{"cert_type": map[string]any{"OTHER": "00000000-0000-0000-0000-000000000000"}, "data": []int{1}},
				map[string]any{"cert_type": "Empty", "data": []int{}})
		}},
		{"swapped ASK", in2026, "signature", theirs, func() {
			doc.Chain = append(doc.Chain, map[string]any{"cert_type": "ASK", "data": numbers(readFile(t, dir, "snp/test-vcek.der"))})
		}},
		{"a binding alone does not count", in2026, "binding", zeros, func() { doc.Chain = nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			load()
			tc.mutate()
			data, err := json.Marshal(map[string]any{"attestation_report": doc.Report, "cert_chain": doc.Chain})
			if err != nil {
				t.Fatal(err)
			}
			env := unbound(parseTime(t, tc.time), evidence.BuiltinAnchors())
			env.Binding = tc.binding
			d := newDriver(t)
			for range 2 {
				v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env)
				wantOutcome(t, v, err, tc.class)
			}
		})
	}
	for _, tc := range []struct{ name, vek, class string }{{"snp-raw-ok", "snp/test-vcek.der", ""}, {"snp-vcek-broken", "snp/test-vcek-invalid-new.der", "signature"}} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := newDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: readFile(t, dir, "snp/test-report.bin"), Endorsements: [][]byte{readFile(t, dir, tc.vek)}},
				unbound(parseTime(t, "2025-06-01T00:00:00Z"), evidence.BuiltinAnchors()))
			wantOutcome(t, v, err, tc.class)
		})
	}
}

// Reports inside evidence of other forms: Azure's HCL reports and Oak's protobufs.
func TestReportsInOtherEvidence(t *testing.T) {
	dir := vectorDir(t)
	between := func(file, before string, n int) []byte {
		b := readFile(t, dir, file)
		i := bytes.Index(b, []byte(before))
		if i < 0 {
			t.Fatalf("%s: no %x", file, before)
		}
		if n > 0 {
			return b[i+len(before) : i+len(before)+n]
		}
		return b[i : i+4+int(binary.BigEndian.Uint16(b[i+2:]))]
	}
	var azure struct {
		Evidence struct {
			HCL  string `json:"hcl_report"`
			VCEK string
		}
	}
	if err := json.Unmarshal(readFile(t, dir, "tpm/azure-snp-live-evidence.json"), &azure); err != nil {
		t.Fatal(err)
	}
	hcl, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(azure.Evidence.HCL, "="))
	if err != nil {
		t.Fatal(err)
	}
	oak := func(name string) evidence.Evidence {
		return evidence.Evidence{Data: between("oak/"+name+"_evidence.binarypb", "\x12\xa0\x09", ReportSize),
			Endorsements: [][]byte{between("oak/"+name+"_endorsements.binarypb", "\x30\x82\x05", 0)}}
	}
	for _, tc := range []struct {
		name, time, class string
		ev                evidence.Evidence
	}{
		{"oak milan_oc_release", "2025-09-12T12:00:00Z", "", oak("milan_oc_release")},
		{"oak milan_oc_staging", "2025-09-12T12:00:00Z", "", oak("milan_oc_staging")},
		{"oak genoa_oc", "2025-09-12T12:00:00Z", "", oak("genoa_oc")},
		{"oak cb", "2025-09-12T12:00:00Z", "", oak("cb")},
		{"azure, PEM with VCEK, ASK and ARK", "2025-06-01T00:00:00Z", "", evidence.Evidence{Data: readFile(t, dir, "trustee/az-snp-vtpm/hcl-report.bin")[0x20 : 0x20+ReportSize],
			Endorsements: [][]byte{readFile(t, dir, "trustee/az-snp-vtpm/vcek.pem")}}},
		{"azure, IMDS", "2026-06-01T00:00:00Z", "", evidence.Evidence{Data: hcl[0x20 : 0x20+ReportSize], Endorsements: [][]byte{readFile(t, dir, "tpm/azure-imds-vcek.der"),
			readFile(t, dir, "tpm/azure-imds-chain-0.der"), readFile(t, dir, "tpm/azure-imds-chain-1.der")}}},
		{"azure, certificates of another chip", "2025-06-01T00:00:00Z", "signature", evidence.Evidence{Data: readFile(t, dir, "tpm/hcl-report-snp.bin")[0x20 : 0x20+ReportSize],
			Endorsements: [][]byte{readFile(t, dir, "tpm/hcl-certs-other-chip.pem")}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := newDriver(t).Authenticate(context.Background(), tc.ev, unbound(parseTime(t, tc.time), evidence.BuiltinAnchors()))
			wantOutcome(t, v, err, tc.class)
		})
	}
}

// The whole folder of certificates as the operator's bundle: each report finds its own, and only its own.
func TestBundleOfManyMachines(t *testing.T) {
	dir := filepath.Join(vectorDir(t), "snp")
	var bundle givenOnly
	for _, pattern := range []string{"veks/*", "roots/*", "certtable/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			bundle = append(bundle, b)
		}
	}
	bundle = append(bundle, []byte(`{"some":"json of another vendor"}`), nil)
	d := newDriver(t)
	for _, f := range readManifest(t, dir).Files {
		if !strings.HasPrefix(f.Path, "reports/") {
			continue
		}
		class := ""
		if f.Expected == "unavailable" {
			class = "unavailable"
		}
		env := unbound(parseTime(t, *f.VerificationTime), evidence.BuiltinAnchors())
		env.Collateral = bundle
		for range 2 {
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: readFile(t, dir, f.Path)}, env)
			t.Run(f.Path, func(t *testing.T) { wantOutcome(t, v, err, class) })
		}
	}
}

// givenOnly is the collateral of somebody who has files and no network.
type givenOnly [][]byte

func (g givenOnly) Given() [][]byte { return g }

func (g givenOnly) Get(_ context.Context, r evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "offline: %s", r.Path)
}
