package snp_test

import (
	"context"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/drivertest"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is one simulated AMD for all tests of this package: making its keys takes a second.
var world = sync.OnceValues(func() (*simulator.AMD, error) { return newWorld() })

func newWorld() (*simulator.AMD, error) {
	return simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: simulator.Products(), VLEK: true, KeyBits: 2048})
}

func amd(t testing.TB) *simulator.AMD {
	t.Helper()
	w, err := world()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func chip(t testing.TB, p simulator.Product) *simulator.Chip {
	t.Helper()
	return must[*simulator.Chip](t)(amd(t).NewChip(p))
}

func newDriver(t testing.TB) *snp.Driver {
	t.Helper()
	return must[*snp.Driver](t)(snp.New(snp.Config{}))
}

func anchors(t testing.TB, cfg evidence.AnchorsConfig) *evidence.Anchors {
	t.Helper()
	return must[*evidence.Anchors](t)(evidence.NewAnchors(cfg))
}

func simAnchors(t testing.TB) *evidence.Anchors { t.Helper(); return anchors(t, amd(t).Anchors()) }

func env(t testing.TB) evidence.Env {
	t.Helper()
	return evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: simAnchors(t)}
}

// guest is a simulated report with the certificate that should verify it.
type guest struct{ report, vek []byte }

func (g guest) evidence() evidence.Evidence {
	return evidence.Evidence{Data: g.report, Endorsements: [][]byte{g.vek}}
}

// newGuest makes a report of a new chip of p; edit changes it before it is signed, o changes the certificate.
func newGuest(t testing.TB, p simulator.Product, edit func(*simulator.Report), o simulator.VEKOptions) guest {
	t.Helper()
	c := chip(t, p)
	r := c.NewReport()
	if edit != nil {
		edit(&r)
	}
	g := guest{report: must[[]byte](t)(c.Report(r))}
	if r.SigningKey == simulator.SignedByVLEK {
		g.vek = must[[]byte](t)(amd(t).VLEKWith(p, r.CSP, r.ReportedTCB, o))
	} else {
		g.vek = must[[]byte](t)(c.VCEKWith(r.ReportedTCB, o))
	}
	return g
}

func byVLEK(r *simulator.Report) {
	r.SigningKey, r.CSP, r.ChipID = simulator.SignedByVLEK, "CN=cc-us-east-2.amazonaws.com", [64]byte{}
}

func check(t *testing.T, d *snp.Driver, ev evidence.Evidence, e evidence.Env, class string) *evidence.Verified {
	t.Helper()
	v, err := d.Authenticate(context.Background(), ev, e)
	switch {
	case class == "" && err != nil:
		t.Fatalf("refused (%v): %v", fault.ClassOf(err), err)
	case class != "" && err == nil:
		t.Fatalf("accepted, want class %s", class)
	case class != "" && fault.ClassOf(err).String() != class:
		t.Fatalf("class %v, want %s: %v", fault.ClassOf(err), class, err)
	}
	return v
}

func TestSuite(t *testing.T) {
	for _, p := range simulator.Products() {
		for name, edit := range map[string]func(*simulator.Report){"VCEK": nil, "VLEK": byVLEK} {
			t.Run(string(p)+" "+name, func(t *testing.T) {
				digest := sha512.Sum512([]byte("nonce and key"))
				g := newGuest(t, p, func(r *simulator.Report) {
					if edit != nil {
						edit(r)
					}
					r.ReportData = digest
				}, simulator.VEKOptions{})
				e := env(t)
				e.Binding = must[evidence.Binding](t)(evidence.ExpectExact(digest[:]))
				drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return newDriver(tb) }, Evidence: g.evidence(), Env: e})
			})
		}
	}
}

func oid(arc ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arc...)
}

// setExt replaces, or with a nil value removes, one of AMD's extensions.
func setExt(value []byte, arc ...int) simulator.VEKOptions {
	return simulator.VEKOptions{Extensions: func(x []pkix.Extension) []pkix.Extension {
		i := slices.IndexFunc(x, func(e pkix.Extension) bool { return e.Id.Equal(oid(arc...)) })
		switch {
		case i < 0:
			return append(x, pkix.Extension{Id: oid(arc...), Value: value})
		case value == nil:
			return slices.Delete(x, i, i+1)
		}
		x[i].Value = value
		return x
	}}
}

// Each row breaks exactly one thing.
func TestEachCheckRefuses(t *testing.T) {
	const milan, genoa, turin = simulator.Milan, simulator.Genoa, simulator.Turin
	otherWorld := must[*simulator.AMD](t)(simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, KeyBits: 2048}))
	foreignASK := must[*simulator.Issuer](t)(otherWorld.Issuer(milan, false))
	genoaASK := must[*simulator.Issuer](t)(amd(t).Issuer(genoa, false))
	milanASVK := must[*simulator.Issuer](t)(amd(t).Issuer(milan, true))
	sameCN := must[*simulator.Issuer](t)(amd(t).Issuer(milan, false))
	block, _ := pem.Decode(must[[]byte](t)(os.ReadFile("roots/sev-milan.pem")))
	sameCN.Name = must[*x509.Certificate](t)(x509.ParseCertificate(block.Bytes))
	type report = simulator.Report
	for _, tc := range []struct {
		name  string
		p     simulator.Product
		edit  func(*report)
		vek   simulator.VEKOptions
		class string
	}{
		{"version 2", milan, func(r *report) { r.Version = 2 }, simulator.VEKOptions{}, ""},
		{"version 3", genoa, func(r *report) { r.Version = 3 }, simulator.VEKOptions{}, ""},
		{"version 4", genoa, func(r *report) { r.Version = 4 }, simulator.VEKOptions{}, ""},
		{"version 5", turin, func(r *report) { r.Version = 5 }, simulator.VEKOptions{}, ""},
		{"version 2 of Genoa", genoa, func(r *report) { r.Version = 2 }, simulator.VEKOptions{}, ""},
		{"Bergamo", genoa, func(r *report) { r.CPUID = [3]byte{0x19, 0xA0, 0x02} }, simulator.VEKOptions{}, ""},
		{"request by the host", milan, func(r *report) { r.VMPL = snp.HostVMPL }, simulator.VEKOptions{}, ""},
		{"unknown platform bits", milan, func(r *report) { r.PlatformInfo = 0xFFFFFFFF00000025 }, simulator.VEKOptions{}, ""},
		{"every known policy bit", milan, func(r *report) { r.Policy = 1<<26 - 1 }, simulator.VEKOptions{}, ""},
		{"reported TCB below current", milan, func(r *report) { r.ReportedTCB.SNP-- }, simulator.VEKOptions{}, ""},
		{"masked CHIP_ID", milan, func(r *report) { r.ChipID = [64]byte{} }, simulator.VEKOptions{}, ""},
		{"VLEK", milan, byVLEK, simulator.VEKOptions{}, ""},
		{"VLEK with MASK_CHIP_KEY", milan, func(r *report) { byVLEK(r); r.MaskChipKey = true }, simulator.VEKOptions{}, ""},
		{"VLEK of Turin", turin, byVLEK, simulator.VEKOptions{}, ""},
		{"other stepping in productName", milan, nil, setExt([]byte("\x16\x08Milan-B1"), 2), ""},
		{"unknown extension", milan, nil, setExt([]byte{5, 0}, 99), ""},

		{"version 1", milan, func(r *report) { r.Version = 1 }, simulator.VEKOptions{}, "unsupported"},
		{"version 6", milan, func(r *report) { r.Version = 6 }, simulator.VEKOptions{}, "unsupported"},
		{"other algorithm", milan, func(r *report) { r.SignatureAlgo = 2 }, simulator.VEKOptions{}, "unsupported"},
		{"unknown processor", milan, func(r *report) { r.CPUID = [3]byte{0x1A, 0x50, 0} }, simulator.VEKOptions{}, "unsupported"},
		{"processor of another line", milan, func(r *report) { r.CPUID = [3]byte{0x19, 0x11, 1} }, simulator.VEKOptions{}, "signature"},
		{"CPUID in version 2", milan, func(r *report) {
			r.Version = 2
			r.Mutate = func(b []byte) { b[0x188] = 0x19 }
		}, simulator.VEKOptions{}, "malformed"},
		{"mitigation vector in version 4", genoa, func(r *report) {
			r.Version = 4
			r.Mutate = func(b []byte) { b[0x1F8] = 1 }
		}, simulator.VEKOptions{}, "malformed"},
		{"POLICY bit 17 clear", milan, func(r *report) { r.Policy = 1 << 16 }, simulator.VEKOptions{}, "malformed"},
		{"POLICY bit 26", milan, func(r *report) { r.Policy |= 1 << 26 }, simulator.VEKOptions{}, "malformed"},
		{"POLICY bit 63", milan, func(r *report) { r.Policy |= 1 << 63 }, simulator.VEKOptions{}, "malformed"},
		{"key info bit 5", milan, func(r *report) { r.Mutate = func(b []byte) { b[0x48] |= 0x20 } }, simulator.VEKOptions{}, "malformed"},
		{"VMPL 4", milan, func(r *report) { r.VMPL = 4 }, simulator.VEKOptions{}, "malformed"},
		{"reserved byte", milan, func(r *report) { r.Mutate = func(b []byte) { b[0x29F] = 1 } }, simulator.VEKOptions{}, "malformed"},
		{"reserved TCB byte", milan, func(r *report) { r.Mutate = func(b []byte) { b[0x38+3] = 1 } }, simulator.VEKOptions{}, "malformed"},
		{"reserved TCB byte of version 2", milan, func(r *report) {
			r.Version = 2
			r.Mutate = func(b []byte) { b[0x38+3] = 1 }
		}, simulator.VEKOptions{}, "malformed"},
		{"upper bytes of S", milan, func(r *report) { r.MutateSigned = func(b []byte) { b[0x2E8+71] = 1 } }, simulator.VEKOptions{}, "malformed"},
		{"unsigned tail", milan, func(r *report) { r.MutateSigned = func(b []byte) { b[0x49F] = 1 } }, simulator.VEKOptions{}, "malformed"},
		{"changed after signing", milan, func(r *report) { r.MutateSigned = func(b []byte) { b[0x90] ^= 1 } }, simulator.VEKOptions{}, "signature"},
		{"R = 0", milan, func(r *report) { r.MutateSigned = func(b []byte) { clear(b[0x2A0:0x2E8]) } }, simulator.VEKOptions{}, "signature"},
		{"S = 0", milan, func(r *report) { r.MutateSigned = func(b []byte) { clear(b[0x2E8:0x330]) } }, simulator.VEKOptions{}, "signature"},

		{"SIGNING_KEY none", milan, func(r *report) { r.SigningKey = simulator.SignedByNone }, simulator.VEKOptions{}, "signature"},
		{"SIGNING_KEY reserved", milan, func(r *report) { r.SigningKey = 2 }, simulator.VEKOptions{}, "unsupported"},
		{"MASK_CHIP_KEY with VCEK", milan, func(r *report) { r.MaskChipKey = true }, simulator.VEKOptions{}, "signature"},
		{"levels: REPORTED above CURRENT", milan, func(r *report) { r.ReportedTCB.SNP++ }, simulator.VEKOptions{}, "malformed"},
		{"levels: COMMITTED above CURRENT", milan, func(r *report) { r.CommittedTCB.BootLoader++ }, simulator.VEKOptions{}, "malformed"},
		{"levels: LAUNCH above CURRENT", turin, func(r *report) { r.LaunchTCB.FMC++ }, simulator.VEKOptions{}, "malformed"},
		{"levels: microcode hides an older SNP firmware", milan, func(r *report) {
			r.CurrentTCB.Microcode++
			r.CurrentTCB.SNP--
		}, simulator.VEKOptions{}, "malformed"},

		{"certificate by another ASK of the same name", milan, nil, simulator.VEKOptions{IssuedBy: foreignASK}, "signature"},
		{"issuer's name differs beyond the common name", milan, nil, simulator.VEKOptions{IssuedBy: sameCN}, "signature"},
		{"certificate by the ASK of another line", milan, nil, simulator.VEKOptions{IssuedBy: genoaASK}, "signature"},
		{"VCEK by the ASVK", milan, nil, simulator.VEKOptions{IssuedBy: milanASVK}, "signature"},
		{"subject says VLEK", milan, nil, simulator.VEKOptions{CommonName: "SEV-VLEK"}, "signature"},
		{"subject without prefix", milan, nil, simulator.VEKOptions{CommonName: "VCEK"}, "signature"},
		{"PKCS#1 v1.5", milan, nil, simulator.VEKOptions{Algorithm: x509.SHA384WithRSA}, "signature"},
		{"PSS with SHA-256", milan, nil, simulator.VEKOptions{Algorithm: x509.SHA256WithRSAPSS}, "signature"},
		{"expired a second ago", milan, nil, simulator.VEKOptions{NotAfter: now.Add(-time.Second)}, "stale"},
		{"expires this second", milan, nil, simulator.VEKOptions{NotAfter: now}, ""},
		{"valid from this second", milan, nil, simulator.VEKOptions{NotBefore: now}, ""},
		{"valid in a second", milan, nil, simulator.VEKOptions{NotBefore: now.Add(time.Second)}, "stale"},

		{"other hwID", milan, nil, setExt(make([]byte, 64), 4), "binding"},
		{"hwID of eight bytes on Milan", milan, nil, setExt(make([]byte, 8), 4), "binding"},
		{"hwID of 64 bytes on Turin", turin, nil, setExt(make([]byte, 64), 4), "binding"},
		{"other hwID in an OCTET STRING", milan, nil, setExt(append([]byte{4, 64}, make([]byte, 64)...), 4), "binding"},
		{"hwID in an OCTET STRING of another length", milan, nil, setExt(append([]byte{4, 63}, make([]byte, 64)...), 4), "malformed"},
		{"hwID of 66 bytes", milan, nil, setExt(make([]byte, 66), 4), "malformed"},
		{"hwID of no bytes", milan, nil, setExt([]byte{}, 4), "malformed"},
		{"the hwID in an OCTET STRING", milan, nil, simulator.VEKOptions{Extensions: func(x []pkix.Extension) []pkix.Extension {
			last := &x[len(x)-1]
			last.Value = append([]byte{4, 64}, last.Value...)
			return x
		}}, ""},
		{"no hwID", milan, nil, setExt(nil, 4), "binding"},
		{"hwID in a VLEK", milan, byVLEK, setExt(make([]byte, 64), 4), "binding"},
		{"cspID in a VCEK", milan, nil, setExt([]byte("\x16\x01x"), 5), "binding"},
		{"no cspID in a VLEK", milan, byVLEK, setExt(nil, 5), "binding"},
		{"empty cspID", milan, byVLEK, setExt([]byte("\x16\x00"), 5), "malformed"},
		{"other product", milan, nil, setExt([]byte("\x16\x05Genoa"), 2), "binding"},
		{"no product", milan, nil, setExt(nil, 2), "malformed"},
		{"no structVersion", milan, nil, setExt(nil, 1), "malformed"},
		{"blSPL", milan, nil, setExt([]byte{2, 1, 99}, 3, 1), "binding"},
		{"teeSPL", milan, nil, setExt([]byte{2, 1, 99}, 3, 2), "binding"},
		{"snpSPL", milan, nil, setExt([]byte{2, 1, 99}, 3, 3), "binding"},
		{"ucodeSPL", milan, nil, setExt([]byte{2, 1, 99}, 3, 8), "binding"},
		{"fmcSPL", turin, nil, setExt([]byte{2, 1, 99}, 3, 9), "binding"},
		{"no fmcSPL on Turin", turin, nil, setExt(nil, 3, 9), "binding"},
		{"no snpSPL", milan, nil, setExt(nil, 3, 3), "binding"},
		{"fmcSPL on Milan", milan, nil, setExt([]byte{2, 1, 1}, 3, 9), "binding"},
		{"spl4 not zero", milan, nil, setExt([]byte{2, 1, 1}, 3, 4), "binding"},
		{"SPL not minimal", milan, nil, setExt([]byte{2, 2, 0, 4}, 3, 1), "malformed"},
		{"SPL above 255", milan, nil, setExt([]byte{2, 2, 1, 4}, 3, 1), "malformed"},
		{"negative SPL", milan, nil, setExt([]byte{2, 1, 0xFF}, 3, 1), "malformed"},
		{"snpSPL of a VLEK", milan, byVLEK, setExt([]byte{2, 1, 99}, 3, 3), "binding"},
		{"critical unknown extension", milan, nil, simulator.VEKOptions{Extensions: func(x []pkix.Extension) []pkix.Extension {
			return append(x, pkix.Extension{Id: oid(99), Critical: true, Value: []byte{5, 0}})
		}}, "unsupported"},
		{"two hwIDs", milan, nil, simulator.VEKOptions{Extensions: func(x []pkix.Extension) []pkix.Extension {
			return append(x, x[len(x)-1])
		}}, "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, ev := newDriver(t), newGuest(t, tc.p, tc.edit, tc.vek).evidence()
			for range 2 { // cold and warm
				check(t, d, ev, env(t), tc.class)
			}
		})
	}
}

// An id may begin with a byte that looks like a DER header.
func TestHWIDIsRaw(t *testing.T) {
	for _, first := range []byte{0x02, 0x04, 0x30} {
		id := [64]byte{first, 62, 1}
		c := must[*simulator.Chip](t)(amd(t).ChipWithID(simulator.Milan, id))
		g := guest{must[[]byte](t)(c.Report(c.NewReport())), must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{}))}
		check(t, newDriver(t), g.evidence(), env(t), "")
	}
}

func claimOf(t *testing.T, v *evidence.Verified, path ...string) claim.Node {
	t.Helper()
	n := claim.O(v.Claims()...)
	for _, p := range path {
		var ok bool
		if n, ok = n.Object().Get(p); !ok {
			t.Fatalf("no claim %v", path)
		}
	}
	return n
}

func TestWhatTheKeyIsTiedToIsSaid(t *testing.T) {
	for _, tc := range []struct {
		name, binding, key string
		edit               func(*simulator.Report)
		notes              []string
	}{
		{"VCEK", "hwid", "vcek", nil, nil},
		{"masked", "masked", "vcek", func(r *simulator.Report) { r.ChipID = [64]byte{} }, []string{"chip_id_masked"}},
		{"VLEK", "csp", "vlek", byVLEK, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := check(t, newDriver(t), newGuest(t, simulator.Milan, tc.edit, simulator.VEKOptions{}).evidence(), env(t), "")
			if got := claimOf(t, v, "chip_binding").Text(); got != tc.binding {
				t.Errorf("chip_binding %q, want %q", got, tc.binding)
			}
			if got := claimOf(t, v, "signing_key").Text(); got != tc.key {
				t.Errorf("signing_key %q, want %q", got, tc.key)
			}
			if !slices.Equal(v.Notes(), tc.notes) {
				t.Errorf("notes %v, want %v", v.Notes(), tc.notes)
			}
			if !slices.Contains(v.Unsafe(), "simulator-root") || !v.Root().Simulated || v.Root().BuiltIn {
				t.Errorf("a simulated root is not marked: %v %+v", v.Unsafe(), v.Root())
			}
			csp := claimOf(t, v, "csp_id").Text()
			if want := strings.HasPrefix(csp, "CN=cc-"); want != (tc.key == "vlek") {
				t.Errorf("csp_id %q with a %s", csp, tc.key)
			}
			wantClass := "1.3.6.1.4.1.3704.3.1"
			if tc.key == "vlek" {
				wantClass = "1.3.6.1.4.1.3704.3.2"
			}
			if got := v.ECTs()[0].Environment.Class.ID.String(); got != wantClass {
				t.Errorf("class-id %s, want %s", got, wantClass)
			}
		})
	}
}

// The report names the kind of key; a certificate of the other kind does not do, whatever it says.
func TestCertificateOfTheOtherKind(t *testing.T) {
	c := chip(t, simulator.Milan)
	byVCEK := c.NewReport()
	signedByVLEK := c.NewReport()
	byVLEK(&signedByVLEK)
	vcek := must[[]byte](t)(c.VCEKWith(c.TCB, simulator.VEKOptions{}))
	vlek := must[[]byte](t)(amd(t).VLEKWith(simulator.Milan, signedByVLEK.CSP, c.TCB, simulator.VEKOptions{}))
	ask := amd(t).ASK(simulator.Milan).Raw
	for name, tc := range map[string]struct {
		report      simulator.Report
		vek         []byte
		typed       bool
		class       string
		withTheGood bool
	}{
		"VLEK for a VCEK":          {byVCEK, vlek, false, "signature", false},
		"VCEK for a VLEK":          {signedByVLEK, vcek, false, "signature", false},
		"both, VCEK signed":        {byVCEK, vlek, false, "", true},
		"both, VLEK signed":        {signedByVLEK, vcek, false, "", true},
		"the ASK as VCEK":          {byVCEK, ask, true, "signature", false},
		"the ASK as VCEK, and one": {byVCEK, ask, true, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			ev := evidence.Evidence{Data: must[[]byte](t)(c.Report(tc.report)), Endorsements: [][]byte{tc.vek}}
			if tc.typed {
				ev.Endorsements, ev.Aux = nil, simulator.CertTable(simulator.VEKEntry(false, tc.vek))
			}
			if tc.withTheGood && tc.report.SigningKey == simulator.SignedByVLEK {
				ev.Endorsements = append(ev.Endorsements, vlek)
			} else if tc.withTheGood {
				ev.Endorsements = append(ev.Endorsements, vcek)
			}
			check(t, newDriver(t), ev, env(t), tc.class)
		})
	}
}

func TestCancelledBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newDriver(t).Authenticate(ctx, newGuest(t, simulator.Milan, nil, simulator.VEKOptions{}).evidence(), env(t))
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v, want class unavailable", err)
	}
}

// A root that comes with evidence must never become an anchor, whatever else is configured (evidence-snp.md trap 1).
func TestForgedChainNeverAnchors(t *testing.T) {
	w := amd(t)
	g := newGuest(t, simulator.Milan, nil, simulator.VEKOptions{})
	ev := g.evidence()
	ev.Endorsements = append(ev.Endorsements, w.ASK(simulator.Milan).Raw, w.ARK(simulator.Milan).Raw)
	builtin := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors()}
	check(t, newDriver(t), ev, builtin, "signature")
	check(t, newDriver(t), g.evidence(), builtin, "signature")
	builtin.Collateral = &vendor{given: [][]byte{w.ASK(simulator.Milan).Raw, w.ARK(simulator.Milan).Raw, g.vek}}
	check(t, newDriver(t), g.evidence(), builtin, "signature")
	// Verified under one set of anchors is not verified under another.
	d := newDriver(t)
	check(t, d, g.evidence(), env(t), "")
	builtin.Collateral = nil
	check(t, d, g.evidence(), builtin, "signature")
}

func TestSuppliedIssuers(t *testing.T) {
	w := amd(t)
	g := newGuest(t, simulator.Milan, nil, simulator.VEKOptions{})
	other := must[*simulator.AMD](t)(simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, KeyBits: 2048}))
	arkOnly := anchors(t, evidence.AnchorsConfig{Roots: []*x509.Certificate{w.ARK(simulator.Milan)}, OnlyThese: true, AllowSimulatorUnsafe: true})
	for _, tc := range []struct {
		name    string
		with    []*x509.Certificate
		given   []*x509.Certificate
		anchors *evidence.Anchors
		class   string
	}{
		{"the same ASK and ARK", []*x509.Certificate{w.ASK(simulator.Milan), w.ARK(simulator.Milan)}, nil, simAnchors(t), ""},
		{"the ASVK of the same line", []*x509.Certificate{w.ASVK(simulator.Milan)}, nil, simAnchors(t), ""},
		{"another ASK", []*x509.Certificate{other.ASK(simulator.Milan)}, nil, simAnchors(t), "signature"},
		{"another ARK", []*x509.Certificate{other.ARK(simulator.Milan)}, nil, simAnchors(t), "signature"},
		{"the ASK of another line", []*x509.Certificate{w.ASK(simulator.Genoa)}, nil, simAnchors(t), "signature"},
		{"another ASK among the operator's files", nil, []*x509.Certificate{other.ASK(simulator.Milan), w.ASK(simulator.Genoa)}, simAnchors(t), ""},
		{"ARK alone is configured, ASK comes with the evidence", []*x509.Certificate{w.ASK(simulator.Milan)}, nil, arkOnly, ""},
		{"ARK alone is configured, ASK among the operator's files", nil, []*x509.Certificate{w.ASK(simulator.Milan)}, arkOnly, ""},
		{"ARK alone is configured, a foreign ASK", []*x509.Certificate{other.ASK(simulator.Milan)}, nil, arkOnly, "signature"},
		{"ARK alone is configured, no ASK", nil, nil, arkOnly, "signature"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ev, e := g.evidence(), env(t)
			for _, c := range tc.with {
				ev.Endorsements = append(ev.Endorsements, c.Raw)
			}
			v := &vendor{}
			for _, c := range tc.given {
				v.given = append(v.given, c.Raw)
			}
			e.Collateral, e.Anchors = v, tc.anchors
			d := newDriver(t)
			for range 2 {
				check(t, d, ev, e, tc.class)
			}
		})
	}
}

// vendor is a Collateral with behaviour: files of the operator, and a KDS.
type vendor struct {
	given [][]byte
	kds   map[string][]byte // by path, or by path up to the question mark
	asked []string
}

func (v *vendor) Given() [][]byte { return v.given }

func (v *vendor) Get(_ context.Context, r evidence.Request) (evidence.Response, error) {
	v.asked = append(v.asked, r.Path)
	for path, body := range v.kds {
		if r.Service == "amd-kds" && (path == r.Path || strings.HasPrefix(r.Path, path+"?")) {
			return evidence.Response{Body: body}, nil
		}
	}
	return evidence.Response{}, fault.New(fault.Unavailable, "%s %s is not to be had", r.Service, r.Path)
}
