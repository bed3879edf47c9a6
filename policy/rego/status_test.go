package rego_test

import (
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

// Bad news of a publisher counts always, good news where it is demanded.
func TestStatusStatements(t *testing.T) {
	says := func(key string, v claim.Values) func(*endorse.Builder) error {
		return func(b *endorse.Builder) error {
			return b.Assert(&endorse.Source{Kind: "corim", ID: "status", Signer: "publisher", Anchor: "publisher", Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("p"))}},
				endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditional: true, Conditions: []claim.ECT{{Environment: amdsnp.Class(false)}},
					Additions: []claim.ECT{{Environment: amdsnp.Class(false), Elements: []claim.Element{{Key: claim.Text(claim.TagNone, key), Values: v}}}}}}})
		}
	}
	asOf := func(d time.Duration) func(*endorse.Builder) error {
		v := claim.IntOf(now.Add(d).Unix())
		return says(endorse.StatusUpToDate, claim.Values{IntRange: &claim.IntRange{Value: &v}})
	}
	text := func(key, v string) func(*endorse.Builder) error { return says(key, claim.Values{Name: &v}) }
	hour := rego.Status{MaxAge: 3600}
	for _, tc := range []struct {
		name   string
		more   func(*endorse.Builder) error
		status rego.Status
		code   string
		tier   claim.Tier
	}{
		{"nothing said, nothing demanded", nil, rego.Status{}, "", claim.TierAffirming},
		{"nothing said", nil, hour, "status-age", claim.TierNone},
		{"recent", asOf(-time.Minute), hour, "", claim.TierAffirming},
		{"too old", asOf(-time.Hour - time.Second), hour, "status-age", claim.TierNone},
		{"from the future", asOf(time.Minute), hour, "status-age", claim.TierNone},
		{"of a publisher who is named", asOf(-time.Minute), rego.Status{MaxAge: 3600, Signers: []string{"publisher"}}, "", claim.TierAffirming},
		{"of another", asOf(-time.Minute), rego.Status{MaxAge: 3600, Signers: []string{"somebody"}}, "status-age", claim.TierNone},
		{"subject to a vulnerability", text(endorse.StatusSubjectTo, "CVE-2026-1"), rego.Status{}, "subject-to", claim.TierWarning},
		{"below the fleet", text(endorse.StatusFleet, "below"), rego.Status{}, "fleet-floor", claim.TierWarning},
		{"at the level of the fleet", text(endorse.StatusFleet, "met"), rego.Status{}, "", claim.TierAffirming},
	} {
		p := insecure(nil)
		p.Status = tc.status
		c := decide(t, p, machine{more: tc.more}.appraise(t), policy.Acceptable())
		if got := strings.TrimSpace(strings.ReplaceAll(codes(c), "simulator-root", "")); got != tc.code || c.Tier != tc.tier {
			t.Errorf("%s: %v %q, want %v %q", tc.name, c.Tier, got, tc.tier, tc.code)
		}
	}
}
