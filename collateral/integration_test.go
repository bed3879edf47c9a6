package collateral_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

// fleet is a Verifier with its sources, a KDS, and guests whose hosts hand out no certificates.
type fleet struct {
	amd     *simulator.AMD
	kds     *simulator.KDS
	driver  *snp.Driver
	anchors *evidence.Anchors
	client  *kds.Client
	mu      sync.Mutex
	time    time.Time
}

func (f *fleet) now() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.time }

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{time: start}
	var err error
	if f.amd, err = simulator.NewAMD(simulator.AMDConfig{Clock: f.now, Products: simulator.Products(), VLEK: true, KeyBits: 2048}); err != nil {
		t.Fatal(err)
	}
	if f.anchors, err = evidence.NewAnchors(f.amd.Anchors()); err != nil {
		t.Fatal(err)
	}
	if f.driver, err = snp.New(snp.Config{}); err != nil {
		t.Fatal(err)
	}
	f.kds = f.amd.KDS()
	srv := httptest.NewServer(f.kds)
	t.Cleanup(srv.Close)
	if f.client, err = kds.New(kds.Config{BaseURL: srv.URL, Clock: f.now, Burst: 100}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) guest(t *testing.T, p simulator.Product, cfg simulator.GuestConfig) *simulator.Guest {
	t.Helper()
	c, err := f.amd.NewChip(p)
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.Launch(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// attest lets g collect evidence as it would on hardware, and the driver authenticate it.
func (f *fleet) attest(t *testing.T, g *simulator.Guest, source evidence.Collateral) (*evidence.Verified, error) {
	t.Helper()
	a, err := g.Attester()
	if err != nil {
		t.Fatal(err)
	}
	nonce := []byte("a nonce of 32 bytes, or so it is")
	ev, err := a.Evidence(context.Background(), nonce)
	if err != nil {
		t.Fatal(err)
	}
	binding, err := evidence.ExpectFit(nonce)
	if err != nil {
		t.Fatal(err)
	}
	return f.driver.Authenticate(context.Background(), ev, evidence.Env{Time: f.now(), Binding: binding, Anchors: f.anchors, Collateral: source})
}

func (f *fleet) vceksAsked() int {
	n := 0
	for _, r := range f.kds.Requests() {
		if strings.Contains(r, "SPL=") {
			n++
		}
	}
	return n
}

func TestCertificatesComeFromTheKDSOnce(t *testing.T) {
	f := newFleet(t)
	dir := t.TempDir()
	cache := newCache(t, collateral.CacheConfig{Origin: f.client, Dir: dir, Clock: f.now})
	for i, p := range simulator.Products() {
		g := f.guest(t, p, simulator.GuestConfig{NoCerts: true})
		for range 2 {
			v, err := f.attest(t, g, cache)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			if v.Product() != string(p) || !v.Root().Simulated || v.Chain()[0].Role != "VCEK" {
				t.Errorf("%s: %+v", p, v.Chain())
			}
			if f.vceksAsked() != i+1 {
				t.Errorf("%s: %d certificates were asked for", p, f.vceksAsked())
			}
		}
		// What the cache has written serves where there is no network.
		asked := len(f.kds.Requests())
		if _, err := f.attest(t, g, collateral.Chain{load(t, dir), collateral.Offline{}}); err != nil {
			t.Errorf("%s, offline: %v", p, err)
		}
		if len(f.kds.Requests()) != asked {
			t.Error("the KDS was asked by an offline verifier")
		}
	}
	stranger := f.guest(t, simulator.Milan, simulator.GuestConfig{NoCerts: true})
	if _, err := f.attest(t, stranger, collateral.Chain{load(t, dir), collateral.Offline{}}); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "--collateral") {
		t.Errorf("a machine that nobody has fetched for, offline: %v", err)
	}
}

// A VCEK certificate that was minted long ago ends while its key is good: the KDS is asked for a newer one.
func TestAnEndedCertificateIsFetchedAgain(t *testing.T) {
	f := newFleet(t)
	cache := newCache(t, collateral.CacheConfig{Origin: f.client, Clock: f.now})
	g := f.guest(t, simulator.Milan, simulator.GuestConfig{NoCerts: true})
	if _, err := f.attest(t, g, cache); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.time = start.AddDate(7, 0, 0)
	f.mu.Unlock()
	if _, err := f.attest(t, g, cache); err != nil || f.vceksAsked() != 2 {
		t.Errorf("seven years later: %v, %d certificates asked for", err, f.vceksAsked())
	}
}

func TestAWrongAnswerOfTheKDSIsNotKept(t *testing.T) {
	f := newFleet(t)
	cache := newCache(t, collateral.CacheConfig{Origin: f.client, Dir: t.TempDir(), Clock: f.now})
	g := f.guest(t, simulator.Turin, simulator.GuestConfig{NoCerts: true})
	for _, bad := range []simulator.KDSFault{simulator.KDSWrongChip, simulator.KDSWrongTCB, simulator.KDSGarbage, simulator.KDSBroken} {
		f.kds.FailAlways(bad)
		if _, err := f.attest(t, g, cache); !fault.Is(err, fault.Unavailable) {
			t.Errorf("fault %d: %v", bad, err)
		}
	}
	f.kds.FailAlways(simulator.KDSWorks)
	if _, err := f.attest(t, g, cache); err != nil {
		t.Errorf("when the KDS works again: %v", err)
	}
}

// Each form in which a guest may send its evidence is authenticated, for VCEK and VLEK and every product line.
func TestEveryFormOfEveryProductIsAuthenticated(t *testing.T) {
	f := newFleet(t)
	forms := map[string]func(evidence.Evidence) ([]byte, error){
		"raw":     func(ev evidence.Evidence) ([]byte, error) { return append(ev.Data, ev.Aux...), nil },
		"KBS":     func(ev evidence.Evidence) ([]byte, error) { return attester.KBSEvidence(ev) },
		"shape A": func(ev evidence.Evidence) ([]byte, error) { return simulator.TrusteeJSON(simulator.ShapeA, ev) },
		"shape B": func(ev evidence.Evidence) ([]byte, error) { return simulator.TrusteeJSON(simulator.ShapeB, ev) },
		"aproxy":  simulator.AproxyJSON,
	}
	for _, p := range simulator.Products() {
		for _, csp := range []string{"", "CN=cloud.example"} {
			for version := uint32(2); version <= 5; version++ {
				g := f.guest(t, p, simulator.GuestConfig{CSP: csp, Change: func(r *simulator.Report) { r.Version = version }})
				ev, err := g.Evidence([64]byte{1})
				if err != nil {
					t.Fatal(err)
				}
				for name, form := range forms {
					if p == simulator.Turin && (version == 2 || name == "shape A") || version == 5 && strings.HasPrefix(name, "shape") {
						continue // no such firmware, or no member for what the report holds
					}
					data, err := form(ev)
					if err != nil {
						t.Errorf("%s version %d %q as %s: %v", p, version, csp, name, err)
						continue
					}
					v, err := f.driver.Authenticate(context.Background(), evidence.Evidence{Data: data},
						evidence.Env{Time: f.now(), Binding: evidence.UnboundUnsafe(), Anchors: f.anchors})
					if err != nil {
						t.Errorf("%s version %d %q as %s: %v", p, version, csp, name, err)
						continue
					}
					if want := map[bool]string{true: "VCEK", false: "VLEK"}[csp == ""]; v.Chain()[0].Role != want {
						t.Errorf("%s: signed by %s, want %s", p, v.Chain()[0].Role, want)
					}
				}
			}
		}
	}
}
