package rego

import (
	"testing"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/policy/builtin"
)

// Every TEE alone, every pair, all together and an unknown one: the part of the built-in policy compiles by itself.
func TestEveryPartOfTheBuiltinCompiles(t *testing.T) {
	tees := []string{"unknown"}
	for _, f := range builtin.Files() {
		if len(f.TEEs) == 1 {
			tees = append(tees, f.TEEs[0])
		}
	}
	if len(tees) < 4 {
		t.Fatalf("only %v", tees)
	}
	n := &narrower{files: builtin.Files()}
	attester := func(tee string) *appraise.Attester {
		return &appraise.Attester{Label: tee, Evidence: evidencetest.New(t, evidencetest.Content{TEE: tee})}
	}
	var all []*appraise.Attester
	for i, a := range tees {
		all = append(all, attester(a))
		for _, b := range tees[i:] {
			if _, err := n.program([]*appraise.Attester{attester(a), attester(b)}); err != nil {
				t.Errorf("%s and %s: %v", a, b, err)
			}
		}
	}
	if _, err := n.program(all); err != nil {
		t.Error(err)
	}
	if len(n.programs) > maxPrograms+1 {
		t.Errorf("%d programs kept", len(n.programs))
	}
}
