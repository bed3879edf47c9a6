package bundle_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/bundle"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
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

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// site is a network with both vendors, and a machine.
type site struct {
	machine *intel.Machine
	docs    *intel.Collateral
	origin  collateral.Services
	reqs    []evidence.Request
	anchors *evidence.Anchors
}

func newSite(t *testing.T) *site {
	t.Helper()
	clock := func() time.Time { return now }
	w := must[*intel.World](t)(intel.New(intel.Config{Clock: clock}))
	s := &site{machine: must[*intel.Machine](t)(w.NewMachine(intel.MachineConfig{}))}
	s.docs = must[*intel.Collateral](t)(s.machine.Collateral(true, intel.CollateralOptions{}))
	s.docs.ByRequest = true
	amd := must[*simulator.AMD](t)(simulator.NewAMD(simulator.AMDConfig{Clock: clock, KeyBits: 2048}))
	srv := httptest.NewServer(amd.KDS())
	t.Cleanup(srv.Close)
	s.origin = collateral.Services{pcs.Service: s.docs, kds.Service: must[*kds.Client](t)(kds.New(kds.Config{BaseURL: srv.URL, Clock: clock}))}
	for _, p := range []string{"/tdx/certification/v4/tcb?fmspc=00806f050000", "/tdx/certification/v4/qe/identity", "/sgx/certification/v4/pckcrl?ca=platform", "/sgx/certification/v4/rootcacrl"} {
		s.reqs = append(s.reqs, evidence.Request{Service: pcs.Service, Path: p})
	}
	s.reqs = append(s.reqs, evidence.Request{Service: kds.Service, Path: "/vcek/v1/Milan/cert_chain"}, evidence.Request{Service: kds.Service, Path: "/vcek/v1/Milan/crl"})
	s.anchors = must[*evidence.Anchors](t)(evidence.NewAnchors(w.Anchors()))
	return s
}

func (s *site) seal(t *testing.T, k *keys.Private) []byte {
	t.Helper()
	entries := must[[]bundle.Entry](t)(bundle.Collect(context.Background(), s.origin, s.reqs, now))
	return must[[]byte](t)(bundle.Seal(entries, k, now))
}

// The way of collateral into a closed network: collected and signed outside, imported inside, and used by a driver that
// fails on any dial.
func TestAcrossTheAirGap(t *testing.T) {
	for _, alg := range keys.Algs() {
		t.Run(string(alg), func(t *testing.T) {
			s, k := newSite(t), must[*keys.Private](t)(keys.Generate(alg))
			file := s.seal(t, k)
			other := must[*keys.Private](t)(keys.Generate(alg))
			if _, err := bundle.Open(file, []keys.Public{other.Public}); !fault.Is(err, fault.Signature) {
				t.Errorf("by a key that is not trusted: %v", err)
			}
			b := must[*bundle.Bundle](t)(bundle.Open(file, []keys.Public{other.Public, k.Public}))
			if len(b.Entries) != len(s.reqs) || b.Signer.KID != k.Public.KID || !b.Created.Equal(now) {
				t.Errorf("%d entries by %s at %v", len(b.Entries), b.Signer.KID, b.Created)
			}
			name := t.TempDir()
			dir := must[*collateral.Dir](t)(collateral.OpenDir(name))
			defer dir.Close()
			results := must[[]bundle.Result](t)(b.Import(dir, s.anchors, now))
			verified := 0
			for _, r := range results {
				if r.Expired {
					t.Errorf("%s has expired", r.Request.Path)
				}
				if r.Verified {
					verified++
				}
			}
			if verified != 4 {
				t.Errorf("%d documents verified, want the four of Intel", verified)
			}
			noDial(t)
			files := must[*collateral.Files](t)(collateral.LoadFiles([]string{name}))
			defer files.Close()
			d := must[*tdx.Driver](t)(tdx.New(tdx.Config{}))
			quote := must[[]byte](t)(s.machine.TDQuote(intel.TD{}, intel.BodyTD10, intel.QuoteOptions{}))
			for what, c := range map[string]evidence.Collateral{"directory": collateral.Chain{files, collateral.Offline{}}, "bundle": collateral.Chain{b, collateral.Offline{}}} {
				env := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: s.anchors, Collateral: c}
				if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: quote}, env); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// noDial makes every connection of the default transport fail, and the test with it.
func noDial(t *testing.T) {
	old := http.DefaultTransport
	http.DefaultTransport = &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		t.Errorf("dial %s %s", network, addr)
		return nil, errors.New("offline")
	}}
	t.Cleanup(func() { http.DefaultTransport = old })
}

// Every byte of a bundle is covered by its signature.
func TestTampering(t *testing.T) {
	s, k := newSite(t), must[*keys.Private](t)(keys.Generate(keys.EdDSA))
	file := s.seal(t, k)
	var env map[string]any
	if err := json.Unmarshal(file, &env); err != nil {
		t.Fatal(err)
	}
	payload := must[[]byte](t)(base64.StdEncoding.DecodeString(env["payload"].(string)))
	for at := 0; at < len(payload); at += 997 {
		p := bytes.Clone(payload)
		p[at] ^= 1
		env["payload"] = base64.StdEncoding.EncodeToString(p)
		if _, err := bundle.Open(must[[]byte](t)(json.Marshal(env)), []keys.Public{k.Public}); !fault.Is(err, fault.Signature) {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
	for name, tc := range map[string]struct {
		file  []byte
		class fault.Class
	}{
		"empty": {nil, fault.Malformed}, "not JSON": {[]byte("x"), fault.Malformed},
		"another type": {bytes.Replace(file, []byte("collateral-bundle"), []byte("something-other"), 1), fault.Unsupported},
		"no signature": {[]byte(`{"payloadType":"` + bundle.PayloadType + `","payload":"e30=","signatures":[]}`), fault.Signature},
	} {
		if _, err := bundle.Open(tc.file, []keys.Public{k.Public}); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signer of bundles cannot bring in what the vendor did not sign, nor take a site back to older documents.
func TestImportRefuses(t *testing.T) {
	k := must[*keys.Private](t)(keys.Generate(keys.ES256))
	imported := func(t *testing.T, s *site, dir *collateral.Dir) error {
		b := must[*bundle.Bundle](t)(bundle.Open(s.seal(t, k), []keys.Public{k.Public}))
		_, err := b.Import(dir, s.anchors, now)
		return err
	}
	sign := func(t *testing.T, s *site, change func(*intel.TCBInfo)) []byte {
		i := s.machine.CurrentTCBInfo(true)
		change(&i)
		return must[[]byte](t)(s.machine.World.TCBInfo(i))
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, s *site)
		class  fault.Class
	}{
		"TCBInfo changed": {func(t *testing.T, s *site) {
			s.docs.TCBInfo = sign(t, s, func(i *intel.TCBInfo) {
				i.Document.Tamper = func(b []byte) []byte { return bytes.Replace(b, []byte("OutOfDate"), []byte("UpToDate "), 1) }
			})
		}, fault.Malformed}, // the status is none any more
		"TCBInfo by another": {func(t *testing.T, s *site) {
			w := must[*intel.World](t)(intel.New(intel.Config{Clock: func() time.Time { return now }}))
			s.docs.TCBInfo, s.docs.Chain = must[[]byte](t)(w.TCBInfo(s.machine.CurrentTCBInfo(true))), w.SigningChain()
		}, fault.Signature},
		"no issuer chain": {func(_ *testing.T, s *site) { s.docs.Chain = nil }, fault.Malformed},
		"list of a foreign root": {func(t *testing.T, s *site) {
			w := must[*intel.World](t)(intel.New(intel.Config{Clock: func() time.Time { return now }}))
			s.docs.RootCRL = must[[]byte](t)(w.CRL(w.Root, intel.CRLOptions{}))
		}, fault.Signature},
		"lower evaluation number": {func(t *testing.T, s *site) {
			s.docs.TCBInfo = sign(t, s, func(i *intel.TCBInfo) { i.Evaluation = 17 })
		}, fault.Stale},
		"older of the same number": {func(t *testing.T, s *site) {
			s.docs.TCBInfo = sign(t, s, func(i *intel.TCBInfo) { i.Issue = now.Add(-48 * time.Hour) })
		}, fault.Stale},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			dir := must[*collateral.Dir](t)(collateral.OpenDir(t.TempDir()))
			defer dir.Close()
			if err := imported(t, s, dir); err != nil {
				t.Fatal(err)
			}
			before := must[evidence.Response](t)(response(dir.Get(s.reqs[0])))
			tc.change(t, s)
			if err := imported(t, s, dir); !fault.Is(err, tc.class) {
				t.Errorf("%v, want class %v", err, tc.class)
			}
			if after := must[evidence.Response](t)(response(dir.Get(s.reqs[0]))); !bytes.Equal(before.Body, after.Body) {
				t.Error("something was written all the same")
			}
		})
	}
}

func response(r evidence.Response, _ time.Time, err error) (evidence.Response, error) { return r, err }
