package endorse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
)

// TripleKind is a kind of statement that a scope can allow.
type TripleKind string

// The kinds.
const (
	KindReference   TripleKind = "reference-values"
	KindEndorsed    TripleKind = "endorsed-values"
	KindConditional TripleKind = "conditional-endorsements"
	KindSeries      TripleKind = "conditional-endorsement-series"
	KindIdentity    TripleKind = "identity-keys"
	KindAttestKey   TripleKind = "attest-keys"
	KindMembership  TripleKind = "domain-memberships"
	KindDependency  TripleKind = "trust-dependencies"
	KindCoSWIDLink  TripleKind = "coswid-links"
	KindTagList     TripleKind = "tag-lists" // activation by CoTL
)

// TripleKinds lists every kind.
func TripleKinds() []TripleKind {
	return []TripleKind{KindReference, KindEndorsed, KindConditional, KindSeries, KindIdentity, KindAttestKey,
		KindMembership, KindDependency, KindCoSWIDLink, KindTagList}
}

// Scope says what an anchor may speak about: whatever one of its rules allows. The zero Scope allows nothing.
type Scope []Rule

// Rule allows statements of some kinds about some environments and elements. "Any" must be said; an empty list is
// none.
type Rule struct {
	Kinds []TripleKind
	// Environments are patterns: a statement's environment has to have every attribute of one of them.
	Environments   []claim.Environment
	AnyEnvironment bool
	// Elements are the mkeys that may be spoken about; the zero ID is the anonymous element. Triples without elements
	// (keys, domains, links) are only about environments.
	Elements   []claim.ID
	AnyElement bool
}

// AnyEnvironmentScope is the scope of an anchor that the operator gave as a bare key or certificate: reference values
// and endorsed values, also conditional ones, about any environment.
func AnyEnvironmentScope() Scope {
	return Scope{{Kinds: []TripleKind{KindReference, KindEndorsed, KindConditional, KindSeries}, AnyEnvironment: true, AnyElement: true}}
}

// Anything is the scope that allows everything. It has to be asked for by this name.
func Anything() Scope { return Scope{{Kinds: TripleKinds(), AnyEnvironment: true, AnyElement: true}} }

// allows reports whether some rule covers a statement of that kind about env and all of elements. One rule must cover
// it all, so that two narrow rules never add up to a wide one.
func (s Scope) allows(kind TripleKind, env *claim.Environment, elements []claim.Element) bool {
	return slices.ContainsFunc(s, func(r Rule) bool {
		return slices.Contains(r.Kinds, kind) &&
			(r.AnyEnvironment || slices.ContainsFunc(r.Environments, func(p claim.Environment) bool { return p.Contains(*env) })) &&
			(r.AnyElement || !slices.ContainsFunc(elements, func(e claim.Element) bool { return !slices.Contains(r.Elements, e.Key) }))
	})
}

// allowsKind reports whether the scope has a rule of that kind at all.
func (s Scope) allowsKind(kind TripleKind) bool {
	return slices.ContainsFunc(s, func(r Rule) bool { return slices.Contains(r.Kinds, kind) })
}

// String renders s for the trail.
func (s Scope) String() string {
	if len(s) == 0 {
		return "nothing"
	}
	rules := make([]string, len(s))
	for i, r := range s {
		rules[i] = r.String()
	}
	return strings.Join(rules, "; ")
}

// String renders r.
func (r Rule) String() string {
	kinds := "any statement"
	if len(r.Kinds) < len(TripleKinds()) {
		k := make([]string, len(r.Kinds))
		for i := range r.Kinds {
			k[i] = string(r.Kinds[i])
		}
		kinds = strings.Join(k, ", ")
	}
	env := "any environment"
	if !r.AnyEnvironment {
		e := make([]string, len(r.Environments))
		for i := range r.Environments {
			e[i] = r.Environments[i].String()
		}
		env = strings.Join(e, " or ")
	}
	elements := ""
	if !r.AnyElement {
		e := make([]string, len(r.Elements))
		for i, id := range r.Elements {
			if e[i] = id.String(); id.IsZero() {
				e[i] = "anonymous"
			}
		}
		elements = ", elements " + strings.Join(e, ", ")
	}
	return fmt.Sprintf("%s about %s%s", kinds, env, elements)
}

// check refuses rules that allow nothing: they are mistakes of who wrote them.
func (r Rule) check() string {
	switch {
	case len(r.Kinds) == 0:
		return "names no kind of statement"
	case !r.AnyEnvironment && len(r.Environments) == 0 && slices.ContainsFunc(r.Kinds, func(k TripleKind) bool { return k != KindTagList }):
		return "names no environment; say any-environment = true if all are meant"
	case slices.ContainsFunc(r.Environments, claim.Environment.IsZero):
		return "has an environment without attributes, which would match nothing"
	case slices.ContainsFunc(r.Kinds, func(k TripleKind) bool { return !slices.Contains(TripleKinds(), k) }):
		return fmt.Sprintf("names an unknown kind of statement; known are %v", TripleKinds())
	}
	return ""
}
