package rego

import (
	"slices"
	"strings"
	"sync"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/policy/builtin"
)

// Builtin is the built-in policy with the operator's parameters. Its id covers all of it, but a question about SNP does
// not pay for the rules of other TEEs: each combination of TEEs has a program of its own, compiled when it is first met
// and kept.
func Builtin(p Params) (*Policy, error) {
	files := builtin.Files()
	cfg := Config{Name: builtin.Name, Params: p}
	for _, f := range files {
		cfg.Modules = append(cfg.Modules, Module{Name: f.Name, Text: f.Text})
	}
	pol, err := newPolicy(cfg)
	if err != nil {
		return nil, err
	}
	pol.program = (&narrower{files: files, asksMore: p.asksMore}).program
	return pol, nil
}

// maxPrograms bounds the combinations of TEEs that are kept; further ones share one program with all the rules.
const maxPrograms = 32

// narrower compiles the part of the built-in policy that speaks of the TEEs in question.
type narrower struct {
	files    []builtin.File
	asksMore func(params string) bool

	mu       sync.Mutex
	programs map[string]*program
}

func (n *narrower) program(attesters []*appraise.Attester) (*program, error) {
	var key string
	var mods []Module
	if len(attesters) == 1 {
		key = attesters[0].Evidence.TEE()
	} else {
		tees := make([]string, len(attesters))
		for i, a := range attesters {
			tees[i] = a.Evidence.TEE()
		}
		slices.Sort(tees)
		key = strings.Join(slices.Compact(tees), " ")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.programs[key]; p != nil {
		return p, nil
	}
	all := len(n.programs) >= maxPrograms
	if all {
		if key = ""; n.programs[key] != nil {
			return n.programs[key], nil
		}
	}
	for _, f := range n.files {
		if f.Optional != "" && !n.asksMore(f.Optional) {
			continue
		}
		if all || f.TEEs == nil || slices.ContainsFunc(attesters, func(a *appraise.Attester) bool { return slices.Contains(f.TEEs, a.Evidence.TEE()) }) {
			mods = append(mods, Module{Name: f.Name, Text: f.Text})
		}
	}
	p, err := compile(builtin.Name, mods)
	if err != nil {
		return nil, err
	}
	if n.programs == nil {
		n.programs = map[string]*program{}
	}
	n.programs[key] = p
	return p, nil
}
