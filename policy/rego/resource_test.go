package rego

import (
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
)

// The four policies that the existing server ships, in their meaning (specs kbs-protocol.md section 15.1).
const (
	shippedDefault = `package policy
import rego.v1
default allow = false
allow if {
	data["plugin"] == "resource"
	not input["submods"]["cpu0"]["ear.veraison.annotated-evidence"]["sample"]
}`
	shippedAffirming = `package policy
import rego.v1
default allow = false
any_not_affirming if {
	some _, s in input.submods
	s["ear.status"] != "affirming"
}
any_affirming if {
	some _, s in input.submods
	s["ear.status"] == "affirming"
}
allow if {
	any_affirming
	not any_not_affirming
}`
	oldSyntax = `package policy
default allow = false
allow {
	data["resource-path"] == ["a", "b", "c"]
	data.query.k == "v"
	input["tdx"].x == 1
}`
)

func TestResourcePolicy(t *testing.T) {
	affirming := `{"submods":{"cpu0":{"ear.status":"affirming","ear.veraison.annotated-evidence":{"snp":{}}}}}`
	mixed := `{"submods":{"cpu0":{"ear.status":"affirming"},"gpu0":{"ear.status":"warning"}}}`
	sample := `{"submods":{"cpu0":{"ear.status":"contraindicated","ear.veraison.annotated-evidence":{"sample":{"svn":"1"}}}}}`
	for _, tc := range []struct {
		name, text, claims, plugin string
		want                       bool
	}{
		{"default", shippedDefault, affirming, "resource", true},
		{"default refuses sample", shippedDefault, sample, "resource", false},
		{"default knows resources only", shippedDefault, affirming, "pkcs11", false},
		{"affirming", shippedAffirming, affirming, "resource", true},
		{"affirming wants all", shippedAffirming, mixed, "resource", false},
		{"affirming wants one", shippedAffirming, `{"submods":{}}`, "resource", false},
		{"old syntax", oldSyntax, `{"tdx":{"x":1}}`, "resource", true},
		{"old syntax, other claim", oldSyntax, `{"tdx":{"x":2}}`, "resource", false},
		{"undefined", `package policy`, affirming, "resource", false},
		{"not boolean", `package policy
allow := "yes"`, affirming, "resource", false},
		{"membership of null", `package policy
allow if 1 in null`, affirming, "resource", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := CompileResource(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			d, err := p.Decide(t.Context(), policy.ResourceQuestion{Claims: []byte(tc.claims), Plugin: tc.plugin, Path: []string{"a", "b", "c"},
				Query: map[string]string{"k": "v"}, Resource: "a/b/c"})
			if err != nil || d.AllowsRelease("a/b/c") != tc.want {
				t.Errorf("%v %v", d.AllowsRelease("a/b/c"), err)
			}
			if d.AllowsRelease("a/b/d") {
				t.Error("allows another resource")
			}
		})
	}
}

func TestResourcePolicyRefused(t *testing.T) {
	for name, text := range map[string]string{
		"syntax": "package policy\nallow if {", "package": "package other\nallow := true", "empty": "",
		"dials out": "package policy\nallow if http.send({\"method\":\"get\",\"url\":\"http://x\"}).status_code == 200",
		"huge":      "package policy\n# " + strings.Repeat("x", maxModuleBytes),
	} {
		if _, err := CompileResource(text); !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := CompileResource(`package policy
n := [0,1,2,3,4,5,6,7,8,9]
allow if {
	some a in n; some b in n; some c in n; some d in n; some e in n; some f in n; some g in n; some h in n
	a + b + c + d + e + f + g + h == 1000
}`)
	if err != nil {
		t.Fatal(err)
	}
	p.timeout = 50_000_000
	if _, err := p.Decide(t.Context(), policy.ResourceQuestion{Claims: []byte(`{}`), Resource: "a/b/c"}); !fault.Is(err, fault.Policy) {
		t.Errorf("a policy that does not end: %v", err)
	}
}

func TestAffirmingResource(t *testing.T) {
	p, err := CompileResource(AffirmingResource)
	if err != nil {
		t.Fatal(err)
	}
	for claims, want := range map[string]bool{
		`{"submods":{"cpu0":{"ear.status":"affirming"}}}`:                                 true,
		`{"submods":{"cpu0":{"ear_status":2},"gpu0":{"ear_status":2}}}`:                   true,
		`{"submods":{"cpu0":{"ear.status":"affirming"},"gpu0":{"ear.status":"warning"}}}`: false,
		`{"submods":{"gpu0":{"ear.status":"affirming"}}}`:                                 false,
		`{"submods":{"cpu0":{"ear_status":32}}}`:                                          false,
		`{"submods":{"cpu0":{}}}`:                                                         false,
		`{"submods":{}}`:                                                                  false,
		`{}`:                                                                              false,
	} {
		d, err := p.Decide(t.Context(), policy.ResourceQuestion{Claims: []byte(claims), Plugin: "resource", Path: []string{"a", "b", "c"}, Resource: "a/b/c"})
		if err != nil || d.AllowsRelease("a/b/c") != want {
			t.Errorf("%s: %v %v", claims, d.AllowsRelease("a/b/c"), err)
		}
	}
}
