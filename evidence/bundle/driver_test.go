package bundle_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/bundle"
	"github.com/assay-tee/assay/evidence/drivertest"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var world = sync.OnceValues(func() (*simulator.AMD, error) {
	return simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: simulator.Products(), KeyBits: 2048})
})

var nonce = [64]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

const snpType = "application/vnd.assay.snp-report"

// report is a record of evidence and one with its certificate.
func report(t testing.TB, p simulator.Product, data [64]byte) (ev, cert bundle.Item) {
	t.Helper()
	c := must[*simulator.Chip](t)(must[*simulator.AMD](t)(world()).NewChip(p))
	r := c.NewReport()
	r.ReportData = data
	rec := func(label, typ string, v []byte, ind uint8) bundle.Item {
		return bundle.Item{Label: label, CMW: &bundle.CMW{Record: &bundle.Record{Type: typ, Value: v, Ind: ind}}}
	}
	return rec("cpu", snpType, must[[]byte](t)(c.Report(r)), bundle.Evidence), rec("collateral:0", "application/pkix-cert", must[[]byte](t)(c.VCEKWith(r.ReportedTCB, simulator.VEKOptions{})), bundle.Endorsements)
}

func newDriver(t testing.TB) *bundle.Driver {
	t.Helper()
	s := must[*snp.Driver](t)(snp.New(snp.Config{}))
	return must[*bundle.Driver](t)(bundle.New(bundle.Config{For: func(ev evidence.Evidence) (evidence.Driver, error) {
		if _, ok := snp.Detect(ev.Data); ev.TEE == snp.Name || ev.TEE == "" && ok {
			return s, nil
		}
		return nil, fault.New(fault.Unsupported, "no driver for %q", ev.TEE)
	}}))
}

func env(t testing.TB) evidence.Env {
	t.Helper()
	a := must[*evidence.Anchors](t)(evidence.NewAnchors(must[*simulator.AMD](t)(world()).Anchors()))
	return evidence.Env{Time: now, Anchors: a, Binding: must[evidence.Binding](t)(evidence.ExpectExact(nonce[:]))}
}

func collection(items ...bundle.Item) *bundle.CMW {
	for i := range items {
		items[i].Label = string(rune('a' + i))
	}
	return &bundle.CMW{Items: items}
}

func TestSuite(t *testing.T) {
	ev, cert := report(t, simulator.Genoa, nonce)
	c := collection(ev, cert)
	for name, data := range map[string][]byte{"CBOR": c.AppendCBOR(nil), "JSON": must[[]byte](t)(c.MarshalJSON())} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Suite{New: func(tb testing.TB) evidence.Driver { return newDriver(tb) }, Evidence: evidence.Evidence{Data: data}, Env: env(t), Step: 11})
		})
	}
}

// Several attesters are one result: the lead and its parts, under labels that no sender chooses.
func TestLeadAndParts(t *testing.T) {
	ev, cert := report(t, simulator.Genoa, nonce)
	ev2, cert2 := report(t, simulator.Milan, nonce)
	ev2.CMW.Record.Ind = 0
	unknown := bundle.Item{CMW: &bundle.CMW{Record: &bundle.Record{Type: "application/vnd.nobody", Value: []byte("?")}}}
	results := bundle.Item{CMW: &bundle.CMW{Record: &bundle.Record{Type: "application/eat+jwt", Value: []byte("?"), Ind: bundle.AttestationResults}}}
	inner := bundle.Item{CMW: collection(ev2)}
	foreign, foreignCert := report(t, simulator.Genoa, [64]byte{9})
	for _, tc := range []struct {
		name, class string
		c           *bundle.CMW
		parts       int
		incomplete  bool
	}{
		{"one", "", collection(ev, cert), 0, false},
		{"two", "", collection(ev, cert, ev2, cert2), 1, false},
		{"nested", "", collection(ev, cert, inner, cert2), 1, false},
		{"of an unknown type", "", collection(ev, cert, unknown), 0, true},
		{"with results", "", collection(ev, cert, results), 0, true},
		{"of another session", "binding", collection(ev, cert, foreign, foreignCert), 0, false},
		{"nothing known", "unsupported", collection(unknown), 0, false},
		{"evidence said to be endorsements", "unsupported", collection(bundle.Item{CMW: &bundle.CMW{Record: &bundle.Record{Type: snpType, Value: ev.CMW.Record.Value, Ind: bundle.Endorsements}}}), 0, false},
		{"without certificates", "unavailable", collection(ev), 0, false},
		{"of no driver", "unsupported", collection(ev, cert, bundle.Item{CMW: &bundle.CMW{Record: &bundle.Record{Type: "application/vnd.assay.xyz-report", Value: []byte("x")}}}), 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := tc.c.AppendCBOR(nil)
			v, err := newDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: data}, env(t))
			if tc.class != "" {
				if fault.ClassOf(err).String() != tc.class {
					t.Fatalf("%v, want class %s", err, tc.class)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := bundle.Detect(data); !ok {
				t.Error("not recognised")
			}
			if v.TEE() != "snp" || len(v.Parts()) != tc.parts || slices.Contains(v.Notes(), bundle.NoteIncomplete) != tc.incomplete {
				t.Errorf("%s, %d parts, %v", v.TEE(), len(v.Parts()), v.Notes())
			}
			for _, p := range v.Parts() {
				if p.Label != "snp-2" {
					t.Errorf("label %q", p.Label)
				}
			}
			b := must[*endorse.Builder](t)(endorse.NewBuilder(endorse.Config{Time: now}))
			a := must[*appraise.Appraisal](t)(appraise.Appraise([]appraise.Input{{Verified: v}}, b.Set()))
			if len(a.Attesters()) != tc.parts+1 {
				t.Errorf("%d attesters", len(a.Attesters()))
			}
		})
	}
}

// Tokens inside an unsecured EAT claims set are members; the set itself says nothing.
func TestSubmodsOfEAT(t *testing.T) {
	ev, cert := report(t, simulator.Genoa, nonce)
	mods := cborx.AppendMap(nil, 1)
	mods = cborx.AppendBytes(cborx.AppendText(mods, "machine"), ev.CMW.Record.Value)
	set := append(cborx.AppendUint(cborx.AppendMap(nil, 1), 266), mods...)
	c := collection(bundle.Item{CMW: &bundle.CMW{Record: &bundle.Record{Type: "application/eat-ucs+cbor", Value: set}}}, cert)
	v := must[*evidence.Verified](t)(newDriver(t).Authenticate(context.Background(), evidence.Evidence{Data: c.AppendCBOR(nil)}, env(t)))
	if v.TEE() != "snp" || len(v.Notes()) != 0 {
		t.Errorf("%s %v", v.TEE(), v.Notes())
	}
}

func TestDriverNeedsMembers(t *testing.T) {
	if _, err := bundle.New(bundle.Config{}); !fault.Is(err, fault.Usage) {
		t.Errorf("%v", err)
	}
}
