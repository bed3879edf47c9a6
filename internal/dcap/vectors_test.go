package dcap

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// vectors returns the folder of real data, or skips.
func vectors(tb testing.TB) string {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is unset: the tests on real quotes and collateral are left out")
	}
	return filepath.Join(dir, "intel")
}

func load(tb testing.TB, path ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// sgxStatus maps our outcome to the names that Intel's library has for it.
func libraryStatus(e Evaluation, err error) string {
	switch {
	case errors.Is(err, ErrModuleMismatch):
		return "TDX_MODULE_MISMATCH"
	case errors.Is(err, ErrTCBInfoMismatch):
		return "TCB_INFO_MISMATCH"
	case errors.Is(err, ErrIdentityMismatch):
		return "QE_IDENTITY_MISMATCH"
	case errors.Is(err, ErrNotSupported):
		return "TCB_NOT_SUPPORTED"
	case err != nil:
		return err.Error()
	}
	return map[Status]string{UpToDate: "OK", SWHardeningNeeded: "TCB_SW_HARDENING_NEEDED", ConfigurationNeeded: "TCB_CONFIGURATION_NEEDED",
		ConfigurationAndSWHardeningNeeded: "TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED", OutOfDate: "TCB_OUT_OF_DATE",
		OutOfDateConfigurationNeeded: "TCB_OUT_OF_DATE_CONFIGURATION_NEEDED", Revoked: "TCB_REVOKED",
		TDRelaunchAdvised:                    "TCB_TD_RELAUNCH_ADVISED",
		TDRelaunchAdvisedConfigurationNeeded: "TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED"}[e.Status]
}

// authenticate checks a real quote up to its TCB.
func authenticate(tb testing.TB, b []byte) (Quote, *PCKChain) {
	tb.Helper()
	q, err := ParseQuote(b)
	if err != nil {
		tb.Fatal(err)
	}
	certs, err := ParseCerts(q.CertData)
	if err != nil {
		tb.Fatal(err)
	}
	chain, err := BuildPCKChain(certs, []*x509.Certificate{IntelRoot()})
	if err != nil {
		tb.Fatal(err)
	}
	ak, err := ParseKey(q.AttestationKey)
	if err != nil {
		tb.Fatal(err)
	}
	for _, err := range []error{q.VerifyBody(ak), q.VerifyBinding(), q.VerifyQE(chain.Key)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return q, chain
}

func platformOf(q *Quote, c *PCKChain) Platform {
	p := Platform{PCK: &c.PCK, QE: q.QE()}
	if q.TEE == TDX {
		td := q.TD()
		p.TD = &td
	}
	return p
}

// Every row of the oracle: a real quote and real collateral give the status that Intel's own library gives.
func TestOracleRows(t *testing.T) {
	dir := vectors(t)
	lines := strings.Split(strings.TrimSpace(string(load(t, dir, "oracle.tsv"))), "\n")
	col := map[string]int{}
	for i, name := range strings.Split(lines[0], "\t") {
		col[name] = i
	}
	rows, full := 0, 0
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		get := func(name string) string { return f[col[name]] }
		name := filepath.Base(get("quote")) + "/" + filepath.Base(get("tcb_info")) + "/" + filepath.Base(get("identity"))
		t.Run(name, func(t *testing.T) {
			q, chain := authenticate(t, load(t, dir, get("quote")))
			info, err := ParseTCBInfo(load(t, dir, get("tcb_info")))
			if err != nil {
				t.Fatal(err)
			}
			id, err := ParseIdentity(load(t, dir, get("identity")))
			if err != nil {
				t.Fatal(err)
			}
			e, err := Evaluate(platformOf(&q, chain), info, id)
			if got := libraryStatus(e, err); got != get("intel_qvl_status") {
				t.Fatalf("got %s (%v), Intel's library says %s", got, err, get("intel_qvl_status"))
			}
			rows++
			if get("full_run") != "yes" {
				return
			}
			full++
			at, err := time.Parse(time.RFC3339, get("coherent_at"))
			if err != nil {
				t.Fatal(err)
			}
			fullRun(t, dir, at, chain, info, id, get("pck_crl"), get("root_crl"), get("tcb_signing_chain"))
		})
	}
	t.Logf("%d rows agree, %d of them with the whole checklist", rows, full)
	if rows == 0 {
		t.Error("no row was read")
	}
}

func fullRun(t *testing.T, dir string, at time.Time, chain *PCKChain, info *TCBInfo, id *Identity, pckCRL, rootCRL, signing string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(chain.CheckTime(at))
	crl, err := ParseCRL(load(t, dir, pckCRL))
	must(err)
	must(crl.VerifiedBy(chain.Issuer))
	must(crl.Window.Check("PCK CRL", at))
	root, err := ParseCRL(load(t, dir, rootCRL))
	must(err)
	must(root.VerifiedBy(chain.Root))
	must(root.Window.Check("root CRL", at))
	certs, err := ParseCerts(load(t, dir, signing))
	must(err)
	var signer *Signer
	for _, c := range certs {
		if c.Subject.CommonName == NameTCBSigning {
			signer, err = BuildSigner(c, []*x509.Certificate{IntelRoot()})
			must(err)
		}
	}
	must(signer.Window.Check("TCB signing certificate", at))
	must(info.Signed.VerifiedBy(signer))
	must(info.Window.Check("TCBInfo", at))
	must(id.Signed.VerifiedBy(signer))
	must(id.Window.Check("identity", at))
	if crl.Lists(chain.Leaf) || root.Lists(chain.Issuer) || root.Lists(signer.Cert) {
		t.Error("revoked")
	}
}

// The manifest's claims about each real quote are what the parser reads.
func TestManifestQuotes(t *testing.T) {
	dir := vectors(t)
	var m struct {
		Files []struct {
			Path, Expected string
			Claims         struct {
				Version, CertType int
				BodySize          int    `json:"body_size"`
				Trailing          int    `json:"trailing_bytes"`
				QEISVSVN          int    `json:"qe_isvsvn"`
				CertDataType      int    `json:"cert_data_type"`
				ReportData        string `json:"report_data"`
				PCK               *struct {
					CA, FMSPC, PCEID, Serial string
					SGXType                  string `json:"sgx_type"`
					PCESVN                   int
					CPUSVN                   string
					TCBComponents            []int  `json:"tcb_components"`
					PIID                     string `json:"platform_instance_id"`
					Dynamic                  bool   `json:"dynamic_platform"`
					Cached                   bool   `json:"cached_keys"`
					SMT                      bool   `json:"smt_enabled"`
				}
			}
		}
	}
	if err := json.Unmarshal(load(t, dir, "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range m.Files {
		if !strings.HasPrefix(f.Path, "quotes/") || strings.HasPrefix(f.Path, "quotes/trailing") {
			continue
		}
		n++
		t.Run(filepath.Base(f.Path), func(t *testing.T) {
			q, err := ParseQuote(load(t, dir, f.Path))
			if err != nil {
				t.Fatal(err)
			}
			c := f.Claims
			if int(q.Version) != c.Version || len(q.Body) != c.BodySize || len(q.Trailing) != c.Trailing || int(q.QE().ISVSVN()) != c.QEISVSVN || int(q.CertType) != c.CertDataType {
				t.Errorf("read version %d, body %d, trailing %d, QE ISVSVN %d, type %d", q.Version, len(q.Body), len(q.Trailing), q.QE().ISVSVN(), q.CertType)
			}
			if f.Expected == "unavailable" {
				if ids, err := q.PlatformIDs(); err != nil || ids.PCEID == nil {
					t.Errorf("platform ids: %+v, %v", ids, err)
				}
				return
			}
			_, chain := authenticate(t, load(t, dir, f.Path))
			p, w := chain.PCK, c.PCK
			if chain.Issuer.Subject.CommonName != w.CA || hexOf(p.FMSPC[:]) != w.FMSPC || hexOf(p.PCEID[:]) != w.PCEID || int(p.PCESVN) != w.PCESVN || hexOf(p.CPUSVN[:]) != w.CPUSVN {
				t.Errorf("PCK %+v, manifest %+v", p, w)
			}
			for i, n := range w.TCBComponents {
				if int(p.Components[i]) != n {
					t.Errorf("component %d is %d, manifest says %d", i, p.Components[i], n)
				}
			}
			if p.Platform && (hexOf(p.PlatformInstanceID[:]) != w.PIID || p.DynamicPlatform != w.Dynamic || p.CachedKeys != w.Cached || p.SMTEnabled != w.SMT) {
				t.Errorf("PCK %+v, manifest %+v", p, w)
			}
		})
	}
	if n == 0 {
		t.Error("no quote was read")
	}
}

func hexOf(b []byte) string {
	const d = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, d[c>>4], d[c&15])
	}
	return string(out)
}

// Every real document verifies under Intel's key as carried, and stops verifying with one character changed.
func TestRealDocuments(t *testing.T) {
	dir := vectors(t)
	certs, err := ParseCerts(load(t, dir, "chains", "tcb-signing-2025-2032.pem"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := BuildSigner(certs[0], []*x509.Certificate{IntelRoot()})
	if err != nil {
		signer, err = BuildSigner(certs[1], []*x509.Certificate{IntelRoot()})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"tcbinfo/*.json", "identity/*.json"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal("no documents: ", err)
		}
		for _, path := range files {
			b := load(t, path)
			s, err := SplitSigned(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.VerifiedBy(signer); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			s.Body = append([]byte(nil), s.Body...)
			s.Body[len(s.Body)/2] ^= 1
			if err := s.VerifiedBy(signer); !fault.Is(err, fault.Signature) {
				t.Errorf("%s with a bit changed: %v", path, err)
			}
		}
	}
}
