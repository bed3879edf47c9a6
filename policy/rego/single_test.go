package rego_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/builtin"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/simulator"
)

// Leaving out the files of other TEEs changes no decision: the built-in policy is asked whole, and by the part that
// concerns the evidence.
func TestFilesOfOtherTEEsSayNothing(t *testing.T) {
	var whole []rego.Module
	for _, f := range builtin.Files() {
		whole = append(whole, rego.Module{Name: f.Name, Text: f.Text})
	}
	params := insecure(nil)
	all, err := rego.Compile(rego.Config{Name: builtin.Name, Modules: whole, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	part, err := rego.Builtin(params)
	if err != nil {
		t.Fatal(err)
	}
	if all.ID() != part.ID() {
		t.Errorf("ids %s and %s differ", all.ID(), part.ID())
	}
	for name, m := range map[string]machine{"plain": {}, "debug": {edit: func(r *simulator.Report) { r.Policy |= simulator.PolicyDebug }}, "nothing vouched": {nothing: true}} {
		a := m.appraise(t)
		for _, q := range []policy.Question{policy.Acceptable(), policy.MayHave("a/b/c")} {
			x, err := all.Decide(context.Background(), a, q)
			if err != nil {
				t.Fatal(err)
			}
			y, err := part.Decide(context.Background(), a, q)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(x.Content(), y.Content()); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
}
