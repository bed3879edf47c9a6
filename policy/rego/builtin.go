package rego

import "github.com/assay-tee/assay/policy/builtin"

// Builtin compiles the built-in policy with the operator's parameters.
func Builtin(p Params) (*Policy, error) { return builtinWith(p, nil) }

// builtinWith compiles the built-in policy together with modules of package assay.extra.
func builtinWith(p Params, extra []Module) (*Policy, error) {
	var mods []Module
	for _, f := range builtin.Files() {
		mods = append(mods, Module{Name: f.Name, Text: f.Text})
	}
	return Compile(Config{Name: builtin.Name, Modules: append(mods, extra...), Params: p})
}
