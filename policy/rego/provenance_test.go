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

// What is demanded of a build is compared with every link of the statements that vouch, and one has to meet all of it.
func TestProvenanceDemands(t *testing.T) {
	good := endorse.ProvenanceLink{Artefact: "firmware", Builder: "https://github.com/b/w.yml@refs/tags/v1.0.0", Level: 3,
		Source: "git+https://github.com/org/firmware", Commit: "4d32", Log: "https://rekor.example", LogIndex: "7", Time: now.Add(-time.Hour)}
	with := func(change func(*endorse.ProvenanceLink)) []endorse.ProvenanceLink {
		l := good
		change(&l)
		return []endorse.ProvenanceLink{l}
	}
	all := rego.Provenance{Builders: []string{"https://github.com/b/w.yml"}, Sources: []string{"github.com/org/firmware"}, MinLevel: 3,
		Logs: []string{"https://rekor.example"}, MaxAge: 7200}
	one := []endorse.ProvenanceLink{good}
	for _, tc := range []struct {
		name  string
		links []endorse.ProvenanceLink
		ask   rego.Provenance
		ok    bool
	}{
		{"nothing demanded, nothing known", nil, rego.Provenance{}, true},
		{"demanded, nothing known", nil, rego.Provenance{Required: true}, false},
		{"demanded and known", one, rego.Provenance{Required: true}, true},
		{"all of it met", one, all, true},
		{"the version that is named", one, rego.Provenance{Builders: []string{good.Builder}}, true},
		{"another version than named", one, rego.Provenance{Builders: []string{"https://github.com/b/w.yml@refs/tags/v2.0.0"}}, false},
		{"a builder whose name is longer", with(func(l *endorse.ProvenanceLink) { l.Builder = "https://github.com/b/w.yml2@refs/tags/v1.0.0" }), all, false},
		{"another source", with(func(l *endorse.ProvenanceLink) { l.Source = "git+https://github.com/org/firmware2" }), all, false},
		{"a lower level", with(func(l *endorse.ProvenanceLink) { l.Level = 2 }), all, false},
		{"another log", with(func(l *endorse.ProvenanceLink) { l.Log = "https://other.example" }), all, false},
		{"no log", with(func(l *endorse.ProvenanceLink) { l.Log, l.LogIndex = "", "" }), all, false},
		{"too old", with(func(l *endorse.ProvenanceLink) { l.Time = now.Add(-3 * time.Hour) }), all, false},
		{"no time", with(func(l *endorse.ProvenanceLink) { l.Time = time.Time{} }), all, false},
		{"from the future", with(func(l *endorse.ProvenanceLink) { l.Time = now.Add(time.Hour) }), all, false},
		{"only of the kernel", with(func(l *endorse.ProvenanceLink) { l.Artefact = "kernel" }), all, false},
		{"of the kernel, as demanded", with(func(l *endorse.ProvenanceLink) { l.Artefact = "kernel" }), rego.Provenance{Artefacts: []string{"kernel"}}, true},
		{"firmware alone where the kernel is demanded too", one, rego.Provenance{Artefacts: []string{"firmware", "kernel"}}, false},
		{"halves of two builds", append(with(func(l *endorse.ProvenanceLink) { l.Level = 1 }), with(func(l *endorse.ProvenanceLink) { l.Source = "git+https://github.com/x/y" })...), all, false},
		{"two sources, one of them good", append(with(func(l *endorse.ProvenanceLink) { l.Source = "git+https://github.com/x/y" }), good), all, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := insecure(nil)
			p.Provenance = tc.ask
			m := machine{nothing: true, more: func(b *endorse.Builder) error {
				is := claim.Element{Key: claim.Uint(amdsnp.KeyMeasurement), Name: "measurement", Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: image[:]}}}}
				return b.Assert(&endorse.Source{Kind: "corim", ID: "fw", Signer: "p", Anchor: "p", Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("p"))}, Provenance: tc.links},
					endorse.Relations{References: []*endorse.Reference{{Environment: amdsnp.Class(false), Elements: []claim.Element{is}}}})
			}}
			c := decide(t, p, m.appraise(t), policy.Acceptable())
			bad := strings.Contains(codes(c), "provenance")
			if bad == tc.ok || (c.Tier == claim.TierAffirming) != tc.ok {
				t.Errorf("%v %q", c.Tier, codes(c))
			}
		})
	}
}
