package intel_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/drivertest"
	"github.com/assay-tee/assay/evidence/sgx"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	sim "github.com/assay-tee/assay/simulator/intel"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var sharedWorld = sync.OnceValues(func() (*sim.World, error) {
	return sim.New(sim.Config{Clock: func() time.Time { return now }})
})

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func world(tb testing.TB) *sim.World {
	tb.Helper()
	return must[*sim.World](tb)(sharedWorld())
}

// setup is one piece of evidence and what it is judged by; each part may be broken by itself.
type setup struct {
	tdx        bool
	body       sim.BodyType // zero: TD 1.0
	td         sim.TD
	enclave    sim.Enclave
	machine    sim.MachineConfig
	quote      sim.QuoteOptions
	collateral sim.CollateralOptions
	// after may change what was made: the quote, the documents, the world.
	after func(tb testing.TB, m *sim.Machine, quote []byte, c *sim.Collateral) []byte
	env   func(*evidence.Env)
	hints func(m *sim.Machine) [][]byte
	world *sim.World // nil: the shared one; tests that revoke take their own
}

func (s setup) build(tb testing.TB) (evidence.Evidence, evidence.Env) {
	tb.Helper()
	w := s.world
	if w == nil {
		w = world(tb)
	}
	m := must[*sim.Machine](tb)(w.NewMachine(s.machine))
	var quote []byte
	if s.tdx {
		body := s.body
		if body == 0 {
			body = sim.BodyTD10
		}
		quote = must[[]byte](tb)(m.TDQuote(s.td, body, s.quote))
	} else {
		quote = must[[]byte](tb)(m.EnclaveQuote(s.enclave, s.quote))
	}
	c := must[*sim.Collateral](tb)(m.Collateral(s.tdx, s.collateral))
	if s.after != nil {
		quote = s.after(tb, m, quote, c)
	}
	env := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](tb)(evidence.NewAnchors(w.Anchors())), Collateral: c}
	if s.env != nil {
		s.env(&env)
	}
	ev := evidence.Evidence{Data: quote}
	if s.hints != nil {
		ev.Endorsements = s.hints(m)
	}
	return ev, env
}

func (s setup) driver(tb testing.TB) evidence.Driver {
	if s.tdx {
		return must[*tdx.Driver](tb)(tdx.New(tdx.Config{}))
	}
	return must[*sgx.Driver](tb)(sgx.New(sgx.Config{}))
}

// check authenticates cold and warm and compares with the wanted status or "class …".
func (s setup) check(tb testing.TB, want string) *evidence.Verified {
	tb.Helper()
	ev, env := s.build(tb)
	d := s.driver(tb)
	var v *evidence.Verified
	for range 2 {
		var err error
		v, err = d.Authenticate(context.Background(), ev, env)
		if got := outcome(v, err); got != want {
			tb.Fatalf("%s (%v), want %s", got, err, want)
		}
	}
	return v
}

func TestSuite(t *testing.T) {
	td := setup{tdx: true, td: sim.TD{ReportData: [64]byte{1, 2, 3}}}
	en := setup{enclave: sim.Enclave{ReportData: [64]byte{1, 2, 3}}}
	for name, s := range map[string]setup{
		"TD 1.0, version 4":  td,
		"TD 1.0, version 5":  {tdx: true, td: td.td, quote: sim.QuoteOptions{Version: 5}},
		"TD 1.5":             {tdx: true, td: td.td, body: sim.BodyTD15},
		"TD 1.5 extended":    {tdx: true, td: td.td, body: sim.BodyTD15X},
		"enclave, version 3": en,
		"enclave, version 4": {enclave: en.enclave, quote: sim.QuoteOptions{Version: 4}},
		"enclave, version 5": {enclave: en.enclave, quote: sim.QuoteOptions{Version: 5}},
		"Processor CA":       {enclave: en.enclave, machine: sim.MachineConfig{ProcessorCA: true}},
		"TD, Processor CA":   {tdx: true, td: td.td, machine: sim.MachineConfig{ProcessorCA: true}},
		"by request": {tdx: true, td: td.td, after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte {
			c.ByRequest = true
			return q
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ev, env := s.build(t)
			field := [64]byte{1, 2, 3}
			env.Binding = must[evidence.Binding](t)(evidence.ExpectExact(field[:]))
			drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return s.driver(tb) }, Evidence: ev, Env: env, Step: 37})
			v := must[*evidence.Verified](t)(s.driver(t).Authenticate(context.Background(), ev, env))
			if !slices.Contains(v.Unsafe(), "simulator-root") || !v.Root().Simulated {
				t.Error("a simulated root is not marked")
			}
		})
	}
}

// Nothing is fetched when valid collateral is at hand, and four documents are when nothing is.
func TestFetching(t *testing.T) {
	var col *sim.Collateral
	s := setup{tdx: true, after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte { col = c; return q }}
	s.check(t, "UpToDate")
	if n := col.Requests(); n != 0 {
		t.Errorf("%d requests with everything at hand", n)
	}
	s.after = func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte {
		col, c.ByRequest = c, true
		return q
	}
	s.check(t, "UpToDate")
	if n := col.Requests(); n != 8 { // twice: caching of answers is the collateral's
		t.Errorf("%d requests, want 8", n)
	}
	// A forged quote costs no request.
	s.after = func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte {
		col, c.ByRequest = c, true
		q[200] ^= 1
		return q
	}
	s.check(t, "class signature")
	if n := col.Requests(); n != 0 {
		t.Errorf("%d requests for a forged quote", n)
	}
}

// A root of the simulator is no anchor unless it is configured, and what was verified under one set of anchors is not
// verified under another.
func TestAnchors(t *testing.T) {
	s := setup{tdx: true}
	ev, env := s.build(t)
	d := s.driver(t)
	if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
		t.Fatal(err)
	}
	env.Anchors, env.Collateral = evidence.BuiltinAnchors(), nil // the chain alone must be refused, before anything is missing
	if _, err := d.Authenticate(context.Background(), ev, env); !fault.Is(err, fault.Signature) {
		t.Errorf("under the built-in anchors: %v", err)
	}
}
