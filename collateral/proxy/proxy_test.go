package proxy_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/collateral/proxy"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
	"github.com/assay-tee/assay/simulator"
	"github.com/assay-tee/assay/simulator/intel"
)

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// vendors is an origin that counts, waits, and fails on demand.
type vendors struct {
	mu    sync.Mutex
	next  evidence.Collateral
	err   error
	gate  chan struct{} // closed: open
	calls atomic.Int64
}

func (v *vendors) Given() [][]byte { return nil }

func (v *vendors) Get(ctx context.Context, r evidence.Request) (evidence.Response, error) {
	v.calls.Add(1)
	v.mu.Lock()
	err, gate, next := v.err, v.gate, v.next
	v.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if err != nil {
		return evidence.Response{}, err
	}
	return next.Get(ctx, r)
}

func (v *vendors) fail(err error) { v.mu.Lock(); v.err = err; v.mu.Unlock() }

// world is a machine with its collateral behind a proxy, and a clock.
type world struct {
	machine *intel.Machine
	docs    *intel.Collateral
	origin  *vendors
	proxy   *proxy.Proxy
	srv     *httptest.Server
	offset  atomic.Int64
}

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func (w *world) now() time.Time { return start.Add(time.Duration(w.offset.Load())) }

func newWorld(tb testing.TB, store proxy.Store) *world {
	tb.Helper()
	w := &world{}
	in := must[*intel.World](tb)(intel.New(intel.Config{Clock: w.now}))
	w.machine = must[*intel.Machine](tb)(in.NewMachine(intel.MachineConfig{}))
	w.docs = must[*intel.Collateral](tb)(w.machine.Collateral(true, intel.CollateralOptions{}))
	w.docs.ByRequest = true
	w.origin = &vendors{next: w.docs}
	w.proxy = must[*proxy.Proxy](tb)(proxy.New(proxy.Config{Origin: w.origin, Store: store, Clock: w.now}))
	w.srv = httptest.NewServer(w.proxy)
	tb.Cleanup(w.srv.Close)
	return w
}

const tcbPath = "/tdx/certification/v4/tcb?fmspc=00806f050000"

func (w *world) get(tb testing.TB, path string) (*http.Response, []byte) {
	tb.Helper()
	r := must[*http.Response](tb)(http.Get(w.srv.URL + path))
	defer r.Body.Close()
	return r, must[[]byte](tb)(io.ReadAll(r.Body))
}

// The clients of both services, and the drivers behind them, work against the proxy as against the vendors.
func TestFaces(t *testing.T) {
	w := newWorld(t, nil)
	amd := must[*simulator.AMD](t)(simulator.NewAMD(simulator.AMDConfig{Clock: w.now, KeyBits: 2048}))
	amdSrv := httptest.NewServer(amd.KDS())
	defer amdSrv.Close()
	k := must[*kds.Client](t)(kds.New(kds.Config{BaseURL: amdSrv.URL, Clock: w.now, Burst: 100}))
	w.origin.next = collateral.Services{kds.Service: k, pcs.Service: w.docs}

	t.Run("PCS", func(t *testing.T) {
		c := must[*pcs.Client](t)(pcs.New(pcs.Config{BaseURL: w.srv.URL, Clock: w.now}))
		d := must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
		quote := must[[]byte](t)(w.machine.TDQuote(intel.TD{}, intel.BodyTD10, intel.QuoteOptions{}))
		env := evidence.Env{Time: start, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](t)(evidence.NewAnchors(w.machine.World.Anchors())), Collateral: c}
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: quote}, env); err != nil {
			t.Error(err)
		}
	})
	t.Run("KDS", func(t *testing.T) {
		c := must[*kds.Client](t)(kds.New(kds.Config{BaseURL: w.srv.URL, Clock: w.now}))
		chip := must[*simulator.Chip](t)(amd.NewChip(simulator.Milan))
		report := must[[]byte](t)(chip.Report(chip.NewReport()))
		env := evidence.Env{Time: start, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](t)(evidence.NewAnchors(amd.Anchors())), Collateral: c}
		d := must[*snp.Driver](t)(snp.New(snp.Config{}))
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: report}, env); err != nil {
			t.Error(err)
		}
	})
	t.Run("forms of lists", func(t *testing.T) {
		_, der := w.get(t, "/sgx/certification/v4/pckcrl?ca=platform&encoding=der")
		_, pemText := w.get(t, "/sgx/certification/v4/pckcrl?ca=platform")
		_, rootHex := w.get(t, "/sgx/certification/v4/rootcacrl")
		_, rootDER := w.get(t, "/IntelSGXRootCA.der")
		if !bytes.Equal(der, w.docs.PCKCRL) || !bytes.HasPrefix(pemText, []byte("-----BEGIN X509 CRL-----")) ||
			!bytes.Equal(rootDER, w.docs.RootCRL) || string(rootHex) != hex.EncodeToString(w.docs.RootCRL) {
			t.Error("a list has not the form that its path promises")
		}
	})
	t.Run("refusals", func(t *testing.T) {
		calls := w.origin.calls.Load()
		for path, want := range map[string]int{"/": 404, "/sgx/certification/v3/tcb?fmspc=00806f050000": 404, "/tdx/certification/v4/tcb?fmspc=zz": 404, "/vcek/v1/Milan/zz": 404} {
			if r, _ := w.get(t, path); r.StatusCode != want {
				t.Errorf("%s: status %d", path, r.StatusCode)
			}
		}
		if r := must[*http.Response](t)(http.Post(w.srv.URL+tcbPath, "", nil)); r.StatusCode != 405 {
			t.Errorf("POST: status %d", r.StatusCode)
		}
		if w.origin.calls.Load() != calls {
			t.Error("a request that makes no sense reached the vendors")
		}
	})
	t.Run("conditional", func(t *testing.T) {
		r, _ := w.get(t, tcbPath)
		req := must[*http.Request](t)(http.NewRequest("GET", w.srv.URL+tcbPath, nil))
		req.Header.Set("If-None-Match", r.Header.Get("ETag"))
		if r := must[*http.Response](t)(http.DefaultClient.Do(req)); r.StatusCode != 304 {
			t.Errorf("status %d", r.StatusCode)
		}
		if r.Header.Get("Tcb-Info-Issuer-Chain") == "" || strings.Contains(r.Header.Get("Tcb-Info-Issuer-Chain"), "+") {
			t.Error("issuer chain")
		}
	})
}

// However many wait for a document, the vendor is asked once.
func TestCoalesces(t *testing.T) {
	w := newWorld(t, nil)
	w.origin.gate = make(chan struct{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if r, _ := w.get(t, tcbPath); r.StatusCode != 200 {
				t.Errorf("status %d", r.StatusCode)
			}
		})
	}
	for w.proxy.Counters().Misses.Load() < 50 {
		time.Sleep(time.Millisecond)
	}
	close(w.origin.gate)
	wg.Wait()
	if n := w.origin.calls.Load(); n != 1 {
		t.Errorf("%d questions to the vendor", n)
	}
}

// What has grown old is sent at once while the next one is fetched; what has expired is not sent at all.
func TestAges(t *testing.T) {
	w := newWorld(t, nil)
	w.get(t, tcbPath)
	w.offset.Store(int64(26 * time.Hour))
	if r, _ := w.get(t, tcbPath); r.StatusCode != 200 || r.Header.Get("Age") == "0" {
		t.Errorf("status %d, age %s", r.StatusCode, r.Header.Get("Age"))
	}
	for w.origin.calls.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	w.origin.fail(fault.New(fault.Unavailable, "down"))
	w.offset.Store(int64(29 * 24 * time.Hour))
	if r, _ := w.get(t, tcbPath); r.StatusCode != 200 {
		t.Errorf("valid for another day: status %d", r.StatusCode)
	}
	w.offset.Store(int64(31 * 24 * time.Hour))
	if r, _ := w.get(t, tcbPath); r.StatusCode != 503 {
		t.Errorf("expired: status %d, Retry-After %q", r.StatusCode, r.Header.Get("Retry-After"))
	}
}

// Documents in use are fetched before they expire; those that nobody asks for are left alone.
func TestRefreshesAhead(t *testing.T) {
	w := newWorld(t, nil)
	w.get(t, tcbPath)
	if n := w.proxy.Refresh(context.Background()); n != 0 {
		t.Errorf("%d refreshed while fresh", n)
	}
	w.offset.Store(int64(25 * time.Hour))
	if n := w.proxy.Refresh(context.Background()); n != 1 || w.origin.calls.Load() != 2 {
		t.Errorf("%d refreshed, %d questions", n, w.origin.calls.Load())
	}
	w.offset.Store(int64(25*time.Hour + 72*time.Hour))
	if n := w.proxy.Refresh(context.Background()); n != 0 {
		t.Errorf("%d refreshed that nobody has used for days", n)
	}
}

// A vendor that refuses is left alone for as long as it says.
func TestBacksOff(t *testing.T) {
	w := newWorld(t, nil)
	w.origin.fail(fault.New(fault.Unavailable, "429: %w", &httpx.RetryError{After: 40 * time.Second}))
	for range 20 {
		r, _ := w.get(t, tcbPath)
		if r.StatusCode != 503 || r.Header.Get("Retry-After") != "40" && r.Header.Get("Retry-After") != "5" {
			t.Fatalf("status %d, Retry-After %q", r.StatusCode, r.Header.Get("Retry-After"))
		}
	}
	if n := w.origin.calls.Load(); n != 1 {
		t.Errorf("%d questions during the pause", n)
	}
	w.offset.Store(int64(41 * time.Second))
	w.origin.fail(nil)
	if r, _ := w.get(t, tcbPath); r.StatusCode != 200 {
		t.Errorf("after the pause: status %d", r.StatusCode)
	}
}

// With a store a restart asks nobody, and works when nobody can be reached.
func TestStoreSurvivesRestart(t *testing.T) {
	dir := must[*collateral.Dir](t)(collateral.OpenDir(t.TempDir()))
	defer dir.Close()
	w := newWorld(t, dir)
	for _, p := range []string{tcbPath, "/tdx/certification/v4/qe/identity", "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"} {
		w.get(t, p)
	}
	down := &vendors{err: fault.New(fault.Unavailable, "no network")}
	again := must[*proxy.Proxy](t)(proxy.New(proxy.Config{Origin: down, Store: dir, Clock: w.now}))
	for _, p := range []string{tcbPath, "/tdx/certification/v4/qe/identity", "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"} {
		r, err := again.Get(context.Background(), evidence.Request{Service: pcs.Service, Path: p})
		if err != nil || len(r.Body) == 0 || len(r.IssuerChain) == 0 {
			t.Errorf("%s: %v", p, err)
		}
	}
	if n := down.calls.Load(); n != 0 {
		t.Errorf("%d questions", n)
	}
}

// Cached documents over HTTP on the loopback, keep-alive, as many connections as there are processors times four.
func BenchmarkCached(b *testing.B) {
	w := newWorld(b, nil)
	w.get(b, tcbPath)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := client.Get(w.srv.URL + tcbPath)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != 200 {
				b.Error(fmt.Sprint(r.StatusCode, err))
			}
			r.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
