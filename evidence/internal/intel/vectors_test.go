package intel_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/sgx"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
)

// vectors returns the folder of real data, or skips.
func vectors(tb testing.TB) string {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is unset: the tests on real quotes and collateral are left out")
	}
	return dir
}

func load(tb testing.TB, path ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// given is collateral that the operator handed over; nothing can be fetched.
type given [][]byte

func (g given) Given() [][]byte { return g }

func (g given) Get(_ context.Context, r evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "%s is not at hand", r.Path)
}

func newDriver(tb testing.TB, quote string) evidence.Driver {
	tb.Helper()
	if strings.Contains(filepath.Base(quote), "sgx") {
		d, err := sgx.New(sgx.Config{})
		if err != nil {
			tb.Fatal(err)
		}
		return d
	}
	d, err := tdx.New(tdx.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// outcome is the TCB status, or the class of the refusal.
func outcome(v *evidence.Verified, err error) string {
	if err != nil {
		return "class " + fault.ClassOf(err).String()
	}
	s, _ := v.Claims().Get("tcb_status")
	return s.Text()
}

// wants maps the statuses of Intel's library to our outcomes.
var wants = map[string]string{"OK": "UpToDate", "TCB_SW_HARDENING_NEEDED": "SWHardeningNeeded",
	"TCB_CONFIGURATION_NEEDED": "ConfigurationNeeded", "TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED": "ConfigurationAndSWHardeningNeeded",
	"TCB_OUT_OF_DATE": "OutOfDate", "TCB_OUT_OF_DATE_CONFIGURATION_NEEDED": "OutOfDateConfigurationNeeded",
	"TCB_REVOKED": "class revoked", "TCB_NOT_SUPPORTED": "class unsupported", "TDX_MODULE_MISMATCH": "class binding",
	"TCB_TD_RELAUNCH_ADVISED": "TDRelaunchAdvised", "TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED": "TDRelaunchAdvisedConfigurationNeeded"}

// Every row of the oracle that has an instant at which everything is valid, through the whole driver, cold and warm.
func TestDriverAgreesWithOracle(t *testing.T) {
	dir := filepath.Join(vectors(t), "intel")
	lines := strings.Split(strings.TrimSpace(string(load(t, dir, "oracle.tsv"))), "\n")
	col := map[string]int{}
	for i, name := range strings.Split(lines[0], "\t") {
		col[name] = i
	}
	drivers := map[bool]evidence.Driver{true: newDriver(t, "sgx"), false: newDriver(t, "tdx")}
	n := 0
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		get := func(name string) string { return f[col[name]] }
		if get("full_run") != "yes" {
			continue
		}
		n++
		t.Run(filepath.Base(get("quote"))+"/"+filepath.Base(get("tcb_info")), func(t *testing.T) {
			g := given{}
			for _, name := range []string{"tcb_info", "identity", "pck_crl", "root_crl", "tcb_signing_chain"} {
				g = append(g, load(t, dir, get(name)))
			}
			at, err := time.Parse(time.RFC3339, get("coherent_at"))
			if err != nil {
				t.Fatal(err)
			}
			env := evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors(), Collateral: g}
			d := drivers[strings.Contains(get("quote"), "sgx")]
			for _, temperature := range []string{"cold", "warm"} {
				v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: load(t, dir, get("quote"))}, env)
				if got, want := outcome(v, err), wants[get("intel_qvl_status")]; got != want {
					t.Errorf("%s: %s (%v), Intel's library says %s", temperature, got, err, get("intel_qvl_status"))
				}
			}
		})
	}
	if n == 0 {
		t.Error("no row was read")
	}
}

type change struct {
	Op, File, Find, Replace     string
	Offset, Width, Bytes, Count int
	Value                       uint64
}

func (c change) apply(tb testing.TB, b []byte) []byte {
	le := func(add uint64) {
		var v [8]byte
		copy(v[:], b[c.Offset:c.Offset+c.Width])
		binary.LittleEndian.PutUint64(v[:], c.Value+add*binary.LittleEndian.Uint64(v[:]))
		copy(b[c.Offset:], v[:c.Width])
	}
	switch c.Op {
	case "set-le":
		le(0)
	case "add-le":
		le(1)
	case "xor":
		b[c.Offset] ^= byte(c.Value)
	case "truncate":
		return b[:len(b)-c.Bytes]
	case "append-zeros":
		return append(b, make([]byte, c.Count)...)
	case "json-replace":
		return bytes.Replace(b, []byte(c.Find), []byte(c.Replace), 1)
	default:
		tb.Fatalf("change %q is not known", c.Op)
	}
	return b
}

// Every case of the manifest: one per status and format, byte-level negatives, mix-ups of collateral, time boundaries.
func TestManifestCases(t *testing.T) {
	dir := filepath.Join(vectors(t), "intel")
	var m struct {
		Cases []struct {
			ID, Quote, Identity, Expect, Class string
			TCBInfo                            string `json:"tcb_info"`
			PCKCRL                             string `json:"pck_crl"`
			RootCRL                            string `json:"root_crl"`
			Chain                              string `json:"tcb_signing_chain"`
			Time                               *time.Time
			Change                             []change
		}
	}
	if err := json.Unmarshal(load(t, dir, "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	for _, c := range m.Cases {
		t.Run(c.ID, func(t *testing.T) {
			if c.Time == nil {
				t.Skip("no instant is valid for all certificates: the row is in TestOracleRows of internal/dcap")
			}
			files := map[string][]byte{"": load(t, dir, c.Quote), "tcb_info": load(t, dir, c.TCBInfo), "identity": load(t, dir, c.Identity)}
			for _, ch := range c.Change {
				files[ch.File] = ch.apply(t, files[ch.File])
			}
			g := given{files["tcb_info"], files["identity"], load(t, dir, c.PCKCRL), load(t, dir, c.RootCRL), load(t, dir, c.Chain)}
			env := evidence.Env{Time: *c.Time, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors(), Collateral: g}
			want := wants[c.Expect]
			if c.Expect == "reject" {
				want = "class " + c.Class
			}
			d := newDriver(t, c.Quote)
			for range 2 { // cold and warm
				v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: files[""]}, env)
				if got := outcome(v, err); got != want {
					t.Fatalf("%s (%v), want %s", got, err, want)
				}
			}
		})
	}
	if len(m.Cases) == 0 {
		t.Error("no case was read")
	}
}

// realPair is a real quote with real collateral at an instant at which everything is valid.
func realPair(tb testing.TB) (evidence.Evidence, evidence.Env) {
	tb.Helper()
	dir := filepath.Join(vectors(tb), "intel")
	g := given{}
	for _, f := range []string{"tcbinfo/tdx-90c06f000000-v3-e18-20260112.json", "identity/td_qe-e18-20260112.json", "crl/pck-platform-20260112.der",
		"crl/root-20250320.der", "chains/tcb-signing-2025-2032.pem"} {
		g = append(g, load(tb, dir, f))
	}
	return evidence.Evidence{Data: load(tb, dir, "quotes", "tdx-v4-4927b75a19a0.bin")},
		evidence.Env{Time: time.Date(2026, 1, 27, 12, 0, 0, 0, time.UTC), Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors(), Collateral: g}
}

// The samples of Intel's own library, under its test roots: an SGX quote that names its PCK certificate (type 1), which
// is then given beside it, and a TDX sample whose TCBInfo has component SVNs that do not fit a byte.
func TestLibrarySamples(t *testing.T) {
	dir := filepath.Join(vectors(t), "intel", "qvl-sample")
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for tee, want := range map[string]string{"sgx": "UpToDate", "tdx": "class malformed"} {
		t.Run(tee, func(t *testing.T) {
			g := given{}
			for _, f := range []string{"tcbInfo.json", "qeIdentity.json", "intermediateCaCrl.der", "rootCaCrl.der", "tcbSignChain.pem"} {
				g = append(g, load(t, dir, tee, f))
			}
			blk, _ := pem.Decode(load(t, dir, tee, "trustedRootCaCert.pem"))
			root := must[*x509.Certificate](t)(x509.ParseCertificate(blk.Bytes))
			anchors := must[*evidence.Anchors](t)(evidence.NewAnchors(evidence.AnchorsConfig{Roots: []*x509.Certificate{root}, OnlyThese: true}))
			ev := evidence.Evidence{Data: load(t, dir, tee, "quote.dat"), Endorsements: [][]byte{load(t, dir, tee, "pckCert.pem"), load(t, dir, tee, "pckSignChain.pem")}}
			v, err := newDriver(t, tee).Authenticate(context.Background(), ev, evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: anchors, Collateral: g})
			if got := outcome(v, err); got != want {
				t.Errorf("%s (%v), want %s", got, err, want)
			}
		})
	}
}
