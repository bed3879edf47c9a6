package rego

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/policy"
)

// statement is one assertion or finding as a policy made it.
type statement struct {
	attester, member, status       string
	code, what, why, next, claim   string
	value                          claim.TrustClaim
	hasMember, hasValue, hasStatus bool
}

// outcome turns what a policy said into vectors and statuses (specs ear.md sections 4 and 5). Anything in it that
// cannot be understood is an error: a finding with a typing mistake must not vanish.
func outcome(v ast.Value, attesters []*appraise.Attester) (policy.Content, error) {
	doc, ok := v.(ast.Object)
	if !ok {
		return policy.Content{}, fmt.Errorf("gave no document")
	}
	r := result{c: policy.Content{Tier: claim.TierNone, Attesters: make([]policy.AttesterDecision, len(attesters))}, caps: make([]claim.Tier, len(attesters))}
	for i, a := range attesters {
		r.c.Attesters[i].Label, r.caps[i] = a.Label, claim.TierAffirming
	}
	for _, part := range []struct {
		name string
		take func(statement) error
	}{{"a", r.assertion}, {"f", r.finding}, {"e", r.finding}, {"d", r.deny}} {
		if err := each(doc, part.name, part.take); err != nil {
			return policy.Content{}, err
		}
	}
	for i := range r.c.Attesters {
		a := &r.c.Attesters[i]
		a.Tier = a.Vector.Tier().Worse(r.caps[i])
		if i == 0 {
			r.c.Tier = a.Tier
		}
		r.c.Tier = r.c.Tier.Worse(a.Tier)
	}
	slices.SortStableFunc(r.reasons, func(x, y ranked) int {
		switch {
		case x.tier == y.tier:
			return x.attester - y.attester
		case x.tier.Better(y.tier):
			return 1
		}
		return -1
	})
	for _, x := range r.reasons {
		r.c.Reasons = append(r.c.Reasons, x.reason)
	}
	return r.c, nil
}

type ranked struct {
	tier     claim.Tier
	attester int
	reason   policy.Reason
}

type result struct {
	c       policy.Content
	caps    []claim.Tier
	reasons []ranked
}

// index finds the attesters that s speaks of; no name means all.
func (r *result) index(s statement) ([]int, error) {
	var all []int
	for i, a := range r.c.Attesters {
		if s.attester == a.Label {
			return []int{i}, nil
		}
		all = append(all, i)
	}
	if s.attester != "" {
		return nil, fmt.Errorf("speaks of attester %q, which does not exist", s.attester)
	}
	return all, nil
}

func (r *result) set(i int, s statement) (claim.Tier, error) {
	m, ok := claim.VectorMemberByName(s.member)
	if !ok {
		return claim.TierNone, fmt.Errorf("%q is no member of the trust vector", s.member)
	}
	vec := &r.c.Attesters[i].Vector
	vec[m] = policy.WorseOpt(vec[m], claim.Some(s.value))
	return s.value.Tier(), nil
}

func (r *result) assertion(s statement) error {
	if !s.hasMember || !s.hasValue || s.attester == "" {
		return fmt.Errorf("an assertion needs attester, member and value")
	}
	at, err := r.index(s)
	if err != nil {
		return err
	}
	for _, i := range at {
		if _, err := r.set(i, s); err != nil {
			return err
		}
	}
	return nil
}

// finding lowers: by a value for a member, by a status, or by both; without either the status is capped at none.
// Status "affirming" makes it a notice that lowers nothing.
func (r *result) finding(s statement) error {
	if s.code == "" || s.what == "" {
		return fmt.Errorf("a finding needs code and what")
	}
	if s.hasMember != s.hasValue {
		return fmt.Errorf("finding %s has only one of member and value", s.code)
	}
	if s.hasValue && s.value.Tier() == claim.TierAffirming {
		return fmt.Errorf("finding %s has the affirming value %d; a finding never raises", s.code, s.value)
	}
	limit := claim.TierNone
	if s.hasStatus {
		t, ok := claim.TierByName(s.status)
		if !ok {
			return fmt.Errorf("finding %s: %q is no status", s.code, s.status)
		}
		limit = t
	}
	at, err := r.index(s)
	if err != nil {
		return err
	}
	if s.attester == "" && len(at) != 1 {
		r.reasons = append(r.reasons, ranked{limit, -1, s.reason()})
	}
	for _, i := range at {
		tier := limit
		if s.hasMember {
			t, err := r.set(i, s)
			if err != nil {
				return err
			}
			if tier = t; s.hasStatus {
				tier = tier.Worse(limit)
			}
		}
		r.caps[i] = r.caps[i].Worse(tier)
		if s.attester != "" || len(at) == 1 {
			r.reasons = append(r.reasons, ranked{tier, i, s.reason()})
		}
	}
	return nil
}

// deny is the short form for operators' own rules: a text or a finding, always contraindicated.
func (r *result) deny(s statement) error {
	if s.code == "" {
		s.code = "denied-by-policy"
	}
	if s.what == "" {
		return fmt.Errorf("a deny rule gave no text")
	}
	s.status, s.hasStatus = claim.TierContraindicated.String(), true
	return r.finding(s)
}

func (s statement) reason() policy.Reason {
	return policy.Reason{Attester: s.attester, Code: s.code, What: s.what, Why: s.why, Next: s.next, Claim: s.claim}
}

// each hands the statements of one list over.
func each(doc ast.Object, name string, take func(statement) error) error {
	t := doc.Get(str(name))
	if t == nil {
		return fmt.Errorf("gave no document")
	}
	list, ok := t.Value.(*ast.Array)
	if !ok {
		return fmt.Errorf("gave no list of statements")
	}
	if list.Len() > maxStatements {
		return fmt.Errorf("made more than %d statements", maxStatements)
	}
	for i := range list.Len() {
		s, err := parseStatement(list.Elem(i).Value)
		if err != nil {
			return err
		}
		if err := take(s); err != nil {
			return err
		}
	}
	return nil
}

func parseStatement(v ast.Value) (s statement, err error) {
	if text, ok := v.(ast.String); ok {
		return statement{what: string(text)}, nil
	}
	obj, ok := v.(ast.Object)
	if !ok {
		return s, fmt.Errorf("a statement is neither an object nor a text")
	}
	err = obj.Iter(func(k, v *ast.Term) error {
		name, _ := k.Value.(ast.String)
		if name == "value" {
			n, ok := v.Value.(ast.Number)
			i, exact := n.Int()
			if !ok || !exact || i < -128 || i > 127 {
				return fmt.Errorf("value %v is no integer from -128 to 127", v)
			}
			s.value, s.hasValue = claim.TrustClaim(i), true
			return nil
		}
		text, ok := v.Value.(ast.String)
		if !ok {
			return fmt.Errorf("%s is no text", name)
		}
		switch name {
		case "attester":
			s.attester = string(text)
		case "member":
			s.member, s.hasMember = string(text), true
		case "status":
			s.status, s.hasStatus = string(text), true
		case "code":
			s.code = string(text)
		case "what":
			s.what = string(text)
		case "why":
			s.why = string(text)
		case "next":
			s.next = string(text)
		case "claim":
			s.claim = string(text)
		default:
			return fmt.Errorf("a statement has the unknown member %s", k)
		}
		return nil
	})
	return s, err
}

// verdictTerm is input.verdict of a release question.
func verdictTerm(c policy.Content) *ast.Term {
	by := make([][2]*ast.Term, len(c.Attesters))
	for i, a := range c.Attesters {
		by[i] = pair(a.Label, str(a.Tier.String()))
	}
	return ast.ObjectTerm(pair("status", str(c.Tier.String())), pair("attesters", ast.ObjectTerm(by...)))
}
