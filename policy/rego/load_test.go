package rego_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

func load(t testing.TB, p rego.Params, texts ...string) policy.Policy {
	t.Helper()
	pol, err := rego.Load(modules(texts...), p)
	if err != nil {
		t.Fatal(err)
	}
	return pol
}

func modules(texts ...string) (out []rego.Module) {
	for i, s := range texts {
		out = append(out, rego.Module{Name: "dir/policy " + string(rune('a'+i)) + ".rego", Text: s})
	}
	return out
}

func ask(t testing.TB, p policy.Policy, m machine, q policy.Question) policy.Content {
	t.Helper()
	d, err := p.Decide(context.Background(), m.appraise(t), q)
	if err != nil {
		t.Fatal(err)
	}
	return d.Content()
}

func ask2(t testing.TB, p policy.Policy, a *appraise.Appraisal) policy.Content {
	t.Helper()
	d, err := p.Decide(context.Background(), a, policy.Acceptable())
	if err != nil {
		t.Fatal(err)
	}
	return d.Content()
}

const generous = `package assay
assertion contains {"attester": a.label, "member": m, "value": 2} if {
	some a in input.attesters
	some m in ["hardware", "executables"]
}
allow if input.verdict.status == "affirming"`

func TestOwnPolicies(t *testing.T) {
	quarantine := `package assay.extra
deny contains "this machine is in quarantine" if input.attesters[_].claims.guest_svn == 0`
	onlyOnce := `package assay.extra
import data.lib.limits
finding contains {"attester": a.label, "status": "warning", "code": "vouchers", "what": "too few vouchers"} if {
	some a in input.attesters
	count(a.trail.measurement.vouchers) < limits.vouchers
}`
	library := `package lib.limits
vouchers := 2`
	stranger := machine{nothing: true}
	for _, tc := range []struct {
		name  string
		texts []string
		m     machine
		tier  claim.Tier
		codes string
		ids   int
	}{
		{"none: the built-in one", nil, machine{}, claim.TierAffirming, "simulator-root", 1},
		{"a whole policy takes its place", []string{generous}, stranger, claim.TierAffirming, "", 1},
		{"denial on top of the built-in one", []string{quarantine}, machine{}, claim.TierContraindicated, "denied-by-policy simulator-root", 1},
		{"finding on top, with a library", []string{onlyOnce, library}, machine{}, claim.TierWarning, "vouchers simulator-root", 1},
		{"both: the worst counts", []string{generous, quarantine}, stranger, claim.TierContraindicated, "denied-by-policy not-vouched simulator-root", 2},
		{"two whole policies", []string{generous, strings.Replace(generous, `"value": 2`, `"value": 40`, 1)}, stranger, claim.TierWarning, "", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := load(t, insecure(nil), tc.texts...)
			c := ask(t, p, tc.m, policy.Acceptable())
			if c.Tier != tc.tier || codes(c) != tc.codes || len(c.PolicyIDs) != tc.ids {
				t.Errorf("%v %q %v, want %v %q", c.Tier, codes(c), c.PolicyIDs, tc.tier, tc.codes)
			}
			if rel := ask(t, p, tc.m, policy.MayHave("a/b/c")); rel.Allow != (tc.tier == claim.TierAffirming) {
				t.Errorf("release allowed: %v", rel.Allow)
			}
		})
	}
}

// The id covers everything that the decision depends on.
func TestIDCoversTextAndParameters(t *testing.T) {
	seen := map[string]string{}
	for name, p := range map[string]policy.Policy{
		"built-in": load(t, rego.Params{}), "other parameters": load(t, insecure(nil)), "extra": load(t, rego.Params{}, "package assay.extra\ndeny contains \"no\" if false"),
		"own": load(t, rego.Params{}, generous), "own, other text": load(t, rego.Params{}, generous+"\n"),
	} {
		id := p.ID()
		if other, dup := seen[id]; dup || !strings.HasPrefix(id, "urn:assay:policy:") {
			t.Errorf("%s and %s: %s", name, other, id)
		}
		seen[id] = name
	}
}

func TestPoliciesThatAreRefused(t *testing.T) {
	body := func(s string) string {
		return "package assay\nassertion contains {\"attester\": a.label, \"member\": \"hardware\", \"value\": 2} if some a in input.attesters\n" + s
	}
	for name, text := range map[string]string{
		"empty": "", "no rego": "hello", "v0 syntax": "package assay\nassertion[x] { x := 1 }",
		"asserts nothing": "package assay\nallow if true", "package of ours": "package assay.inner\nx := 1",
		"network": body(`x := http.send({"method": "get", "url": "http://127.0.0.1"})`), "resolver": body(`x := net.lookup_ip_addr("localhost")`),
		"environment": body(`x := opa.runtime()`), "clock": body(`x := time.now_ns()`), "dice": body(`x := rand.intn("a", 5)`),
		"large lists": body(`x := numbers.range(1, 1000000000)`), "signing": body(`x := io.jwt.encode_sign({}, {}, {})`),
		"unused variable": body("x if { y := 1 }"), "unsafe variable": body("x contains y"),
		"remote schema": body(`x := json.match_schema({}, {"$ref": "http://127.0.0.1"})`),
	} {
		if _, err := rego.Load(modules(text), rego.Params{}); !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := rego.Load(modules(body("x := \""+strings.Repeat("a", 1<<20)+"\"")), rego.Params{}); !fault.Is(err, fault.Policy) {
		t.Errorf("too large: %v", err)
	}
}

// What a policy says and nobody can understand is an error, never a finding that gets lost.
func TestStatementsThatAreRefused(t *testing.T) {
	a := machine{}.appraise(t)
	for name, rule := range map[string]string{
		"unknown attester":       `finding contains {"attester": "nobody", "code": "x", "what": "x"}`,
		"unknown member":         `finding contains {"attester": "snp", "member": "hardwear", "value": 96, "code": "x", "what": "x"}`,
		"misspelt key":           `finding contains {"attester": "snp", "membre": "hardware", "value": 96, "code": "x", "what": "x"}`,
		"value too large":        `finding contains {"attester": "snp", "member": "hardware", "value": 128, "code": "x", "what": "x"}`,
		"value with fraction":    `finding contains {"attester": "snp", "member": "hardware", "value": 96.5, "code": "x", "what": "x"}`,
		"value is text":          `finding contains {"attester": "snp", "member": "hardware", "value": "96", "code": "x", "what": "x"}`,
		"value without member":   `finding contains {"attester": "snp", "value": 96, "code": "x", "what": "x"}`,
		"finding that affirms":   `finding contains {"attester": "snp", "member": "hardware", "value": 2, "code": "x", "what": "x"}`,
		"unknown status":         `finding contains {"attester": "snp", "status": "bad", "code": "x", "what": "x"}`,
		"finding without text":   `finding contains {"attester": "snp", "code": "x"}`,
		"assertion about nobody": `assertion contains {"member": "hardware", "value": 2}`,
		"list":                   `finding contains ["debug"]`,
		"error while evaluating": `finding contains {"attester": "snp", "code": "x", "what": sprintf("%d", [to_number(input.time)])}`,
		"conflict":               "x := 1 if input.time\nx := 2 if input.time_unix\nfinding contains {\"attester\": \"snp\", \"code\": \"x\", \"what\": sprintf(\"%d\", [x])}",
		"too many":               `finding contains {"attester": "snp", "code": sprintf("%d%d%d", [i, j, k]), "what": "x"} if { some i in d; some j in d; some k in d }` + "\nd := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
	} {
		text := generous + "\n" + rule
		p, err := rego.Load(modules(text), rego.Params{})
		if err != nil {
			t.Errorf("%s: does not compile: %v", name, err)
			continue
		}
		if _, err := p.Decide(context.Background(), a, policy.Acceptable()); !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A policy that does not end is stopped, and that counts as no.
func TestTimeLimit(t *testing.T) {
	slow := generous + `
d := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
finding contains {"attester": "snp", "code": "x", "what": "x"} if {
	some a in d; some b in d; some c in d; some e in d; some f in d; some g in d; some h in d; some i in d
	a + b + c + e + f + g + h + i == 1000
}`
	p, err := rego.Compile(rego.Config{Name: "slow", Modules: modules(slow), Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	a := machine{}.appraise(t)
	if _, err := p.Decide(context.Background(), a, policy.Acceptable()); !fault.Is(err, fault.Policy) {
		t.Errorf("time limit: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Decide(ctx, a, policy.Acceptable()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := p.Decide(context.Background(), nil, policy.Acceptable()); !fault.Is(err, fault.Policy) {
		t.Errorf("no appraisal: %v", err)
	}
}

// A parameter that nobody knows is refused: a misspelt floor must not be no floor.
func TestParseParams(t *testing.T) {
	p, err := rego.ParseParams([]byte(`{"snp":{"vmpl":[0,1],"tcb_floor":{"Milan":{"reported":{"snp":8}}}},"custom":{"site":"a"}}`))
	if err != nil || len(p.SNP.VMPL) != 2 || p.SNP.TCBFloor["Milan"]["reported"]["snp"] != 8 {
		t.Errorf("%+v %v", p, err)
	}
	site := load(t, p, generous+"\nfinding contains {\"code\": \"site\", \"what\": \"wrong site\"} if input.params.custom.site != \"b\"")
	if c := ask(t, site, machine{}, policy.Acceptable()); codes(c) != "site" || c.Tier != claim.TierNone {
		t.Errorf("custom parameters: %v %v", c.Tier, c.Reasons)
	}
	for _, bad := range []string{`{"snp":{"tcb_flor":{}}}`, `{"snp":{},"snp":{}}`, `[]`, `{"snp":{"vmpl":[-1]}}`, `{} {}`} {
		if _, err := rego.ParseParams([]byte(bad)); !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
