package pcs_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/sgx"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
	"github.com/assay-tee/assay/simulator/intel"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// site is a machine, a service with its collateral, and a client.
type site struct {
	machine *intel.Machine
	docs    *intel.Collateral
	client  *pcs.Client
	url     string
	env     evidence.Env
	handler atomic.Pointer[http.Handler]
}

func newSite(t testing.TB, tdxSite bool, cfg intel.MachineConfig) *site {
	t.Helper()
	w := must[*intel.World](t)(intel.New(intel.Config{Clock: clock}))
	s := &site{machine: must[*intel.Machine](t)(w.NewMachine(cfg))}
	s.docs = must[*intel.Collateral](t)(s.machine.Collateral(tdxSite, intel.CollateralOptions{}))
	var h http.Handler = s.docs
	s.handler.Store(&h)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.handler.Load()).ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.client = must[*pcs.Client](t)(pcs.New(pcs.Config{BaseURL: srv.URL, Clock: clock}))
	s.env = evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](t)(evidence.NewAnchors(w.Anchors())), Collateral: s.client}
	return s
}

func (s *site) serve(h http.HandlerFunc) { var x http.Handler = h; s.handler.Store(&x) }

// Everything that the drivers ask for, the client gets: documents, lists in any form, chains, PCK certificates.
func TestDriversOverPCS(t *testing.T) {
	for name, tc := range map[string]struct {
		tdx      bool
		machine  intel.MachineConfig
		certType uint16
		pccs     bool
	}{
		"TD":                               {tdx: true},
		"enclave":                          {},
		"Processor CA":                     {machine: intel.MachineConfig{ProcessorCA: true}},
		"PCCS with hex text":               {tdx: true, pccs: true},
		"PCK certificate from the service": {certType: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tc.tdx, tc.machine)
			if tc.pccs {
				for _, l := range []*[]byte{&s.docs.PCKCRL, &s.docs.RootCRL} {
					*l = []byte(hex.EncodeToString(*l))
				}
			}
			var d evidence.Driver = must[*sgx.Driver](t)(sgx.New(sgx.Config{}))
			var quote []byte
			if tc.tdx {
				d = must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
				quote = must[[]byte](t)(s.machine.TDQuote(intel.TD{}, intel.BodyTD10, intel.QuoteOptions{}))
			} else {
				o := intel.QuoteOptions{}
				if tc.certType != 0 {
					o.CertType, o.CertData = tc.certType, s.machine.PlatformIDs(tc.certType)
				}
				quote = must[[]byte](t)(s.machine.EnclaveQuote(intel.Enclave{}, o))
			}
			s.docs.ByRequest = true // nothing is given
			v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: quote}, s.env)
			if err != nil {
				t.Fatal(err)
			}
			if st, _ := v.Claims().Get("tcb_status"); st.Text() != "UpToDate" {
				t.Errorf("status %s", st)
			}
		})
	}
}

// A cache in front asks once for each document, and answers from memory after that.
func TestBehindCache(t *testing.T) {
	s := newSite(t, true, intel.MachineConfig{})
	s.env.Collateral = must[*collateral.Cache](t)(collateral.NewCache(collateral.CacheConfig{Origin: collateral.Services{pcs.Service: s.client}, Clock: clock}))
	d := must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
	quote := must[[]byte](t)(s.machine.TDQuote(intel.TD{}, intel.BodyTD10, intel.QuoteOptions{}))
	for range 5 {
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: quote}, s.env); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.docs.Requests(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

const tcbPath = "/tdx/certification/v4/tcb?fmspc=00806f050000"

func get(c *pcs.Client, path string) (evidence.Response, error) {
	return c.Get(context.Background(), evidence.Request{Service: pcs.Service, Path: path})
}

// What the service says besides 200.
func TestRefusalsOfTheService(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"404":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"410":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) },
		"461":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(461) },
		"500":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"not JSON":            func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"redirect to a third": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://192.0.2.1/", 302) },
		"bad chain header":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("TCB-Info-Issuer-Chain", "%zz") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, true, intel.MachineConfig{})
			s.serve(h)
			if _, err := get(s.client, tcbPath); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("another FMSPC", func(t *testing.T) {
		s := newSite(t, true, intel.MachineConfig{})
		s.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.docs.TCBInfo) })
		if _, err := get(s.client, strings.Replace(tcbPath, "0000", "0001", 1)); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
	})
}

// 429 keeps the client away for as long as the service says; then it comes back.
func TestBacksOff(t *testing.T) {
	at := now
	s := newSite(t, true, intel.MachineConfig{})
	c := must[*pcs.Client](t)(pcs.New(pcs.Config{BaseURL: s.url, Clock: func() time.Time { return at }}))
	var hits atomic.Int64
	s.serve(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(429)
	})
	for range 10 {
		_, err := get(c, tcbPath)
		if after, ok := httpx.RetryAfter(err); !ok || after != 30*time.Second || !fault.Is(err, fault.Unavailable) {
			t.Fatalf("%v: %v", after, err)
		}
	}
	if hits.Load() != 1 {
		t.Errorf("%d requests during the pause", hits.Load())
	}
	at = at.Add(31 * time.Second)
	s.serve(s.docs.ServeHTTP)
	if _, err := get(c, tcbPath); err != nil {
		t.Error(err)
	}
}

// The service may not go back to documents of a lower number, nor to older ones of the same.
func TestRollbackIsRefused(t *testing.T) {
	s := newSite(t, true, intel.MachineConfig{})
	doc := func(change func(*intel.TCBInfo)) []byte {
		i := s.machine.CurrentTCBInfo(true)
		change(&i)
		return must[[]byte](t)(s.machine.World.TCBInfo(i))
	}
	serve := func(b []byte) { s.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }) }
	for _, tc := range []struct {
		name string
		doc  []byte
		ok   bool
	}{
		{"number 18", doc(func(i *intel.TCBInfo) { i.Evaluation, i.Issue = 18, now.Add(-2*time.Hour) }), true},
		{"the same, younger", doc(func(i *intel.TCBInfo) { i.Evaluation, i.Issue = 18, now.Add(-time.Hour) }), true},
		{"the same, older", doc(func(i *intel.TCBInfo) { i.Evaluation, i.Issue = 18, now.Add(-3*time.Hour) }), false},
		{"number 17, younger", doc(func(i *intel.TCBInfo) { i.Evaluation, i.Issue = 17, now }), false},
		{"number 19, older", doc(func(i *intel.TCBInfo) { i.Evaluation, i.Issue = 19, now.Add(-5*time.Hour) }), true},
	} {
		serve(tc.doc)
		if _, err := get(s.client, tcbPath); (err == nil) != tc.ok || err != nil && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	older := must[[]byte](t)(s.machine.World.CRL(s.machine.CA, intel.CRLOptions{ThisUpdate: now.Add(-3 * time.Hour)}))
	s.serve(s.docs.ServeHTTP)
	const crl = "/sgx/certification/v4/pckcrl?ca=platform"
	if _, err := get(s.client, crl); err != nil {
		t.Fatal(err)
	}
	serve(older)
	if _, err := get(s.client, crl); !fault.Is(err, fault.Unavailable) {
		t.Errorf("older list: %v", err)
	}
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/tdx/certification/v4/tcb?fmspc=00806F050000":                                         "/tdx/certification/v4/tcb?fmspc=00806f050000",
		"/sgx/certification/v4/tcb?update=early&fmspc=00806f050000":                            "/sgx/certification/v4/tcb?fmspc=00806f050000&update=early",
		"/sgx/certification/v4/pckcrl?ca=processor":                                            "/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
		"/sgx/certification/v4/pckcrl?encoding=der&ca=platform":                                "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
		"/tdx/certification/v4/qe/identity":                                                    "/tdx/certification/v4/qe/identity",
		"/sgx/certification/v4/rootcacrl":                                                      "/sgx/certification/v4/rootcacrl",
		"/sgx/certification/v4/tcbevaluationdatanumbers":                                       "/sgx/certification/v4/tcbevaluationdatanumbers",
		"/tdx/certification/v4/tcb":                                                            "",
		"/tdx/certification/v4/tcb?fmspc=00806f0500":                                           "",
		"/tdx/certification/v4/tcb?fmspc=00806f050000&fmspc=00806f050001":                      "",
		"/tdx/certification/v4/tcb?fmspc=00806f050000&update=early&tcbEvaluationDataNumber=17": "",
		"/tdx/certification/v4/pckcrl?ca=platform":                                             "",
		"/sgx/certification/v4/pckcrl?ca=other":                                                "",
		"/sgx/certification/v3/tcb?fmspc=00806f050000":                                         "",
		"/sgx/certification/v4/../v3/tcb?fmspc=00806f050000":                                   "",
		"http://other/sgx/certification/v4/rootcacrl":                                          "",
		"/sgx/certification/v4/pckcert?encrypted_ppid=00&cpusvn=00&pcesvn=00&pceid=00":         "",
		"": "",
	} {
		d, err := pcs.ParsePath(path)
		switch {
		case want == "" && !fault.Is(err, fault.Malformed):
			t.Errorf("%q: %v", path, err)
		case want != "" && (err != nil || d.Path() != want):
			t.Errorf("%q: %q, %v", path, d.Path(), err)
		}
	}
}

// The answers of Intel's own service, recorded with their headers, are read as they are.
func TestRecordedAnswers(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: recorded answers are not at hand")
	}
	files, err := filepath.Glob(filepath.Join(dir, "intel", "pcs", "*.http.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no recorded answers: ", err)
	}
	for _, f := range files {
		var rec struct {
			URL     string
			Status  int
			Headers http.Header
		}
		if err := json.Unmarshal(must[[]byte](t)(os.ReadFile(f)), &rec); err != nil {
			t.Fatal(err)
		}
		body := must[[]byte](t)(os.ReadFile(strings.TrimSuffix(f, ".http.json") + ".body"))
		t.Run(filepath.Base(f), func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range rec.Headers {
					if !strings.EqualFold(k, "Content-Length") {
						w.Header()[http.CanonicalHeaderKey(k)] = v
					}
				}
				_, _ = w.Write(body)
			}))
			defer srv.Close()
			c := must[*pcs.Client](t)(pcs.New(pcs.Config{BaseURL: srv.URL}))
			path := strings.TrimPrefix(rec.URL, pcs.DefaultURL)
			if rec.URL == pcs.DefaultRootCRLURL {
				path = "/sgx/certification/v4/rootcacrl"
			}
			r, err := get(c, path)
			if err != nil {
				t.Fatal(err)
			}
			if chained := !strings.HasSuffix(path, "rootcacrl"); chained != (len(r.IssuerChain) > 0) {
				t.Errorf("issuer chain of %d bytes", len(r.IssuerChain))
			}
		})
	}
}
