package rego

import (
	"path"
	"regexp"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/builtin"
)

// Load makes the policy of an operator from Rego files, in their order. The package of a file says what it is:
//
//	package assay         a whole policy of its own; it takes the place of the built-in one
//	package assay.extra   rules on top of the built-in policy: findings and denials, which can lower a verdict only
//	any other package     a library that the other files import
//
// Without a file of package assay the built-in policy is in force, and with a file of package assay.extra it is in any
// case. Several policies are asked in order, and the worst answer counts ([policy.All]).
func Load(files []Module, p Params) (policy.Policy, error) {
	var whole, extra, library []Module
	for _, f := range files {
		mod, err := parseModule(f)
		if err != nil {
			return nil, err
		}
		switch pkg := mod.Package.Path.String(); {
		case pkg == "data.assay":
			whole = append(whole, f)
		case pkg == "data.assay.extra":
			extra = append(extra, f)
		case strings.HasPrefix(pkg, "data.assay."):
			return nil, fault.New(fault.Policy, "policy %s: package %s is not one that policies may have (docs/policy.md)", f.Name, strings.TrimPrefix(pkg, "data."))
		default:
			library = append(library, f)
		}
	}
	var out []policy.Policy
	if len(whole) == 0 || len(extra) > 0 {
		b, err := withBuiltin(p, append(extra, library...))
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	for _, f := range whole {
		b, err := Compile(Config{Name: nameOf(f), Modules: append([]Module{f}, library...), Params: p})
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return policy.All(out...)
}

// withBuiltin compiles the built-in policy together with modules of other packages.
func withBuiltin(p Params, more []Module) (*Policy, error) {
	var mods []Module
	for _, f := range builtin.Files() {
		mods = append(mods, Module{Name: f.Name, Text: f.Text})
	}
	name := builtin.Name
	for _, f := range more {
		name += "." + nameOf(f)
	}
	return Compile(Config{Name: name[:min(len(name), maxName)], Modules: append(mods, more...), Params: p})
}

const maxName = 64

var notInName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// nameOf is the part of a policy's id that comes from a file.
func nameOf(f Module) string {
	base := path.Base(strings.ReplaceAll(f.Name, `\`, "/"))
	n := notInName.ReplaceAllString(strings.TrimSuffix(base, path.Ext(base)), "-")
	return n[:min(len(n), 32)]
}

func parseModule(m Module) (*ast.Module, error) {
	if len(m.Text) > maxModuleBytes {
		return nil, fault.New(fault.Policy, "policy %s has more than %d bytes", m.Name, maxModuleBytes)
	}
	mod, err := ast.ParseModuleWithOpts(m.Name, m.Text, ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: capabilities()})
	switch {
	case err != nil:
		return nil, fault.New(fault.Policy, "policy: %w", err)
	case mod == nil:
		return nil, fault.New(fault.Policy, "policy %s is empty", m.Name)
	}
	return mod, nil
}
