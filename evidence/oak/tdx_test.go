package oak_test

import (
	"crypto/sha512"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/protox"
	"github.com/assay-tee/assay/simulator/intel"
)

// On TDX nothing is signed but the quote: RTMR2 must be what the events give, and all that would need a certificate is
// refused.
func TestTDX(t *testing.T) {
	w := must[*intel.World](t)(intel.New(intel.Config{Clock: func() time.Time { return now }}))
	m := must[*intel.Machine](t)(w.NewMachine(intel.MachineConfig{}))
	env := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](t)(evidence.NewAnchors(w.Anchors())),
		Collateral: must[*intel.Collateral](t)(m.Collateral(true, intel.CollateralOptions{}))}
	session := newLayer(t)
	events := [][]byte{stage0Event(), event("session", "SessionBindingPublicKeyData", protox.AppendBytes(nil, 1, session.point))}
	var rtmr [48]byte
	for _, e := range events {
		sum := sha512.Sum384(e)
		rtmr = sha512.Sum384(append(rtmr[:], sum[:]...))
	}
	build := func(td intel.TD, change func(*machine)) evidence.Evidence {
		td.RTMR[2] = rtmr
		quote := must[[]byte](t)(m.TDQuote(td, intel.BodyTD10, intel.QuoteOptions{}))
		o := &machine{platform: 2, report: append(quote, make([]byte, 8000-min(len(quote), 8000))...), events: slices.Clone(events)}
		if change != nil {
			change(o)
		}
		root := protox.AppendBytes(protox.AppendUint(nil, 1, o.platform), 2, o.report)
		var log []byte
		for _, e := range o.events {
			log = protox.AppendBytes(log, 2, e)
		}
		b := protox.AppendBytes(nil, 1, root)
		for _, l := range o.layers {
			b = protox.AppendBytes(b, 2, protox.AppendBytes(nil, 1, l))
		}
		return evidence.Evidence{Data: protox.AppendBytes(b, 4, log)}
	}
	d := newDriver(t, oak.Config{})
	bound := env
	bound.Binding = must[evidence.Binding](t)(evidence.ExpectExact(session.point))
	v := check(t, d, build(intel.TD{}, nil), bound, "")
	if len(v.Parts()) != 1 || v.Parts()[0].Verified.TEE() != "tdx" || claimText(t, v, "kernel") == "" || claimText(t, v, "certificate_aad") != `"no certificates"` {
		t.Errorf("parts %v", v.Parts())
	}
	for name, tc := range map[string]struct {
		class  string
		td     intel.TD
		change func(*machine)
	}{
		"an event less":          {"binding", intel.TD{}, func(o *machine) { o.events = o.events[:1] }},
		"an event more":          {"binding", intel.TD{}, func(o *machine) { o.events = append(o.events, o.events[1]) }},
		"another order":          {"binding", intel.TD{}, func(o *machine) { o.events[0], o.events[1] = o.events[1], o.events[0] }},
		"another event":          {"binding", intel.TD{}, func(o *machine) { o.events[1] = event("x", "ApplicationLayerData", nil) }},
		"report data":            {"binding", intel.TD{ReportData: [64]byte{1}}, nil},
		"RTMR0":                  {"binding", intel.TD{RTMR: [4][48]byte{{1}}}, nil},
		"RTMR3":                  {"binding", intel.TD{RTMR: [4][48]byte{3: {1}}}, nil},
		"a layer":                {"malformed", intel.TD{}, func(o *machine) { o.layers = containers(t, nil).layers }},
		"no padding":             {"malformed", intel.TD{}, func(o *machine) { o.report[len(o.report)-1] = 1 }},
		"a bit of the TD report": {"signature", intel.TD{}, func(o *machine) { o.report[100] ^= 1 }},
	} {
		t.Run(name, func(t *testing.T) { check(t, d, build(tc.td, tc.change), env, tc.class) })
	}
}
