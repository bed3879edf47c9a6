package intel_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	sim "github.com/assay-tee/assay/simulator/intel"
)

// text is a JSON string of b.
func text(tb testing.TB, b []byte) string {
	tb.Helper()
	return string(must[[]byte](tb)(json.Marshal(string(b))))
}

// member cuts the signed text and the signature out of a document.
func member(tb testing.TB, doc []byte, name string) (body string, signature string) {
	tb.Helper()
	var o map[string]json.RawMessage
	if err := json.Unmarshal(doc, &o); err != nil {
		tb.Fatal(err)
	}
	var sig string
	if err := json.Unmarshal(o["signature"], &sig); err != nil {
		tb.Fatal(err)
	}
	return string(o[name]), sig
}

// Collateral in every form that tools of the field write is the same collateral.
func TestFormsOfCollateral(t *testing.T) {
	ev, env := setup{tdx: true}.build(t)
	c := env.Collateral.(*sim.Collateral)
	pemCRL := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	info, infoSig := member(t, c.TCBInfo, "tcbInfo")
	id, idSig := member(t, c.Identity, "enclaveIdentity")
	rest := [][]byte{c.Chain, c.PCKCRL, c.RootCRL}
	flat := func(infoDoc, idDoc, more string) string {
		return `{"pck_crl_issuer_chain":` + text(t, c.CRLChain) + `,"root_ca_crl":"` + hex.EncodeToString(c.RootCRL) + `","pck_crl":"` + hex.EncodeToString(c.PCKCRL) +
			`","tcb_info_issuer_chain":` + text(t, c.Chain) + `,"tcb_info":` + infoDoc + `,"qe_identity_issuer_chain":` + text(t, c.Chain) + `,"qe_identity":` + idDoc + more + `}`
	}
	tool := `{"version":"1","collaterals":{"tcbinfos":[{"fmspc":"00806F050000","sgx_tcbinfo":{},"tdx_tcbinfo":` + string(c.TCBInfo) + `}],"pckcacrl":{"processorCrl":"","platformCrl":"` +
		hex.EncodeToString(c.PCKCRL) + `"},"qeidentity":"","tdqeidentity":` + text(t, c.Identity) + `,"rootcacrl":"` + hex.EncodeToString(c.RootCRL) + `","rootcacrl_cdp":"https://x.invalid/",` +
		`"certificates":{"TCB-Info-Issuer-Chain":` + text(t, []byte(url.PathEscape(string(c.Chain)))) + `,"SGX-PCK-Certificate-Issuer-Chain":{"PLATFORM":` + text(t, c.CRLChain) + `}}}}`
	for name, g := range map[string]given{
		"as PCS serves it":                {c.TCBInfo, c.Identity, c.Chain, c.PCKCRL, c.RootCRL},
		"any order":                       {c.RootCRL, c.Chain, c.Identity, c.PCKCRL, c.TCBInfo},
		"lists in PEM":                    {c.TCBInfo, c.Identity, c.Chain, pemCRL(c.PCKCRL), pemCRL(c.RootCRL)},
		"lists in hex, upper case":        {c.TCBInfo, c.Identity, c.Chain, []byte(strings.ToUpper(hex.EncodeToString(c.PCKCRL))), []byte(hex.EncodeToString(c.RootCRL) + "\n")},
		"everything in one PEM file":      {c.TCBInfo, c.Identity, append(append(append([]byte{}, c.Chain...), pemCRL(c.PCKCRL)...), pemCRL(c.RootCRL)...)},
		"chain escaped as in the header":  {c.TCBInfo, c.Identity, []byte(url.PathEscape(string(c.Chain))), c.PCKCRL, c.RootCRL},
		"chain with NUL":                  {c.TCBInfo, c.Identity, append(append([]byte{}, c.Chain...), 0), c.PCKCRL, c.RootCRL},
		"documents with a line end":       append(given{append(append([]byte{}, c.TCBInfo...), '\n'), append(append([]byte{}, c.Identity...), '\n')}, rest...),
		"bundle of the PCS client tool":   {[]byte(tool)},
		"dcap-qvl, signatures apart":      {[]byte(flat(text(t, []byte(info)), text(t, []byte(id)), `,"tcb_info_signature":"`+infoSig+`","qe_identity_signature":"`+idSig+`"`))},
		"sgx_ql_qve_collateral_t as JSON": {[]byte(flat(text(t, c.TCBInfo), text(t, c.Identity), ""))},
		"among things of other vendors":   append(given{[]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"), []byte(`{"a":1}`), []byte("text"), {0x30, 0}, nil}, c.Given()...),
		"twice":                           append(given(c.Given()), c.Given()...),
	} {
		t.Run(name, func(t *testing.T) {
			env.Collateral = g
			v, err := must[*tdx.Driver](t)(tdx.New(tdx.Config{})).Authenticate(context.Background(), ev, env)
			if got := outcome(v, err); got != "UpToDate" {
				t.Errorf("%s (%v)", got, err)
			}
		})
	}
	for name, tc := range map[string]struct {
		g    given
		want string
	}{
		"two members beside the signature": {append(given{[]byte(`{"tcbInfo":` + info + `,"signature":"` + infoSig + `","x":1}`), c.Identity}, rest...), "class malformed"},
		"member twice":                     {append(given{[]byte(`{"tcbInfo":` + info + `,"tcbInfo":` + info + `,"signature":"` + infoSig + `"}`), c.Identity}, rest...), "class unavailable"}, // no JSON at all
		"signature too short":              {append(given{[]byte(`{"tcbInfo":` + info + `,"signature":"00"}`), c.Identity}, rest...), "class malformed"},
		"10 MiB of a document":             {append(given{[]byte(`{"tcbInfo":"` + strings.Repeat("a", 10<<20) + `","signature":""}`), c.Identity}, rest...), "class unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			env.Collateral = tc.g
			v, err := must[*tdx.Driver](t)(tdx.New(tdx.Config{})).Authenticate(context.Background(), ev, env)
			if got := outcome(v, err); got != tc.want {
				t.Errorf("%s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

// A quote in every form that it is sent in is the same quote.
func TestFormsOfEvidence(t *testing.T) {
	ev, env := setup{tdx: true}.build(t)
	q := ev.Data
	d := must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
	kbs := []byte(`{"quote":"` + base64.StdEncoding.EncodeToString(q) + `","cc_eventlog":null,"novelty":{}}`)
	for name, tc := range map[string]struct {
		data []byte
		form string
		want string
	}{
		"binary":                      {q, tdx.FormatQuote, "UpToDate"},
		"hex":                         {[]byte(hex.EncodeToString(q)), tdx.FormatQuote, "UpToDate"},
		"base64 with line ends":       {[]byte(wrap(base64.StdEncoding.EncodeToString(q))), tdx.FormatQuote, "UpToDate"},
		"base64url without padding":   {[]byte(base64.RawURLEncoding.EncodeToString(q)), tdx.FormatQuote, "UpToDate"},
		"JSON of a guest":             {kbs, tdx.FormatKBS, "UpToDate"},
		"inside a KBS request":        {[]byte(`{"primary_evidence":` + string(kbs) + `,"additional_evidence":""}`), tdx.FormatKBS, "UpToDate"},
		"inside, as text":             {[]byte(`{"primary_evidence":` + text(t, kbs) + `}`), tdx.FormatKBS, "UpToDate"},
		"JSON without a quote":        {[]byte(`{"q":1}`), "", "class malformed"},
		"quote that is no base64":     {[]byte(`{"quote":"***"}`), "", "class malformed"},
		"quote that is no text":       {[]byte(`{"quote":[1,2]}`), "", "class malformed"},
		"event log that is no base64": {[]byte(`{"quote":"` + base64.StdEncoding.EncodeToString(q) + `","cc_eventlog":"?"}`), "", "class malformed"},
		"event log that is no log":    {[]byte(`{"quote":"` + base64.StdEncoding.EncodeToString(q) + `","cc_eventlog":"AAAA"}`), tdx.FormatKBS, "class malformed"},
		"odd hex":                     {[]byte("040"), "", "class malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: tc.data}, env)
			if got := outcome(v, err); got != tc.want {
				t.Errorf("%s (%v), want %s", got, err, tc.want)
			}
			if form, ok := tdx.Detect(tc.data); tc.form != "" && (!ok || form != tc.form) {
				t.Errorf("detected as %q, %t", form, ok)
			}
			if tc.want == "UpToDate" {
				in := must[*evidence.Inspection](t)(d.Inspect(evidence.Evidence{Data: tc.data}))
				if in.Format != tc.form || len(in.Claims) == 0 {
					t.Errorf("inspected as %q with %d claims", in.Format, len(in.Claims))
				}
			}
		})
	}
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{TEE: "snp", Data: q}, env); !fault.Is(err, fault.Unsupported) {
		t.Errorf("said to be SNP: %v", err)
	}
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{Format: tdx.FormatKBS, Data: q}, env); !fault.Is(err, fault.Malformed) {
		t.Errorf("said to be JSON: %v", err)
	}
}

func wrap(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}
