package tdx_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
)

func load(tb testing.TB, path ...string) []byte {
	tb.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is unset: the tests on real quotes and collateral are left out")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

type given [][]byte

func (g given) Given() [][]byte { return g }

func (g given) Get(_ context.Context, r evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "%s is not at hand", r.Path)
}

// kbsEvidence is what a Trustee guest sends.
func kbsEvidence(tb testing.TB, quote, log []byte) []byte {
	tb.Helper()
	o := map[string]any{"quote": quote, "cc_eventlog": nil} // []byte is base64 in JSON
	if log != nil {
		o["cc_eventlog"] = base64.StdEncoding.EncodeToString(log)
	}
	b, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func env(tb testing.TB, at string, files ...string) evidence.Env {
	tb.Helper()
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		tb.Fatal(err)
	}
	g := given{}
	for _, f := range files {
		g = append(g, load(tb, "intel", f))
	}
	return evidence.Env{Time: t, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors(), Collateral: g}
}

// The claims of a real quote contain, under Trustee's names, exactly what Trustee gives for it.
func TestTrusteeClaims(t *testing.T) {
	d, err := tdx.New(tdx.Config{})
	if err != nil {
		t.Fatal(err)
	}
	quote := load(t, "trustee", "tdx", "tdx_quote_4.dat")
	e := env(t, "2026-03-31T12:00:00Z", "tcbinfo/tdx-50806f000000-v3-e18-20260316.json", "identity/td_qe-e18-20260316.json",
		"crl/pck-platform-20260316.der", "crl/root-20260226.der", "chains/tcb-signing-2025-2032.pem")
	v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: kbsEvidence(t, quote, nil)}, e)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v.Claims())
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(load(t, "trustee", "tdx", "parse_tdx_claims_expected.json"), &want); err != nil {
		t.Fatal(err)
	}
	delete(want, "uefi_event_logs") // of a log that does not belong to the quote
	// td_attributes has more bits here than there.
	attrs := map[string]any{}
	for k := range want["td_attributes"].(map[string]any) {
		attrs[k] = got["td_attributes"].(map[string]any)[k]
	}
	got["td_attributes"] = attrs
	for k := range want {
		if diff := cmp.Diff(want[k], got[k]); diff != "" {
			t.Errorf("%s (-Trustee +ours)\n%s", k, diff)
		}
	}
	// The same quote with the log of another machine.
	_, err = d.Authenticate(context.Background(), evidence.Evidence{Data: kbsEvidence(t, quote, load(t, "trustee", "eventlog", "CCEL_data"))}, e)
	if !fault.Is(err, fault.Binding) {
		t.Errorf("log of another machine: %v", err)
	}
}

// A quote, the boot log of the same guest, and the collateral of its platform, all real and all at once: everything that
// is in the folder is handed over, and what is valid at the time is found.
func TestRealGuestWithItsLog(t *testing.T) {
	d, err := tdx.New(tdx.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, pattern := range []string{"tcbinfo/*.json", "identity/*.json", "crl/*.der", "chains/tcb-*.pem"} {
		load(t, "intel", "MANIFEST.json") // skips without vectors
		found, err := filepath.Glob(filepath.Join(os.Getenv("ASSAY_VECTORS"), "intel", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(filepath.Join(os.Getenv("ASSAY_VECTORS"), "intel"), f)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, rel)
		}
	}
	e := env(t, "2026-06-12T12:00:00Z", files...)
	quote, log := load(t, "eventlog", "tdx_quote_live.dat"), load(t, "eventlog", "tdx_ccel_live2.dat")
	v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: quote, EventLog: log}, e)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(at(t, v, "boot", "events").List()); n != 20 {
		t.Errorf("%d events", n)
	}
	if n := at(t, v, "trailing_bytes").Uint(); n != 307 {
		t.Errorf("%d trailing bytes", n)
	}
	forged := append(log[:2120:2120], 9, 0, 0, 0, 3, 0, 0, 0x80, 1, 0, 0, 0, 0x0c, 0)
	forged = append(append(forged, make([]byte, 48)...), 4, 0, 0, 0, 'e', 'v', 'i', 'l')
	for name, l := range map[string][]byte{"the log of another boot": load(t, "eventlog", "tdx_ccel_live.bin"), "an event at a register that does not exist": forged} {
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: quote, EventLog: l}, e); !fault.Is(err, fault.Binding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
