package appraise

import (
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/endorse"
)

// The choices where the draft is ambiguous (specs corim.md section 17) that the engine makes; the number is the line.

// A3: the result of a key triple says who endorsed the key; the authority of the condition may be left out.
func TestChoiceA3(t *testing.T) {
	b := builder(t)
	src := assert(t, b, "endorser", endorse.Relations{Keys: []*endorse.Keys{{Environment: env("e"), Keys: []claim.ID{ekAuth[0]}}}})
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 1, false)}}
	a := appraise1(t, verified(t, ev), b.Set())
	if len(a.Keys) != 1 || a.Keys[0].Source != src {
		t.Errorf("%+v", a.Keys)
	}
}

// A5, A6: the triple of a dependency names trustees, and they travel through admission as such.
func TestChoicesA5A6(t *testing.T) {
	m := &corim.Manifest{ID: claim.Text(claim.TagNone, "m"), CoMIDs: []corim.CoMID{{TagIdentity: corim.TagIdentity{TagID: claim.Text(claim.TagNone, "t")},
		Triples: corim.Triples{
			Membership: []corim.DomainTriple{{Domain: env("top"), Members: []claim.Environment{env("a"), env("b")}}},
			Dependency: []corim.DomainTriple{{Domain: env("top"), Members: []claim.Environment{env("b")}}}}}}}
	raw, err := corim.Encode(m, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := builder(t)
	if _, err := b.AdmitUnsigned(raw, "admin"); err != nil {
		t.Fatal(err)
	}
	ev := func(e claim.Environment) claim.ECT {
		return claim.ECT{Environment: e, CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 1, false)}}
	}
	a := appraise1(t, verified(t, ev(env("a")), ev(env("b"))), b.Set())
	if len(a.Domains) != 2 || len(a.Domains[0].Uncorroborated)+len(a.Domains[1].Uncorroborated) != 1 {
		t.Errorf("%+v", a.Domains)
	}
}

// A10: what is said of one environment is merged before it is compared; of two environments it never is.
func TestChoiceA10(t *testing.T) {
	part := func(e claim.Environment, x claim.Element) claim.ECT {
		return claim.ECT{Environment: e, CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{x}}
	}
	for name, tc := range map[string]struct {
		second claim.Environment
		want   string
	}{"one environment": {env("e"), "x=1"}, "two environments": {env("f"), ""}} {
		b := builder(t)
		assert(t, b, "s", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true), svn(2, 7, true)))}})
		a := appraise1(t, verified(t, part(env("e"), svn(1, 5, false)), part(tc.second, svn(2, 7, false))), b.Set())
		if got := endorsedNames(a); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A25: a condition is compared as the profile of its own CoRIM says, whatever another statement's profile says.
func TestChoiceA25(t *testing.T) {
	never := func(claim.ID, int64) compare.Func { return func(_, _ claim.Values) bool { return false } }
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false)}}
	for name, tc := range map[string]struct {
		cmp  endorse.Comparators
		want string
	}{"base rules": {nil, "x=1"}, "a profile that never matches": {never, ""}} {
		b := builder(t)
		one := ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true)))
		one.Compare = tc.cmp
		other := ce(cond(env("e"), named("y", "1")), cond(env("e"), svn(1, 9, true)))
		other.Compare = never
		assert(t, b, "s", endorse.Relations{Endorsements: []*endorse.Endorsement{one}})
		assert(t, b, "other", endorse.Relations{Endorsements: []*endorse.Endorsement{other}})
		if got := endorsedNames(appraise1(t, verified(t, ev), b.Set())); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A28: domains need no authority on their members. (The relations have no place for one.)
// A40: evidence with several equal ECTs yields one addition.
func TestChoiceA40(t *testing.T) {
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false)}}
	b := builder(t)
	assert(t, b, "provider", endorse.Relations{References: []*endorse.Reference{{Environment: env("e"), Elements: []claim.Element{svn(1, 5, true)}}}})
	assert(t, b, "endorser", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true)))}})
	a := appraise1(t, verified(t, ev, ev, ev), b.Set())
	refs, adds := 0, 0
	for _, x := range a.Accepted {
		switch x.CMType {
		case claim.CMReferenceValues:
			refs++
		case claim.CMEndorsements:
			adds++
		}
	}
	if refs != 1 || adds != 1 || endorsedNames(a) != "x=1" {
		t.Errorf("%d reference values, %d endorsements, %q", refs, adds, endorsedNames(a))
	}
}
