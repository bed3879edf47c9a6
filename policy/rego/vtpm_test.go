package rego_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/azvtpm"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/simulator"
)

var azureKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// azure appraises a simulated guest of Azure against what is expected of it.
func azure(t *testing.T, edit func(*simulator.AzureGuest), expect map[string][]byte) *appraise.Appraisal {
	t.Helper()
	amd, err := world()
	if err != nil {
		t.Fatal(err)
	}
	chip, err := amd.ChipWithID(simulator.Milan, [64]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	g := simulator.AzureGuest{Report: chip.NewReport(), Nonce: []byte("a nonce of sixteen or more"), Version: 2}
	g.Report.Measurement = image
	if g.AK, err = azureKey(); err != nil {
		t.Fatal(err)
	}
	copy(g.UserData[:], g.Nonce)
	for _, n := range []int{0, 1, 4, 7, 9, 11} {
		g.PCRs[n][0] = byte(n + 1)
	}
	if edit != nil {
		edit(&g)
	}
	data, err := chip.Azure(g)
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := evidence.NewAnchors(amd.Anchors())
	if err != nil {
		t.Fatal(err)
	}
	bind, err := evidence.ExpectFit(g.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	cpu, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := azvtpm.NewSNP(azvtpm.Config{CPU: cpu})
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: data}, evidence.Env{Time: now, Binding: bind, Anchors: anchors})
	if err != nil {
		t.Fatal(err)
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	var list []endorse.Expectation
	for name, value := range expect {
		list = append(list, endorse.Expectation{Name: name, Values: [][]byte{value}})
	}
	if len(list) > 0 {
		if err := b.Local("local operator", "", list); err != nil {
			t.Fatal(err)
		}
	}
	a, err := appraise.Appraise([]appraise.Input{{Verified: v}}, b.Set())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pcr(n int) []byte { b := make([]byte, 32); b[0] = byte(n + 1); return b }

// The paravisor must be vouched for by its measurement, the guest by its PCRs; neither stands for the other.
func TestAzureRules(t *testing.T) {
	all := func() map[string][]byte {
		return map[string][]byte{"measurement": image[:], "pcr04": pcr(4), "pcr09": pcr(9), "pcr11": pcr(11)}
	}
	without := func(names ...string) map[string][]byte {
		m := all()
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	for _, tc := range []struct {
		name   string
		edit   func(*simulator.AzureGuest)
		params func(*rego.TPM)
		expect map[string][]byte
		tier   claim.Tier
		codes  string
	}{
		{"as wanted", nil, nil, all(), claim.TierAffirming, ""},
		{"paravisor not vouched for", nil, nil, without("measurement"), claim.TierWarning, "not-vouched"},
		{"boot loader not vouched for", nil, nil, without("pcr04"), claim.TierWarning, "not-vouched"},
		{"UKI not vouched for", nil, nil, without("pcr11"), claim.TierWarning, "not-vouched"},
		{"UKI does not count", nil, func(p *rego.TPM) { p.LaunchPCRs = []uint32{4, 9} }, without("pcr11"), claim.TierAffirming, ""},
		{"command line was extended", func(g *simulator.AzureGuest) { g.PCRs[12][5] = 1 }, nil, all(), claim.TierWarning, "not-vouched"},
		{"debug", func(g *simulator.AzureGuest) { g.Report.Policy |= 1 << 19 }, nil, all(), claim.TierContraindicated, "debug debug debug"},
		{"VMPL 2", func(g *simulator.AzureGuest) { g.Report.VMPL = 2 }, nil, all(), claim.TierContraindicated, "vmpl"},
		{"no user-data", func(g *simulator.AzureGuest) { g.UserData = [64]byte{} }, nil, all(), claim.TierWarning, "user-data"},
		{"no user-data allowed", func(g *simulator.AzureGuest) { g.UserData = [64]byte{} }, func(p *rego.TPM) { p.AllowZeroUserData = true }, all(), claim.TierAffirming, ""},
		{"Secure Boot asked for", nil, func(p *rego.TPM) { p.RequireSecureBoot = true }, all(), claim.TierAffirming, ""},
		{"VM not in the register", nil, func(p *rego.TPM) { p.VMAllow = []string{"x"} }, all(), claim.TierContraindicated, "vm-unknown"},
		{"VM in the register", nil, func(p *rego.TPM) { p.VMAllow = []string{"00000000-0000-4000-8000-53494D554C41"} }, all(), claim.TierAffirming, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := insecure(nil)
			if tc.params != nil {
				tc.params(&p.TPM)
			}
			a := azure(t, tc.edit, tc.expect)
			c := decide(t, p, a, policy.Acceptable())
			got := strings.Join(strings.Fields(strings.ReplaceAll(codes(c), "simulator-root", "")), " ")
			if c.Tier != tc.tier || got != tc.codes {
				t.Errorf("%v %q, want %v %q: %s", c.Tier, got, tc.tier, tc.codes, fmt.Sprintf("%+v", c.Reasons))
			}
			if rel := decide(t, p, a, policy.MayHave("a/b/c")); rel.Allow != (tc.tier == claim.TierAffirming) {
				t.Errorf("release allowed: %v", rel.Allow)
			}
		})
	}
}
