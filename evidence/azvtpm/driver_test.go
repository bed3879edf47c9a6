package azvtpm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/azvtpm"
	"github.com/assay-tee/assay/evidence/drivertest"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func load(tb testing.TB, path ...string) []byte {
	tb.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is unset: real evidence is not at hand")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func snpDriver(tb testing.TB) *azvtpm.Driver {
	tb.Helper()
	s, err := snp.New(snp.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := azvtpm.NewSNP(azvtpm.Config{CPU: s})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func tdxDriver(tb testing.TB) *azvtpm.Driver {
	tb.Helper()
	x, err := tdx.New(tdx.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := azvtpm.NewTDX(azvtpm.Config{CPU: x})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func exact(tb testing.TB, b []byte) evidence.Binding {
	tb.Helper()
	x, err := evidence.ExpectExact(b)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func env(b evidence.Binding) evidence.Env {
	return evidence.Env{Time: now, Binding: b, Anchors: evidence.BuiltinAnchors()}
}

func get(tb testing.TB, v *evidence.Verified, name string) string {
	tb.Helper()
	n, ok := v.Claims().Get(name)
	if !ok {
		tb.Fatalf("no claim %s", name)
	}
	return n.String()
}

// Real evidence gets the verdict that the manifests state, in every layout.
func TestRealSNP(t *testing.T) {
	digest, err := hex.DecodeString("982f5c6e45df0ed3f10b6f60b02f0c8390e281300f3805e2279c16168cd6ae9aa398f647caa2338748cd0fd9f5f819ef")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, pcr0, measurement string
		path                    []string
		nonce                   []byte
		bound                   bool // user-data
	}{
		{"version 0", "e15c44796beabf46", "6a063be9dd79f637", []string{"trustee", "az-snp-vtpm", "evidence-v0.json"}, []byte("challenge"), false},
		{"version 1", "e15c44796beabf46", "6a063be9dd79f637", []string{"trustee", "az-snp-vtpm", "evidence-v1.json"}, []byte("challenge"), false},
		{"version 2", "84275b2f4312cd4f", "5b0ce64ad1c1f637", []string{"trustee", "az-snp-vtpm", "evidence-v2.json"}, digest, true},
		{"wrapped", "", "6a063be9dd79f637", []string{"tpm", "azure-snp-live-evidence.json"}, []byte("attestation-test-fixture"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := load(t, tc.path...)
			if form, ok := azvtpm.DetectSNP(data); !ok || form != azvtpm.FormatJSON {
				t.Error("not detected")
			}
			if _, ok := azvtpm.DetectTDX(data); ok {
				t.Error("detected as TDX too")
			}
			d := snpDriver(t)
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env(exact(t, tc.nonce)))
			if err != nil {
				t.Fatal(err)
			}
			if got := get(t, v, "pcr00"); !strings.HasPrefix(got, tc.pcr0) {
				t.Errorf("pcr00 %s", got)
			}
			part := v.Parts()[0]
			if got := get(t, part.Verified, "measurement"); !strings.HasPrefix(got, tc.measurement) || part.Label != "snp" {
				t.Errorf("measurement %s", got)
			}
			if bound := !slices.Contains(v.Notes(), "user_data_unbound"); bound != tc.bound {
				t.Errorf("user-data bound: %v", bound)
			}
			if v.Root().Name != "ARK-Milan" || !v.Root().BuiltIn || v.TEE() != azvtpm.NameSNP {
				t.Errorf("root %+v", v.Root())
			}
			if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env(exact(t, make([]byte, 48)))); !fault.Is(err, fault.Binding) {
				t.Errorf("another nonce: %v", err)
			}
			late := env(exact(t, tc.nonce))
			late.Time = time.Date(2034, 1, 1, 0, 0, 0, 0, time.UTC)
			if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, late); !fault.Is(err, fault.Stale) {
				t.Errorf("after the end of the certificate: %v", err)
			}
		})
	}
	t.Run("empty extraData", func(t *testing.T) {
		data := load(t, "tpm", "azure-snp-milan-v3-empty-nonce.json")
		for _, n := range []string{"a nonce of more than sixteen bytes", "x"} {
			if _, err := snpDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: data}, env(exact(t, []byte(n)))); !fault.Is(err, fault.Binding) {
				t.Errorf("%v", err)
			}
		}
		if v, err := snpDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: data}, env(evidence.UnboundUnsafe())); err != nil || !slices.Contains(v.Unsafe(), "unbound") {
			t.Errorf("%v %v", v, err)
		}
	})
}

// Without Intel's documents the outcome is undecided, unless something is wrong for certain.
func TestRealTDX(t *testing.T) {
	for name, nonce := range map[string]string{"trustee/az-tdx-vtpm/evidence-v0.json": "challenge", "tpm/azure-tdx-live-evidence.json": "attestation-test-fixture"} {
		data := load(t, strings.Split(name, "/")...)
		if _, ok := azvtpm.DetectTDX(data); !ok {
			t.Errorf("%s is not detected", name)
		}
		d := tdxDriver(t)
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env(exact(t, []byte(nonce)))); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env(exact(t, []byte("another nonce")))); !fault.Is(err, fault.Binding) {
			t.Errorf("%s, another nonce: %v", name, err)
		}
		if _, err := snpDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: data}, env(exact(t, []byte(nonce)))); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s as SNP: %v", name, err)
		}
	}
}

func TestRealHCL(t *testing.T) {
	report, chain := load(t, "trustee", "az-snp-vtpm", "hcl-report.bin"), load(t, "trustee", "az-snp-vtpm", "vcek.pem")
	h, err := azvtpm.ParseHCL(report)
	if err != nil {
		t.Fatal(err)
	}
	s, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rd := h.ReportData()
	e := env(exact(t, rd[:]))
	e.Time = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	if _, err := s.Authenticate(context.Background(), evidence.Evidence{Data: h.HWReport, Endorsements: [][]byte{chain}}, e); err != nil {
		t.Error(err)
	}
	old, err := azvtpm.ParseHCL(load(t, "tpm", "hcl-report-snp.bin"))
	if err != nil {
		t.Fatal(err)
	}
	rd = old.ReportData()
	e.Binding = exact(t, rd[:])
	if _, err := s.Authenticate(context.Background(), evidence.Evidence{Data: old.HWReport, Endorsements: [][]byte{load(t, "tpm", "hcl-certs-other-chip.pem")}}, e); !fault.Is(err, fault.Signature) && !fault.Is(err, fault.Binding) {
		t.Errorf("certificate of another chip: %v", err)
	}
	if r, err := azvtpm.ParseRuntime(old.Runtime); err != nil || r.EK != nil || r.UserData != nil || *r.Configuration.CurrentTime != 1678652405 {
		t.Errorf("%+v %v", r, err)
	}
	x, err := azvtpm.ParseHCL(load(t, "tpm", "hcl-report-tdx.bin"))
	if err != nil {
		t.Fatal(err)
	}
	rd = x.ReportData()
	if !bytes.Equal(rd[:], x.HWReport[0x80:0xC0]) || x.Version != 2 {
		t.Error("runtime data is not bound to the TDREPORT")
	}
	if r, err := azvtpm.ParseRuntime(x.Runtime); err != nil || *r.Configuration.SecureBoot || r.EK == nil {
		t.Errorf("%+v %v", r, err)
	}
}

func TestHCLRefusals(t *testing.T) {
	good, _ := sim(t, nil)
	hcl := unb64(t, good["hcl_report"].(string))
	for _, tc := range []struct {
		name  string
		edit  func(b []byte) []byte
		class fault.Class
	}{
		{"magic", func(b []byte) []byte { b[0] ^= 1; return b }, fault.Malformed},
		{"version", func(b []byte) []byte { b[4] = 3; return b }, fault.Unsupported},
		{"request type", func(b []byte) []byte { b[12] = 1; return b }, fault.Malformed},
		{"status", func(b []byte) []byte { b[16] = 1; return b }, fault.Malformed},
		{"size of the report", func(b []byte) []byte { b[8]++; return b }, fault.Malformed},
		{"size of the data", func(b []byte) []byte { b[0x4c0]++; return b }, fault.Malformed},
		{"variable size", func(b []byte) []byte { binary.LittleEndian.PutUint32(b[0x4d0:], 0xffffffff); return b }, fault.Malformed},
		{"version of the data", func(b []byte) []byte { b[0x4c4] = 2; return b }, fault.Unsupported},
		{"report type 3", func(b []byte) []byte { b[0x4c8] = 3; return b }, fault.Unsupported},
		{"hash type 2", func(b []byte) []byte { b[0x4cc] = 2; return b }, fault.Unsupported},
		{"hash type 3", func(b []byte) []byte { b[0x4cc] = 3; return b }, fault.Unsupported},
		{"cut", func(b []byte) []byte { return b[:0x4d3] }, fault.Malformed},
		{"empty", func([]byte) []byte { return nil }, fault.Malformed},
	} {
		if _, err := azvtpm.ParseHCL(tc.edit(slices.Clone(hcl))); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want class %v", tc.name, err, tc.class)
		}
	}
}

var world = sync.OnceValues(func() (*simulator.AMD, error) {
	return simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: simulator.Products(), KeyBits: 2048})
})

var akKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

var nonce = bytes.Repeat([]byte{7}, 48)

// sim is evidence of a simulated guest, as a document to be changed, and the Env that accepts it.
func sim(tb testing.TB, edit func(*simulator.AzureGuest)) (map[string]any, evidence.Env) {
	tb.Helper()
	amd, err := world()
	if err != nil {
		tb.Fatal(err)
	}
	chip, err := amd.ChipWithID(simulator.Milan, [64]byte{1, 2})
	if err != nil {
		tb.Fatal(err)
	}
	g := simulator.AzureGuest{Report: chip.NewReport(), Nonce: nonce, Version: 2}
	if g.AK, err = akKey(); err != nil {
		tb.Fatal(err)
	}
	copy(g.UserData[:], nonce)
	for i := range g.PCRs {
		g.PCRs[i] = [32]byte{byte(i), 1}
	}
	if edit != nil {
		edit(&g)
	}
	data, err := chip.Azure(g)
	if err != nil {
		tb.Fatal(err)
	}
	doc := map[string]any{}
	if err := json.Unmarshal(data, &doc); err != nil {
		tb.Fatal(err)
	}
	anchors, err := evidence.NewAnchors(amd.Anchors())
	if err != nil {
		tb.Fatal(err)
	}
	bind, err := evidence.ExpectFit(nonce)
	if err != nil {
		tb.Fatal(err)
	}
	return doc, evidence.Env{Time: now, Binding: bind, Anchors: anchors}
}

func encode(tb testing.TB, doc map[string]any) []byte {
	tb.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func unb64(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestSuite(t *testing.T) {
	for version := range 3 {
		doc, e := sim(t, func(g *simulator.AzureGuest) { g.Version = version })
		drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return snpDriver(tb) },
			Evidence: evidence.Evidence{Data: encode(t, doc)}, Env: e, Step: 997})
	}
}

// Each change of evidence that was good is refused with its class.
func TestRefusals(t *testing.T) {
	quote := func(d map[string]any) map[string]any { return d["tpm_quote"].(map[string]any) }
	hcl := func(d map[string]any, edit func(b []byte) []byte) {
		b, _ := base64.URLEncoding.DecodeString(d["hcl_report"].(string))
		d["hcl_report"] = base64.URLEncoding.EncodeToString(edit(b))
	}
	pcrs := func(d map[string]any) []any { return quote(d)["pcrs"].([]any) }
	other, _ := sim(t, func(g *simulator.AzureGuest) { g.AK, _ = rsa.GenerateKey(rand.Reader, 2048) })
	for _, tc := range []struct {
		name  string
		guest func(*simulator.AzureGuest)
		edit  func(d map[string]any)
		class fault.Class
	}{
		{"PCRs exchanged", nil, func(d map[string]any) { p := pcrs(d); p[4], p[5] = p[5], p[4] }, fault.Binding},
		{"a PCR left out", nil, func(d map[string]any) { quote(d)["pcrs"] = pcrs(d)[:23] }, fault.Malformed},
		{"a PCR too many", nil, func(d map[string]any) { quote(d)["pcrs"] = append(pcrs(d), pcrs(d)[0]) }, fault.Malformed},
		{"a short PCR", nil, func(d map[string]any) { pcrs(d)[3] = "00" }, fault.Malformed},
		{"quote of another guest", nil, func(d map[string]any) { d["tpm_quote"] = other["tpm_quote"] }, fault.Signature},
		{"HCL report of another guest", nil, func(d map[string]any) { d["hcl_report"] = other["hcl_report"] }, fault.Signature},
		{"attestation key of another guest in the runtime data", nil, func(d map[string]any) {
			rt := unb64(t, other["hcl_report"].(string))[0x4d4:]
			hcl(d, func(b []byte) []byte { copy(b[0x4d4:], rt); return b })
		}, fault.Binding},
		{"runtime data encoded again", nil, func(d map[string]any) {
			hcl(d, func(b []byte) []byte {
				b = bytes.Replace(b, []byte(`{"keys":`), []byte(`{"keys" :`), 1)
				b[0x008]++
				b[0x4c0]++
				b[0x4d0]++
				return b
			})
		}, fault.Binding},
		{"a byte of the runtime data", nil, func(d map[string]any) { hcl(d, func(b []byte) []byte { b[0x4d4+40] ^= 1; return b }) }, fault.Binding},
		{"a byte of the report", nil, func(d map[string]any) { hcl(d, func(b []byte) []byte { b[0x20+0x90] ^= 1; return b }) }, fault.Signature},
		{"no nonce", func(g *simulator.AzureGuest) { g.Nonce = nil }, nil, fault.Binding},
		{"a nonce cut short", func(g *simulator.AzureGuest) { g.Nonce = nonce[:32] }, nil, fault.Binding},
		{"a nonce padded", func(g *simulator.AzureGuest) { g.Nonce = append(slices.Clone(nonce), 0) }, nil, fault.Binding},
		{"user-data of another session", func(g *simulator.AzureGuest) { g.UserData[0] ^= 1 }, nil, fault.Binding},
		{"user-data of another session, version 1", func(g *simulator.AzureGuest) { g.UserData[0] ^= 1; g.Version = 1 }, nil, fault.Binding},
		{"user-data longer than expected", func(g *simulator.AzureGuest) { g.UserData[63] = 1 }, nil, fault.Binding},
		{"version 3", nil, func(d map[string]any) { d["version"] = 3 }, fault.Unsupported},
		{"two quotes", nil, func(d map[string]any) { d["quote"] = d["tpm_quote"] }, fault.Malformed},
		{"certificate of another chip", nil, func(d map[string]any) {
			amd, _ := world()
			chip, _ := amd.ChipWithID(simulator.Milan, [64]byte{9})
			c, err := chip.VCEK(chip.NewReport().ReportedTCB)
			if err != nil {
				t.Fatal(err)
			}
			d["vcek"] = base64.URLEncoding.EncodeToString(c.Raw)
		}, fault.Signature},
		{"no certificate", nil, func(d map[string]any) { delete(d, "vcek") }, fault.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			doc, e := sim(t, tc.guest)
			if tc.edit != nil {
				tc.edit(doc)
			}
			v, err := snpDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: encode(t, doc)}, e)
			if v != nil || !fault.Is(err, tc.class) {
				t.Errorf("%v, want class %v", err, tc.class)
			}
		})
	}
}

// The unsigned version does not decide whether user-data is compared (trustee-superset S2).
func TestVersionDecidesNothing(t *testing.T) {
	for _, version := range []any{1, 2, nil} {
		doc, e := sim(t, nil)
		doc["version"] = version
		v, err := snpDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: encode(t, doc)}, e)
		if err != nil || get(t, v, "user_data_bound") != "true" {
			t.Errorf("version %v: %v", version, err)
		}
	}
}

func TestCertificateFromTheOperator(t *testing.T) {
	doc, e := sim(t, nil)
	vcek := unb64(t, doc["vcek"].(string))
	delete(doc, "vcek")
	if _, err := x509.ParseCertificate(vcek); err != nil {
		t.Fatal(err)
	}
	ev := evidence.Evidence{Data: encode(t, doc), Endorsements: [][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: vcek})}}
	if _, err := snpDriver(t).Authenticate(context.Background(), ev, e); err != nil {
		t.Error(err)
	}
}

// Every bit of quote, signature, PCR values, HCL report and certificate: what a signature or a hash covers is refused, and
// the rest is exactly what doc.go and docs/trust.md name.
func TestBitFlips(t *testing.T) {
	doc, e := sim(t, nil)
	d := snpDriver(t)
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: encode(t, doc)}, e); err != nil {
		t.Fatal(err)
	}
	hcl := unb64(t, doc["hcl_report"].(string))
	end := 0x4d4 + int(binary.LittleEndian.Uint32(hcl[0x4d0:]))
	uncovered := func(part string, i int) bool {
		return part == "hcl_report" && (i >= 20 && i < 32 || i >= end ||
			i == 4) // version 1 and 2 of the header are read alike
	}
	step := 1
	if testing.Short() {
		step = 17
	}
	flips := func(part string, b []byte, put func([]byte)) {
		for bit := 0; bit < 8*len(b); bit += step {
			c := slices.Clone(b)
			c[bit/8] ^= 1 << (bit % 8)
			put(c)
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: encode(t, doc)}, e)
			if err == nil && !uncovered(part, bit/8) {
				t.Errorf("%s: bit %d of byte %d is covered by nothing", part, bit%8, bit/8)
			}
			if err == nil && v.Claims() == nil {
				t.Error("no claims")
			}
		}
		put(b)
	}
	q := doc["tpm_quote"].(map[string]any)
	hexPut := func(name string) func([]byte) { return func(b []byte) { q[name] = hex.EncodeToString(b) } }
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	flips("message", unhex(q["message"].(string)), hexPut("message"))
	flips("signature", unhex(q["signature"].(string)), hexPut("signature"))
	pcrs := q["pcrs"].([]any)
	for i := range pcrs {
		flips("pcr", unhex(pcrs[i].(string)), func(b []byte) { pcrs[i] = hex.EncodeToString(b) })
	}
	flips("hcl_report", hcl, func(b []byte) { doc["hcl_report"] = base64.URLEncoding.EncodeToString(b) })
	flips("vcek", unb64(t, doc["vcek"].(string)), func(b []byte) { doc["vcek"] = base64.URLEncoding.EncodeToString(b) })
}

func FuzzEvidence(f *testing.F) {
	doc, e := sim(f, nil)
	f.Add(encode(f, doc))
	doc0, _ := sim(f, func(g *simulator.AzureGuest) { g.Version = 0 })
	f.Add(encode(f, doc0))
	f.Add([]byte(`{"platform":1,"evidence":{"primary_evidence":{}}}`))
	d := snpDriver(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		azvtpm.DetectSNP(b)
		azvtpm.DetectTDX(b)
		if v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: b}, e); (v == nil) == (err == nil) {
			t.Error("neither or both")
		}
		_, _ = d.Inspect(evidence.Evidence{Data: b})
	})
}

func FuzzHCL(f *testing.F) {
	doc, _ := sim(f, nil)
	f.Add(unb64(f, doc["hcl_report"].(string)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := azvtpm.ParseHCL(b); err == nil {
			_, _ = azvtpm.ParseRuntime(h.Runtime)
		}
	})
}
