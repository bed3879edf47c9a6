package rego

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	oparego "github.com/open-policy-agent/opa/v1/rego"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/internal/sealed"
)

// ResourcePolicy is a resource policy of Trustee's KBS (specs kbs-protocol.md section 15.1): the rule data.policy.allow,
// the claims of the token as input, and the request as data. It is evaluated under the same limits as [Policy], and it
// is safe for concurrent use.
type ResourcePolicy struct {
	id      string
	allow   oparego.PreparedEvalQuery
	timeout time.Duration
	turns   turns
}

var _ policy.ResourcePolicy = (*ResourcePolicy)(nil)

// resourceQuery gives the module the documents that it expects, out of one input. A policy's own package stays in place.
const resourceQuery = `data.policy.allow with input as input.claims with data.plugin as input.plugin ` +
	`with data["resource-path"] as input.path with data.query as input.query`

// CompileResource reads a policy as Rego v1, and as v0 where it is not that (section 15.3). Its errors are of class
// policy.
func CompileResource(text string) (*ResourcePolicy, error) {
	if len(text) > maxModuleBytes {
		return nil, fault.New(fault.Policy, "a resource policy of more than %d bytes", maxModuleBytes)
	}
	var first error
	for _, version := range []ast.RegoVersion{ast.RegoV1, ast.RegoV0} {
		q, err := compileResource(text, version)
		if err == nil {
			sum := sha256.Sum256([]byte(text))
			return &ResourcePolicy{id: "urn:assay:policy:resource-policy:" + hex.EncodeToString(sum[:]), allow: q, timeout: defaultTimeout, turns: newTurns()}, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, fault.New(fault.Policy, "resource policy: %w", first)
}

func compileResource(text string, version ast.RegoVersion) (q oparego.PreparedEvalQuery, err error) {
	mod, err := ast.ParseModuleWithOpts("resource-policy.rego", text, ast.ParserOptions{RegoVersion: version, Capabilities: capabilities()})
	if err != nil {
		return q, err
	}
	if mod == nil || mod.Package.Path.String() != "data.policy" {
		return q, fault.New(fault.Policy, "the module is not of package policy")
	}
	c := ast.NewCompiler().WithCapabilities(capabilities()).WithDefaultRegoVersion(version)
	if c.Compile(map[string]*ast.Module{"resource-policy.rego": mod}); c.Failed() {
		return q, c.Errors
	}
	return oparego.New(oparego.Query(resourceQuery), oparego.Compiler(c), oparego.Capabilities(capabilities()), oparego.SetRegoVersion(ast.RegoV1),
		oparego.EnablePrintStatements(false),
		oparego.GenerateJSON(func(t *ast.Term, _ *oparego.EvalContext) (any, error) { return t.Value, nil }),
	).PrepareForEval(context.Background())
}

// ID names the policy by its text.
func (p *ResourcePolicy) ID() string { return p.id }

// Decide asks the policy. Whatever is not the boolean true is no.
func (p *ResourcePolicy) Decide(ctx context.Context, q policy.ResourceQuestion) (*policy.Decision, error) {
	claims, err := ast.ValueFromReader(bytes.NewReader(q.Claims))
	if err != nil {
		return nil, fault.New(fault.Policy, "claims of the token: %w", err)
	}
	path := make([]*ast.Term, len(q.Path))
	for i, s := range q.Path {
		path[i] = ast.StringTerm(s)
	}
	query := ast.NewObject()
	for k, v := range q.Query {
		query.Insert(ast.StringTerm(k), ast.StringTerm(v))
	}
	in := ast.NewObject(
		ast.Item(ast.StringTerm("claims"), ast.NewTerm(claims)),
		ast.Item(ast.StringTerm("plugin"), ast.StringTerm(q.Plugin)),
		ast.Item(ast.StringTerm("path"), ast.ArrayTerm(path...)),
		ast.Item(ast.StringTerm("query"), ast.NewTerm(query)),
	)
	if err := p.turns.take(ctx); err != nil {
		return nil, err
	}
	defer p.turns.give()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	rs, err := p.allow.Eval(ctx, oparego.EvalParsedInput(in))
	switch {
	case ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded && err != nil:
		return nil, fault.New(fault.Policy, "the resource policy took longer than allowed (%v): %w", p.timeout, err)
	case ctx.Err() != nil:
		return nil, fault.New(fault.Unavailable, "cancelled while evaluating the resource policy: %w", ctx.Err())
	case err != nil:
		return nil, fault.New(fault.Policy, "the resource policy could not be evaluated: %w", err)
	}
	allow := false
	if len(rs) == 1 && len(rs[0].Expressions) == 1 {
		v, ok := rs[0].Expressions[0].Value.(ast.Boolean)
		allow = ok && bool(v)
	}
	c := sealed.Content{Question: policy.MayHave(q.Resource), Tier: q.Tier, PolicyIDs: []string{p.id}, Allow: allow}
	if !allow {
		c.Reasons = []policy.Reason{{Code: "resource-policy", What: "the resource policy does not allow " + q.Resource,
			Why: "its rule data.policy.allow is not true for this token and request"}}
	}
	return sealed.New(c), nil
}
