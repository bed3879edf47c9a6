package vtpm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/drivertest"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
)

var now = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func newDriver(tb testing.TB, cfg vtpm.Config) *vtpm.Driver {
	tb.Helper()
	d, err := vtpm.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func anchors(tb testing.TB, cfg evidence.AnchorsConfig) *evidence.Anchors {
	tb.Helper()
	a, err := evidence.NewAnchors(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func fit(tb testing.TB, b []byte) evidence.Binding {
	tb.Helper()
	x, err := evidence.ExpectFit(b)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func exact(tb testing.TB, b []byte) evidence.Binding {
	tb.Helper()
	x, err := evidence.ExpectExact(b)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// kbs renders q as Trustee's guests do.
func (q *softQuote) kbs(tb testing.TB) []byte {
	tb.Helper()
	msg, sig := q.sign(tb)
	spki, err := x509.MarshalPKIXPublicKey(q.key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	var pcrs []string
	for _, v := range q.bank.Values {
		pcrs = append(pcrs, hex.EncodeToString(v))
	}
	b64 := base64.StdEncoding.EncodeToString
	out, err := json.Marshal(map[string]any{"tpm_quote": map[string]any{"signature": b64(sig.Append(nil)), "message": b64(msg), "pcrs": pcrs}, "ak_public": b64(spki)})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func (q *softQuote) env(tb testing.TB) evidence.Env {
	return evidence.Env{Time: now, Binding: fit(tb, q.attest.ExtraData),
		Anchors: anchors(tb, evidence.AnchorsConfig{Keys: []evidence.AnchorKey{{TEE: vtpm.Name, Name: "my TPM", Key: q.key.Public()}}})}
}

func TestSuite(t *testing.T) {
	q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
	drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return newDriver(tb, vtpm.Config{}) },
		Evidence: evidence.Evidence{Data: q.kbs(t)}, Env: q.env(t), Step: 23})
	ec := newSoftQuote(vtpm.SHA256, vtpm.ECDSA, vtpm.SHA384, ecKey(t, elliptic.P384()))
	drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return newDriver(tb, vtpm.Config{}) },
		Evidence: evidence.Evidence{Data: ec.kbs(t)}, Env: ec.env(t), Step: 97})
}

// The attestation key must rest on something, and what came with the evidence is nothing.
func TestTrustInTheKey(t *testing.T) {
	q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
	ev := evidence.Evidence{Data: q.kbs(t)}
	env := q.env(t)
	for _, tc := range []struct {
		name string
		keys []evidence.AnchorKey
		ok   bool
	}{
		{"enrolled", []evidence.AnchorKey{{TEE: vtpm.Name, Name: "my TPM", Key: q.key.Public()}}, true},
		{"enrolled for another TEE", []evidence.AnchorKey{{TEE: "cca", Name: "x", Key: q.key.Public()}}, false},
		{"another key enrolled", []evidence.AnchorKey{{TEE: vtpm.Name, Name: "x", Key: ecKey(t, elliptic.P256()).Public()}}, false},
		{"nothing", nil, false},
	} {
		env.Anchors = anchors(t, evidence.AnchorsConfig{Keys: tc.keys})
		v, err := newDriver(t, vtpm.Config{}).Authenticate(context.Background(), ev, env)
		switch {
		case tc.ok && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case !tc.ok && (!fault.Is(err, fault.Signature) || !strings.Contains(err.Error(), "no trust anchor")):
			t.Errorf("%s: %v", tc.name, err)
		case tc.ok && v.Root().Name != "my TPM":
			t.Errorf("root %+v", v.Root())
		}
	}
	v, err := newDriver(t, vtpm.Config{AllowUnrootedAKUnsafe: true}).Authenticate(context.Background(), ev, env)
	if err != nil || !slices.Contains(v.Unsafe(), "unrooted-attestation-key") {
		t.Fatalf("%v", err)
	}
	if n, _ := v.Claims().Get("ak_rooted"); n.Bool() {
		t.Error("an unrooted key is called rooted")
	}
}

func TestDriverRefusals(t *testing.T) {
	for _, tc := range []struct {
		name  string
		edit  func(q *softQuote)
		doc   func(o map[string]any)
		cfg   vtpm.Config
		bind  func(tb testing.TB) evidence.Binding
		class fault.Class
	}{
		{name: "selection leaves out a PCR", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = []byte{0xff, 0xff, 0x7f}; q.digest() }, class: fault.Binding},
		{name: "SHA-1 bank", edit: func(q *softQuote) { q.attest.Selections[0].Hash = vtpm.SHA1 }, class: fault.Binding},
		{name: "extraData too short", edit: func(q *softQuote) { q.attest.ExtraData = q.attest.ExtraData[:20] }, class: fault.Binding},
		{name: "no extraData", edit: func(q *softQuote) { q.attest.ExtraData = nil }, class: fault.Binding},
		{name: "23 values", doc: func(o map[string]any) {
			x := o["tpm_quote"].(map[string]any)
			x["pcrs"] = x["pcrs"].([]any)[:23]
		}, class: fault.Malformed},
		{name: "values exchanged", doc: func(o map[string]any) {
			p := o["tpm_quote"].(map[string]any)["pcrs"].([]any)
			p[0], p[1] = p[1], p[0]
		}, class: fault.Binding},
		{name: "no key", doc: func(o map[string]any) { delete(o, "ak_public") }, class: fault.Malformed},
		{name: "key in no form", doc: func(o map[string]any) { o["ak_public"] = "AAAA" }, class: fault.Malformed},
		{name: "signature with a trailing byte", doc: func(o map[string]any) {
			x := o["tpm_quote"].(map[string]any)
			b, _ := base64.StdEncoding.DecodeString(x["signature"].(string))
			x["signature"] = base64.StdEncoding.EncodeToString(append(b, 0))
		}, class: fault.Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
			env := q.env(t)
			if tc.edit != nil {
				tc.edit(q)
			}
			data := q.kbs(t)
			if tc.doc != nil {
				var o map[string]any
				if err := json.Unmarshal(data, &o); err != nil {
					t.Fatal(err)
				}
				tc.doc(o)
				data, _ = json.Marshal(o)
			}
			if v, err := newDriver(t, tc.cfg).Authenticate(context.Background(), evidence.Evidence{Data: data}, env); v != nil || !fault.Is(err, tc.class) {
				t.Errorf("%v, want class %v", err, tc.class)
			}
		})
	}
}

// Guests cut the digest to 32 bytes, or pad it to 64.
func TestExtraDataForms(t *testing.T) {
	digest := bytes.Repeat([]byte{5}, 48)
	for _, extra := range [][]byte{digest[:32], digest, append(slices.Clone(digest), make([]byte, 16)...)} {
		q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
		q.attest.ExtraData = extra
		env := q.env(t)
		env.Binding = fit(t, digest)
		if _, err := newDriver(t, vtpm.Config{}).Authenticate(context.Background(), evidence.Evidence{Data: q.kbs(t)}, env); err != nil {
			t.Errorf("%d bytes: %v", len(extra), err)
		}
	}
}

func TestRealTrusteeEvidence(t *testing.T) {
	data := load(t, "trustee", "tpm", "tpm_evidence.json")
	var o struct {
		AK []byte `json:"ak_public"`
	}
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(o.AK)
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := hex.DecodeString("a04182b506878d4f29b91ee606a71a0d3361ccf1b22db20c98adcaa537bea393ef0e41a18b3569ab678f1497fbc5c120")
	env := evidence.Env{Time: now, Binding: fit(t, digest), Anchors: evidence.BuiltinAnchors()}
	d := newDriver(t, vtpm.Config{})
	if form, ok := vtpm.Detect(data); !ok || form != vtpm.FormatKBS {
		t.Error("not detected")
	}
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env); !fault.Is(err, fault.Signature) || !strings.Contains(err.Error(), "no trust anchor") {
		t.Errorf("unrooted: %v", err)
	}
	env.Anchors = anchors(t, evidence.AnchorsConfig{Keys: []evidence.AnchorKey{{TEE: vtpm.Name, Name: "ak", Key: key}}})
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env); err != nil {
		t.Errorf("trusted AK: %v", err)
	}
	env.Binding = fit(t, bytes.Repeat([]byte{1}, 48))
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env); !fault.Is(err, fault.Binding) {
		t.Errorf("another digest: %v", err)
	}
}

func cert(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	b := load(tb, "tpm", name)
	if p, _ := pem.Decode(b); p != nil {
		b = p.Bytes
	}
	c, err := x509.ParseCertificate(b)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestRealGCE(t *testing.T) {
	root, inter := cert(t, "gce-tpm_ek_root_1.cer"), cert(t, "gce-tpm_ek_intermediate_2.crt")
	env := evidence.Env{Time: now, Binding: exact(t, []byte{0x90, 0x09}), Anchors: anchors(t, evidence.AnchorsConfig{Roots: []*x509.Certificate{root}})}
	d := newDriver(t, vtpm.Config{})
	data := load(t, "tpm", "gce-cos-85-nonce9009.pb")
	if form, ok := vtpm.Detect(data); !ok || form != vtpm.FormatAttestation {
		t.Error("not detected")
	}
	ev := evidence.Evidence{Data: data, Endorsements: [][]byte{inter.Raw}}
	v, err := d.Authenticate(context.Background(), ev, env)
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) string { n, _ := v.Claims().Get(name); return n.String() }
	if get("pcr_bank") != "sha256" || !strings.HasPrefix(get("pcr00"), "0f35c214608d93c7") || get("ak_trust") != vtpm.TrustCertificate || get("reset_count") != "10" {
		t.Errorf("%v", v.Claims())
	}
	if got := get("gce_instance"); !strings.Contains(got, `"instance_name":"cos-test"`) || !strings.Contains(got, `"instance_id":6797026933021542085`) {
		t.Errorf("instance %s", got)
	}
	boot, _ := v.Claims().Get("boot")
	if line, _ := boot.Object().Get("kernel_cmdline"); !strings.Contains(line.Text(), "dm-mod.create") && !strings.Contains(line.Text(), "root=") {
		t.Errorf("command line %q", line.Text())
	}
	if open, _ := v.Claims().Get("pcrs_unexplained"); open.String() != "[10]" {
		t.Errorf("unexplained %s", open)
	}
	pcrs, _ := v.Claims().Get("pcrs")
	if _, ok := pcrs.Object().Get("sha1"); ok {
		t.Error("the SHA-1 bank is claimed")
	}
	if x, ok := pcrs.Object().Get("sha384"); !ok || !strings.HasPrefix(x.Object()[0].Value.Text(), "46ce251b0b5b3da7") {
		t.Error("the SHA-384 bank is not claimed")
	}
	for name, tc := range map[string]struct {
		data  []byte
		root  *x509.Certificate
		at    time.Time
		class fault.Class
	}{
		"another root":      {data, cert(t, "gce-gcp_ek_ak_ca_root.crt"), now, fault.Signature},
		"before":            {data, root, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), fault.Stale},
		"after":             {data, root, time.Date(2052, 1, 1, 0, 0, 0, 0, time.UTC), fault.Stale},
		"the other's nonce": {load(t, "tpm", "gce-cos-85-no-nonce.pb"), root, now, fault.Binding},
		"mixed banks":       {mixBanks(t, data), root, now, fault.Binding},
	} {
		e := env
		e.Time, e.Anchors = tc.at, anchors(t, evidence.AnchorsConfig{Roots: []*x509.Certificate{tc.root}})
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: tc.data, Endorsements: ev.Endorsements}, e); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want %v", name, err, tc.class)
		}
	}
	foreign := evidence.Evidence{Data: data, Endorsements: ev.Endorsements, EventLog: load(t, "eventlog", "cos-101-amd-sev.bin")}
	if _, err := d.Authenticate(context.Background(), foreign, env); !fault.Is(err, fault.Binding) {
		t.Errorf("event log of another machine: %v", err)
	}
	if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, env); !fault.Is(err, fault.Signature) {
		t.Errorf("without the intermediate: %v", err)
	}
}

// mixBanks pairs the values of the SHA-256 bank with the quote over the SHA-1 bank.
func mixBanks(tb testing.TB, b []byte) []byte {
	tb.Helper()
	type field struct {
		num protowire.Number
		raw []byte
	}
	split := func(b []byte) (out []field) {
		for len(b) > 0 {
			num, typ, n := protowire.ConsumeTag(b)
			if typ != protowire.BytesType {
				tb.Fatal("unexpected field")
			}
			raw, k := protowire.ConsumeBytes(b[n:])
			out = append(out, field{num, raw})
			b = b[n+k:]
		}
		return out
	}
	join := func(fs []field) (out []byte) {
		for _, f := range fs {
			out = protowire.AppendBytes(protowire.AppendTag(out, f.num, protowire.BytesType), f.raw)
		}
		return out
	}
	top := split(b)
	var quotes []int
	for i, f := range top {
		if f.num == 2 {
			quotes = append(quotes, i)
		}
	}
	first, second := split(top[quotes[0]].raw), split(top[quotes[1]].raw)
	first[2].raw = second[2].raw
	top[quotes[0]].raw = join(first)
	return join(top)
}

func TestRealInstances(t *testing.T) {
	for _, name := range []string{"pca_tpm_ecc_enc", "pca_tpm_ecc_sign", "pca_tpm_rsa_enc", "pca_tpm_rsa_sign", "uca_tpm_ecc_enc", "uca_tpm_ecc_sign", "uca_tpm_rsa_enc", "uca_tpm_rsa_sign"} {
		i, err := vtpm.InstanceOf(cert(t, "gce-"+name+"_cert.pem"))
		if err != nil || i == nil || i.ProjectNumber != 117478743145 || i.Zone != "us-central1-a" || !strings.HasPrefix(i.InstanceName, "cs-debug") {
			t.Errorf("%s: %+v %v", name, i, err)
		}
	}
}

// makeCert makes a certificate for key under parent; with a nil parent a root.
func makeCert(tb testing.TB, cn string, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer, edit func(*x509.Certificate)) *x509.Certificate {
	tb.Helper()
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	if parent == nil {
		tpl.IsCA, tpl.KeyUsage = true, x509.KeyUsageCertSign
		parent, parentKey = tpl, key
	}
	if edit != nil {
		edit(tpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, parent, key.Public(), parentKey)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// attestation renders q as go-tpm-tools does, without a public area.
func (q *softQuote) attestation(tb testing.TB, cert []byte) []byte {
	tb.Helper()
	return vtpm.AppendAttestation(nil, vtpm.Attestation{AKCert: cert, Quotes: []vtpm.AttestationQuote{q.part(tb)}})
}

func (q *softQuote) part(tb testing.TB) vtpm.AttestationQuote {
	msg, sig := q.sign(tb)
	return vtpm.AttestationQuote{Quote: msg, Signature: sig.Append(nil), PCRs: q.bank}
}

// A certificate counts if it chains to a root that is configured, is for this key, and is for signatures.
func TestCertifiedKey(t *testing.T) {
	caKey := ecKey(t, elliptic.P256())
	ca := makeCert(t, "TPM CA", caKey, nil, nil, nil)
	san := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: []byte{0x30, 0x11, 0xa4, 0x0f, 0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x02, 'i', 'd'}}
	other := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	for _, tc := range []struct {
		name  string
		key   *ecdsa.PrivateKey
		edit  func(*x509.Certificate)
		class fault.Class
		ok    bool
	}{
		{"good", nil, nil, 0, true},
		{"critical name", nil, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{san} }, 0, true},
		{"critical unknown", nil, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{other} }, fault.Signature, false},
		{"another key", ecKey(t, elliptic.P256()), nil, fault.Signature, false},
		{"not for signatures", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, fault.Signature, false},
		{"a CA", nil, func(c *x509.Certificate) { c.IsCA = true }, fault.Signature, false},
		{"expired", nil, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }, fault.Stale, false},
	} {
		q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
		data := q.attestation(t, makeCert(t, "AK", q.key, ca, caKey, tc.edit).Raw)
		if tc.key != nil {
			// The certificate is for tc.key; what it does not certify did not sign.
			data = q.attestation(t, makeCert(t, "AK", tc.key, ca, caKey, tc.edit).Raw)
		}
		env := q.env(t)
		env.Anchors = anchors(t, evidence.AnchorsConfig{Roots: []*x509.Certificate{ca}})
		v, err := newDriver(t, vtpm.Config{}).Authenticate(context.Background(), evidence.Evidence{Data: data}, env)
		if tc.ok != (err == nil) || !tc.ok && !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.ok && (v.Root().Name != "TPM CA" || len(v.Chain()) != 2) {
			t.Errorf("%s: %+v %+v", tc.name, v.Root(), v.Chain())
		}
	}
}

func FuzzDriver(f *testing.F) {
	q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
	f.Add(q.kbs(f))
	f.Add(q.attestation(f, []byte{0x30}))
	env := q.env(f)
	d := newDriver(f, vtpm.Config{})
	f.Fuzz(func(t *testing.T, b []byte) {
		vtpm.Detect(b)
		if v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: b}, env); (v == nil) == (err == nil) {
			t.Error("neither or both")
		}
		_, _ = d.Inspect(evidence.Evidence{Data: b})
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
	ev, env, d := evidence.Evidence{Data: q.kbs(b)}, q.env(b), newDriver(b, vtpm.Config{})
	msg, sig := q.sign(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			b.Fatal(err)
		}
	}
	begin := time.Now()
	for range b.N {
		if err := sig.Verify(q.key.Public(), msg); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(time.Since(begin)), "x-floor")
}
