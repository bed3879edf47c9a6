package rego

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/builtin"
)

// asked are the rules that a decision asks for; see verdictQuery and allowQuery.
var asked = []string{"data.assay.assertion", "data.assay.finding", "data.assay.allow", "data.assay.extra.finding", "data.assay.extra.deny"}

// checkDead refuses rules that no decision can reach: an operator who has misspelt "finding" or "deny", or has put it
// into another package, believes that something is forbidden which is not. Of a library one rule in use is enough, and
// unit tests (test_…) need no user.
func checkDead(c *ast.Compiler) error {
	alive := map[*ast.Rule]bool{}
	var reach func(*ast.Rule)
	reach = func(r *ast.Rule) {
		if alive[r] {
			return
		}
		alive[r] = true
		for d := range c.Graph.Dependencies(r) {
			if next, ok := d.(*ast.Rule); ok {
				reach(next)
			}
		}
	}
	for _, name := range asked {
		for _, r := range c.GetRules(ast.MustParseRef(name)) {
			reach(r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Modules)) {
		mod := c.Modules[name]
		if strings.HasPrefix(name, builtin.Name+"/") {
			continue
		}
		pkg := strings.TrimPrefix(mod.Package.Path.String(), "data.")
		own, used := pkg == "assay" || pkg == "assay.extra", false
		for _, r := range mod.Rules {
			ref := r.Head.Ref().String()
			switch {
			case alive[r] || strings.HasPrefix(ref, "test_"):
				used = true
			case own:
				return fault.New(fault.Policy, "policy %s: no decision asks for the rule %s of package %s, and no rule that is asked for uses it: is the name misspelt? (docs/policy.md lists the names)", name, ref, pkg)
			}
		}
		if !used {
			return fault.New(fault.Policy, "policy %s: nothing uses its package %s, so it decides nothing; rules on top of the built-in policy belong to package assay.extra (docs/policy.md)", name, pkg)
		}
	}
	return nil
}
