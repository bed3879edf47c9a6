package main

import (
	"path/filepath"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

// loadPolicy compiles the built-in policy with the operator's parameters and, after it, the policies of --policy. The
// decision is the worst of all: a policy of the operator can lower a verdict and never raise it.
func (a *app) loadPolicy(files []string, paramsFile string, insecure bool) (policy.Policy, error) {
	var params rego.Params
	if paramsFile != "" {
		b, err := a.read(paramsFile)
		if err != nil {
			return nil, err
		}
		if params, err = rego.ParseParams(b); err != nil {
			return nil, fault.Wrap(err, "--params %s", paramsFile)
		}
	}
	params.AllowSimulatorUnsafe = insecure
	base, err := rego.Builtin(params)
	if err != nil {
		return nil, err
	}
	all := []policy.Policy{base}
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return nil, err
		}
		p, err := rego.Compile(rego.Config{
			Name:    strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)),
			Modules: []rego.Module{{Name: name, Text: string(b)}}, Params: params,
		})
		if err != nil {
			return nil, fault.Wrap(err, "--policy %s", name)
		}
		all = append(all, p)
	}
	return policy.All(all...)
}
