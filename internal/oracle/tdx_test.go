package oracle

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tdx-guest/pcs"
	"github.com/google/go-tdx-guest/verify"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
)

// tdxCase is a row of the oracle of Intel's own library: a TDX quote, collateral, and an instant at which all is valid.
type tdxCase struct {
	name, status  string
	quote         []byte
	tcb, identity []byte
	pckCRL, root  []byte
	chain         []byte
	at            time.Time
}

func tdxCases(tb testing.TB) (out []tdxCase) {
	tb.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is not set: nothing to compare")
	}
	dir = filepath.Join(dir, "intel")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	lines := strings.Split(strings.TrimSpace(string(read("oracle.tsv"))), "\n")
	col := map[string]int{}
	for i, n := range strings.Split(lines[0], "\t") {
		col[n] = i
	}
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		get := func(n string) string { return f[col[n]] }
		if get("full_run") != "yes" || !strings.Contains(get("quote"), "tdx") {
			continue
		}
		at, err := time.Parse(time.RFC3339, get("coherent_at"))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, tdxCase{name: filepath.Base(get("quote")) + " " + filepath.Base(get("tcb_info")), status: get("intel_qvl_status"),
			quote: read(get("quote")), tcb: read(get("tcb_info")), identity: read(get("identity")), pckCRL: read(get("pck_crl")), root: read(get("root_crl")),
			chain: read(get("tcb_signing_chain")), at: at})
	}
	return out
}

// Get implements go-tdx-guest's trust.HTTPSGetter: PCS from files.
func (c *tdxCase) Get(u string) (map[string][]string, []byte, error) {
	chain := []string{url.QueryEscape(strings.ReplaceAll(strings.TrimSpace(string(c.chain))+"\n", "\r", ""))}
	switch {
	case strings.Contains(u, "/tcb?"):
		return map[string][]string{pcs.TcbInfoIssuerChainPhrase: chain}, c.tcb, nil
	case strings.Contains(u, "/qe/identity"):
		return map[string][]string{pcs.SgxQeIdentityIssuerChainPhrase: chain}, c.identity, nil
	case strings.Contains(u, "/pckcrl"):
		return map[string][]string{pcs.SgxPckCrlIssuerChainPhrase: {c.caChain()}}, c.pckCRL, nil
	case strings.Contains(u, "IntelSGXRootCA"):
		return nil, c.root, nil
	}
	return nil, nil, fmt.Errorf("no answer for %s", u)
}

// caChain takes the certificates of CA and root out of the quote.
func (c *tdxCase) caChain() string {
	i := strings.Index(string(c.quote), "-----BEGIN CERTIFICATE-----")
	text := strings.TrimRight(string(c.quote[i:]), "\x00")
	_, text, _ = strings.Cut(text, "-----END CERTIFICATE-----\n")
	end := strings.LastIndex(text, "-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----\n")
	return url.QueryEscape(text[:min(end, len(text))])
}

func (c *tdxCase) theirs() *verify.Options {
	return &verify.Options{CheckRevocations: true, GetCollateral: true, Getter: c,
		Now: &verify.TimeSet{PckCertChain: c.at, TcbInfo: c.at, QeIdentity: c.at, PckCrl: c.at, RootCaCrl: c.at}}
}

type tdxGiven [][]byte

func (g tdxGiven) Given() [][]byte { return g }

func (g tdxGiven) Get(context.Context, evidence.Request) (evidence.Response, error) {
	return evidence.Response{}, fault.New(fault.Unavailable, "offline")
}

func (c *tdxCase) ours() evidence.Env {
	return evidence.Env{Time: c.at, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors(),
		Collateral: tdxGiven{c.tcb, c.identity, c.pckCRL, c.root, c.chain}}
}

// go-tdx-guest accepts or refuses; we give a status. It must accept exactly what is UpToDate, but for one deviation that
// is known (evidence-intel.md section 25): for a TDX module of version 1 and above it computes the level of the platform
// and drops it, and so accepts platforms that Intel's library, whose answer each row carries, calls out of date.
func TestTDXAgreesWithGoTDXGuest(t *testing.T) {
	d, err := tdx.New(tdx.Config{})
	if err != nil {
		t.Fatal(err)
	}
	agree, dropped := 0, 0
	for _, c := range tdxCases(t) {
		v, ourErr := d.Authenticate(context.Background(), evidence.Evidence{Data: c.quote}, c.ours())
		status := "refused"
		if ourErr == nil {
			s, _ := v.Claims().Get("tcb_status")
			status = s.Text()
		}
		theirErr := verify.RawTdxQuote(c.quote, c.theirs())
		switch {
		case (theirErr == nil) == (status == "UpToDate"):
			agree++
		case theirErr == nil && status == "OutOfDate" && c.status == "TCB_OUT_OF_DATE" && c.quote[48+1] > 0:
			dropped++
		default:
			t.Errorf("%s: ours %s (%v), theirs %v, Intel's library %s", c.name, status, ourErr, theirErr, c.status)
		}
	}
	t.Logf("%d rows agree; in %d go-tdx-guest drops the platform's level, where Intel's library agrees with us", agree, dropped)
	if agree == 0 {
		t.Error("nothing was compared")
	}
}

// Inputs that make its parser panic are refused by ours (evidence-intel.md section 25).
func TestTDXInputsThatPanicElsewhere(t *testing.T) {
	cases := tdxCases(t)
	base := cases[0].quote
	d, err := tdx.New(tdx.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, edit := range []string{"632:00000000", "632:40000000", "1218:ffff", "1254:00000000"} {
		at, val, _ := strings.Cut(edit, ":")
		var off int
		if _, err := fmt.Sscan(at, &off); err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(val)
		if err != nil {
			t.Fatal(err)
		}
		q := append([]byte(nil), base...)
		copy(q[off:], b)
		if _, err := d.Authenticate(context.Background(), evidence.Evidence{Data: q}, cases[0].ours()); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", edit, err)
		}
	}
}

// The same quote and collateral, side by side: ours with caches warm and cold, theirs, which has none.
func BenchmarkTDX(b *testing.B) {
	c := tdxCases(b)[0]
	for _, o := range tdxCases(b) {
		if o.status == "OK" {
			c = o
			break
		}
	}
	var theirs time.Duration
	b.Run("go-tdx-guest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := verify.RawTdxQuote(c.quote, c.theirs()); err != nil {
				b.Fatal(err)
			}
		}
		theirs = b.Elapsed() / time.Duration(b.N)
	})
	run := func(b *testing.B, driver func() *tdx.Driver) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := driver().Authenticate(context.Background(), evidence.Evidence{Data: c.quote}, c.ours()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(theirs)/(float64(b.Elapsed())/float64(b.N)), "x-peer")
	}
	fresh := func() *tdx.Driver {
		d, err := tdx.New(tdx.Config{})
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	b.Run("ours, cold", func(b *testing.B) { run(b, fresh) })
	d := fresh()
	b.Run("ours, warm", func(b *testing.B) { run(b, func() *tdx.Driver { return d }) })
}
