// Package rego evaluates policies written in Rego. It is the only importer of Open Policy Agent.
//
// A policy is compiled once, with a closed list of built-in functions (no network, no clock, no randomness, nothing
// that grows without bound), in strict mode, and evaluated under a time limit. What is undefined counts as no. The
// language gives assertions and findings; which status follows is computed here, so that no policy can report a
// status that its vector does not allow. docs/policy.md describes both documents.
package rego

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	oparego "github.com/open-policy-agent/opa/v1/rego"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/internal/sealed"
)

// Limits of one policy. Policies come from the operator, but through an API that strangers may reach after a mistake.
const (
	maxModules     = 64
	maxModuleBytes = 1 << 20 // of all modules together
	maxStatements  = 1000    // assertions and findings of one evaluation, each
	defaultTimeout = 5 * time.Second
)

// Module is one Rego file.
type Module struct {
	Name string // for messages
	Text string
}

// Config says what to compile.
type Config struct {
	// Name goes into the policy's id; letters, digits, '.', '_' and '-'.
	Name string
	// Modules are the files of the policy. One has to be of package assay and to define assertion. See [Load] for what
	// files of operators may be.
	Modules []Module
	// Params are handed to the modules as input.params.
	Params Params
	// Timeout bounds one evaluation; 0 means five seconds.
	Timeout time.Duration
}

// Policy is a compiled policy. It is safe for concurrent use.
type Policy struct {
	id      string
	params  *ast.Term
	program func(attesters []*appraise.Attester) (*program, error)
	timeout time.Duration
	turns   turns
}

// program is a set of modules, compiled.
type program struct{ verdict, allow oparego.PreparedEvalQuery }

// turns bounds how many evaluations run at a time, so that the time limit measures an evaluation and not how busy the
// machine is: waiting for a turn is not part of it.
type turns chan struct{}

func newTurns() turns { return make(turns, 2*runtime.GOMAXPROCS(0)) }

func (t turns) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "cancelled while waiting for a policy's turn: %w", ctx.Err())
	}
}

func (t turns) give() { <-t }

var _ policy.Policy = (*Policy)(nil)

// What is asked of the modules. Comprehensions, so that a rule that is missing gives an empty list.
const (
	verdictQuery = `{"a": [x | some x in data.assay.assertion], "f": [x | some x in data.assay.finding], ` +
		`"e": [x | some x in data.assay.extra.finding], "d": [x | some x in data.assay.extra.deny]}`
	allowQuery = `data.assay.allow`
)

// Compile checks and compiles a policy. Its errors are of class policy (the text is wrong) or usage.
func Compile(cfg Config) (*Policy, error) {
	if !nameForm.MatchString(cfg.Name) {
		return nil, fault.New(fault.Usage, "policy name %q: letters, digits, '.', '_' and '-' are allowed, at most 64", cfg.Name)
	}
	p, err := newPolicy(cfg)
	if err != nil {
		return nil, err
	}
	prog, err := compile(cfg.Name, cfg.Modules)
	if err != nil {
		return nil, err
	}
	p.program = func([]*appraise.Attester) (*program, error) { return prog, nil }
	return p, nil
}

// newPolicy is a policy that still lacks its program.
func newPolicy(cfg Config) (*Policy, error) {
	params, canonical, err := cfg.Params.term()
	if err != nil {
		return nil, err
	}
	p := &Policy{id: id(cfg, canonical), params: params, timeout: cfg.Timeout, turns: newTurns()}
	if p.timeout <= 0 {
		p.timeout = defaultTimeout
	}
	return p, nil
}

func compile(name string, modules []Module) (*program, error) {
	mods, err := parse(modules)
	if err != nil {
		return nil, err
	}
	c := ast.NewCompiler().WithCapabilities(capabilities()).WithStrict(true).WithDefaultRegoVersion(ast.RegoV1)
	if c.Compile(mods); c.Failed() {
		return nil, fault.New(fault.Policy, "policy %s does not compile: %w", name, c.Errors)
	}
	if err := checkDead(c); err != nil {
		return nil, err
	}
	p := &program{}
	if p.verdict, err = prepare(c, verdictQuery); err != nil {
		return nil, err
	}
	p.allow, err = prepare(c, allowQuery)
	return p, err
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// parse reads the modules and refuses a set that could never assert anything.
func parse(modules []Module) (map[string]*ast.Module, error) {
	size, asserts, out := 0, false, map[string]*ast.Module{}
	if len(modules) > maxModules {
		return nil, fault.New(fault.Policy, "%d policy modules, at most %d are allowed", len(modules), maxModules)
	}
	for _, m := range modules {
		if size += len(m.Text); size > maxModuleBytes {
			return nil, fault.New(fault.Policy, "policy modules of more than %d bytes", maxModuleBytes)
		}
		if out[m.Name] != nil {
			return nil, fault.New(fault.Policy, "two policy modules are named %q", m.Name)
		}
		mod, err := parseModule(m)
		if err != nil {
			return nil, err
		}
		out[m.Name] = mod
		for _, r := range mod.Rules {
			if mod.Package.Path.String() == "data.assay" && strings.HasPrefix(r.Head.Ref().String(), "assertion") {
				asserts = true
			}
		}
	}
	if !asserts {
		return nil, fault.New(fault.Policy, "no module of package assay defines the rule assertion; such a policy could never affirm (docs/policy.md)")
	}
	return out, nil
}

func prepare(c *ast.Compiler, query string) (oparego.PreparedEvalQuery, error) {
	q, err := oparego.New(oparego.Query(query), oparego.Compiler(c), oparego.Capabilities(capabilities()), oparego.SetRegoVersion(ast.RegoV1),
		oparego.StrictBuiltinErrors(true), oparego.Strict(true), oparego.EnablePrintStatements(false),
		oparego.GenerateJSON(func(t *ast.Term, _ *oparego.EvalContext) (any, error) { return t.Value, nil }),
	).PrepareForEval(context.Background())
	if err != nil {
		return q, fault.New(fault.Policy, "policy does not compile: %w", err)
	}
	return q, nil
}

// id is urn:assay:policy:<name>:<SHA-256 over all that decides: modules and parameters, each with its length>.
func id(cfg Config, params []byte) string {
	h := sha256.New()
	add := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	mods := slices.Clone(cfg.Modules)
	slices.SortFunc(mods, func(a, b Module) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range mods {
		add([]byte(m.Name))
		add([]byte(m.Text))
	}
	add(params)
	return "urn:assay:policy:" + cfg.Name + ":" + hex.EncodeToString(h.Sum(nil))
}

// ID implements [policy.Policy].
func (p *Policy) ID() string { return p.id }

// Decide implements [policy.Policy].
func (p *Policy) Decide(ctx context.Context, a *appraise.Appraisal, q policy.Question) (*policy.Decision, error) {
	if !a.Valid() {
		return nil, fault.New(fault.Policy, "no appraisal to decide about")
	}
	labels := make(map[string]bool, len(a.Attesters()))
	for _, at := range a.Attesters() {
		if at == nil || !at.Evidence.Valid() || at.Label == "" || labels[at.Label] {
			return nil, fault.New(fault.Policy, "an attester without authenticated evidence, or without a label of its own")
		}
		labels[at.Label] = true
	}
	c, err := p.decide(ctx, a.Time(), a.Attesters(), q)
	if err != nil {
		return nil, err
	}
	return sealed.New(c), nil
}

func (p *Policy) decide(ctx context.Context, at time.Time, attesters []*appraise.Attester, q policy.Question) (policy.Content, error) {
	prog, err := p.program(attesters)
	if err != nil {
		return policy.Content{}, err
	}
	if err := p.turns.take(ctx); err != nil {
		return policy.Content{}, err
	}
	defer p.turns.give()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	in := input(at, attesters, q, p.params)
	v, err := p.eval(ctx, prog.verdict, in)
	if err != nil {
		return policy.Content{}, err
	}
	c, err := outcome(v, attesters)
	if err != nil {
		return policy.Content{}, fault.New(fault.Policy, "policy %s: %w", p.id, err)
	}
	c.Question, c.PolicyIDs = q, []string{p.id}
	if !q.Release {
		return c, nil
	}
	// The second question sees the answer to the first.
	in.Insert(str("verdict"), verdictTerm(c))
	if v, err = p.eval(ctx, prog.allow, in); err != nil {
		return policy.Content{}, err
	}
	yes, ok := v.(ast.Boolean)
	c.Allow = ok && bool(yes)
	return c, nil
}

// eval runs one query; an undefined result is nil.
func (p *Policy) eval(ctx context.Context, q oparego.PreparedEvalQuery, in ast.Value) (ast.Value, error) {
	rs, err := q.Eval(ctx, oparego.EvalParsedInput(in))
	switch {
	case ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded && err != nil:
		return nil, fault.New(fault.Policy, "policy %s took longer than allowed (%v): %w", p.id, p.timeout, err)
	case ctx.Err() != nil:
		return nil, fault.New(fault.Unavailable, "cancelled while evaluating policy %s: %w", p.id, ctx.Err())
	case err != nil:
		return nil, fault.New(fault.Policy, "policy %s could not be evaluated: %w", p.id, err)
	case len(rs) == 0 || len(rs[0].Expressions) != 1:
		return nil, nil
	}
	v, _ := rs[0].Expressions[0].Value.(ast.Value)
	return v, nil
}

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }
