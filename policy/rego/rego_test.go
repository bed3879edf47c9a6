package rego

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/policy"
)

var at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// guest is SNP evidence that the built-in policy affirms; change breaks it.
func guest(t testing.TB, change func(*evidencetest.Content, *appraise.Attester)) *appraise.Attester {
	t.Helper()
	c := evidencetest.Content{
		TEE: "snp", Product: "Milan", Time: at,
	}
	c.Root.Name, c.Root.BuiltIn = "ARK-Milan", true
	c.Binding.Bound, c.Binding.Field, c.Binding.Value = true, "REPORT_DATA", make([]byte, 64)
	src := &endorse.Source{Kind: "corim", ID: "image-1", Signer: "image builder", Anchor: "builder.pem"}
	a := &appraise.Attester{Label: "snp", Trail: []appraise.Entry{
		{Attester: "snp", Claim: "measurement", Value: strings.Repeat("ab", 48), Accepted: true, Vouchers: []appraise.Voucher{{Source: src, Relation: "reference-value"}}},
		{Attester: "snp", Claim: "vmpl", Value: "0"},
	}}
	claims := snpClaims()
	c.Claims = func() claim.Object { return claims }
	if change != nil {
		change(&c, a)
	}
	a.Evidence = evidencetest.New(t, c)
	return a
}

func snpClaims() claim.Object {
	tcb := claim.O(claim.Member{Name: "bootloader", Value: claim.U(4)}, claim.Member{Name: "tee", Value: claim.U(0)},
		claim.Member{Name: "snp", Value: claim.U(24)}, claim.Member{Name: "microcode", Value: claim.U(219)})
	fw := claim.S("1.55.29")
	o := claim.Object{
		{Name: "version", Value: claim.U(3)}, {Name: "guest_svn", Value: claim.U(0)},
		{Name: "policy", Value: claim.O(claim.Member{Name: "debug", Value: claim.B(false)}, claim.Member{Name: "migrate_ma", Value: claim.B(false)},
			claim.Member{Name: "smt", Value: claim.B(true)}, claim.Member{Name: "single_socket", Value: claim.B(false)})},
		{Name: "vmpl", Value: claim.U(0)}, {Name: "measurement", Value: claim.H([]byte(strings.Repeat("\xab", 48)))},
		{Name: "report_id_ma", Value: claim.H([]byte(strings.Repeat("\xff", 32)))},
		{Name: "chip_id", Value: claim.H([]byte(strings.Repeat("\x11", 64)))},
		{Name: "reported_tcb", Value: tcb}, {Name: "current_tcb", Value: tcb}, {Name: "committed_tcb", Value: tcb}, {Name: "launch_tcb", Value: tcb},
		{Name: "current_version", Value: fw}, {Name: "committed_version", Value: fw},
	}
	return o
}

func set(o claim.Object, name string, v claim.Node) claim.Object {
	out := append(claim.Object(nil), o...)
	for i := range out {
		if out[i].Name == name {
			out[i].Value = v
			return out
		}
	}
	return append(out, claim.Member{Name: name, Value: v})
}

func decide(t testing.TB, p *Policy, q policy.Question, as ...*appraise.Attester) policy.Content {
	t.Helper()
	c, err := p.decide(context.Background(), at, as, q)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBuiltinAffirmsAndSaysWhyNot(t *testing.T) {
	p, err := Builtin(Params{})
	if err != nil {
		t.Fatal(err)
	}
	c := decide(t, p, policy.Acceptable(), guest(t, nil))
	if c.Tier != claim.TierAffirming || len(c.Reasons) != 0 {
		t.Errorf("%v %+v", c.Tier, c.Reasons)
	}
	c = decide(t, p, policy.MayHave("a/b/c"), guest(t, nil))
	if !c.Allow {
		t.Error("release refused")
	}
}

func BenchmarkBuiltin(b *testing.B) {
	p, err := Builtin(Params{})
	if err != nil {
		b.Fatal(err)
	}
	g := []*appraise.Attester{guest(b, nil)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.decide(context.Background(), at, g, policy.Acceptable()); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkInput(b *testing.B) {
	p, err := Builtin(Params{})
	if err != nil {
		b.Fatal(err)
	}
	g := []*appraise.Attester{guest(b, nil)}
	b.ReportAllocs()
	for b.Loop() {
		input(at, g, policy.Acceptable(), p.params)
	}
}
