package main

import (
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

// loadPolicy compiles the policies of --policy with the operator's parameters; without any, or with rules of package
// assay.extra, the built-in policy ([rego.Load] says what a file may be). The decision is the worst of all.
func (a *app) loadPolicy(files []string, paramsFile string, insecure bool) (policy.Policy, error) {
	params, mods, err := a.policyFiles(files, paramsFile, insecure)
	if err != nil {
		return nil, err
	}
	p, err := rego.Load(mods, params)
	return p, fault.Wrap(err, "--policy")
}

// policyFiles reads the files of --params and --policy.
func (a *app) policyFiles(files []string, paramsFile string, insecure bool) (params rego.Params, mods []rego.Module, err error) {
	if paramsFile != "" {
		b, err := a.read(paramsFile)
		if err != nil {
			return params, nil, err
		}
		if params, err = rego.ParseParams(b); err != nil {
			return params, nil, fault.Wrap(err, "--params %s", paramsFile)
		}
	}
	params.AllowSimulatorUnsafe = insecure
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return params, nil, err
		}
		mods = append(mods, rego.Module{Name: name, Text: string(b)})
	}
	return params, mods, nil
}
