package appraise

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/internal/fault"
)

func named(key, value string) claim.Element {
	return claim.Element{Key: claim.Text(claim.TagNone, key), Name: key, Values: claim.Values{Name: &value}}
}

func svn(key uint64, n uint64, min bool) claim.Element {
	return claim.Element{Key: claim.Uint(key), Values: claim.Values{SVN: &claim.SVN{Value: n, Min: min}}}
}

func cond(env claim.Environment, e ...claim.Element) claim.ECT {
	return claim.ECT{Environment: env, Elements: e}
}

func ce(add claim.ECT, conds ...claim.ECT) *endorse.Endorsement {
	return &endorse.Endorsement{Conditional: true, Conditions: conds, Additions: []claim.ECT{add}}
}

func series(env claim.Environment, common []claim.Element, items ...endorse.SeriesItem) *endorse.Series {
	return &endorse.Series{Environment: env, Common: common, Items: items}
}

func item(env claim.Environment, add claim.Element, c ...claim.Element) endorse.SeriesItem {
	return endorse.SeriesItem{Condition: c, Addition: cond(env, add)}
}

func env(class string) claim.Environment {
	return claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte(class))}}
}

// acsText renders the accepted claims so that two of them can be compared.
func acsText(a *Attester) string {
	var s strings.Builder
	for _, e := range a.Accepted {
		fmt.Fprintf(&s, "%s | %s | from %b", e.CMType, e.Environment, e.From)
		if e.Source != nil {
			fmt.Fprintf(&s, " | %s %s", e.Source.Signer, e.Relation)
		}
		for i := range e.Elements {
			fmt.Fprintf(&s, " | %s=%s", elementName(&e.Elements[i]), compare.Render(&e.Elements[i].Values))
		}
		s.WriteByte('\n')
	}
	fmt.Fprintf(&s, "%d keys %d domains %q\n", len(a.Keys), len(a.Domains), a.Failed)
	for _, l := range a.Trail {
		fmt.Fprintf(&s, "%s %v %d\n", l.Claim, l.Accepted, len(l.Vouchers))
	}
	return s.String()
}

func endorsedNames(a *Attester) string {
	var s []string
	for _, e := range a.Endorsed {
		s = append(s, e.Claim+"="+e.Value)
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func TestConditionalEndorsements(t *testing.T) {
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false), svn(2, 7, false)}}
	other := env("other")
	signerOnly := func(who string) claim.Authority { return claim.Authority{claim.Bytes(claim.TagBytes, []byte(who))} }
	withAuth := func(e claim.ECT, a claim.Authority) claim.ECT { e.Authority = a; return e }
	element := func(e claim.Element, a claim.Authority) claim.Element { e.AuthorizedBy = a; return e }
	for _, tc := range []struct {
		name string
		r    endorse.Relations
		want string
	}{
		{"endorsed value", endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditions: []claim.ECT{cond(env("e"))}, Additions: []claim.ECT{cond(env("e"), named("x", "1"))}}}}, "x=1"},
		{"endorsed value of another environment", endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditions: []claim.ECT{cond(other)}, Additions: []claim.ECT{cond(other, named("x", "1"))}}}}, ""},
		{"condition met", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true)))}}, "x=1"},
		{"condition missed", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 6, true)))}}, ""},
		{"one of two conditions missed", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true)), cond(env("e"), svn(2, 8, true)))}}, ""},
		{"components of two elements are not combined", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"),
			claim.Element{Key: claim.Uint(1), Values: claim.Values{SVN: &claim.SVN{Value: 5}, Name: ptr("n")}}))}}, ""},
		{"a chain of three", endorse.Relations{Endorsements: []*endorse.Endorsement{
			ce(cond(env("e"), named("z", "3")), cond(env("e"), named("y", "2"))),
			ce(cond(env("e"), named("y", "2")), cond(env("e"), named("x", "1"))),
			ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true)))}}, "x=1 y=2 z=3"},
		{"two that need each other add nothing", endorse.Relations{Endorsements: []*endorse.Endorsement{
			ce(cond(env("e"), named("y", "2")), cond(env("e"), named("x", "1"))),
			ce(cond(env("e"), named("x", "1")), cond(env("e"), named("y", "2")))}}, ""},
		{"authority of the evidence", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), withAuth(cond(env("e"), svn(1, 5, true)), signerOnly("ARK")))}}, "x=1"},
		{"another authority", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), withAuth(cond(env("e"), svn(1, 5, true)), signerOnly("other ARK")))}}, ""},
		{"authority of one element (A1)", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), element(svn(1, 5, true), signerOnly("VEK"))))}}, "x=1"},
		{"another authority of one element (A1)", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), element(svn(1, 5, true), signerOnly("x"))))}}, ""},
		{"series: the first that matches", endorse.Relations{Series: []*endorse.Series{series(env("e"), nil,
			item(env("e"), named("s", "new"), svn(1, 6, true)), item(env("e"), named("s", "ok"), svn(1, 5, true)), item(env("e"), named("s", "old"), svn(1, 0, true)))}}, "s=ok"},
		{"series: none", endorse.Relations{Series: []*endorse.Series{series(env("e"), nil, item(env("e"), named("s", "new"), svn(1, 6, true)))}}, ""},
		{"series: common condition missed", endorse.Relations{Series: []*endorse.Series{series(env("e"), []claim.Element{svn(2, 8, true)}, item(env("e"), named("s", "ok"), svn(1, 5, true)))}}, ""},
		{"series: inverted order is taken as written", endorse.Relations{Series: []*endorse.Series{series(env("e"), nil,
			item(env("e"), named("s", "old"), svn(1, 0, true)), item(env("e"), named("s", "ok"), svn(1, 5, true)))}}, "s=old"},
		{"series after what feeds it", endorse.Relations{
			Series:       []*endorse.Series{series(env("e"), nil, item(env("e"), named("s", "fed"), named("x", "1")), item(env("e"), named("s", "unfed")))},
			Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("x", "1")), cond(env("e"), svn(1, 5, true)))}}, "s=fed x=1"},
		{"series after a series", endorse.Relations{Series: []*endorse.Series{
			series(env("e"), nil, item(env("e"), named("t", "late"), named("s", "ok")), item(env("e"), named("t", "early"))),
			series(env("e"), nil, item(env("e"), named("s", "ok"), svn(1, 5, true)))}}, "s=ok t=late"},
	} {
		b := builder(t)
		assert(t, b, "signer", tc.r)
		if got := endorsedNames(appraise1(t, verified(t, ev), b.Set())); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A projection of the evidence that a reference value re-asserts must not let a later item of a series match beside an
// earlier one.
func TestSeriesCountsOnceBesideReferenceValues(t *testing.T) {
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false), named("n", "v")}}
	b := builder(t)
	assert(t, b, "reference", endorse.Relations{References: []*endorse.Reference{{Environment: env("e"), Elements: []claim.Element{svn(1, 1, true)}}}})
	assert(t, b, "series", endorse.Relations{Series: []*endorse.Series{series(env("e"), nil,
		item(env("e"), named("s", "first"), svn(1, 5, true), named("n", "v")), item(env("e"), named("s", "second"), svn(1, 0, true)))}})
	if got := endorsedNames(appraise1(t, verified(t, ev), b.Set())); got != "s=first" {
		t.Errorf("%q", got)
	}
}

// A23: two devices of one class in one evidence are never mixed, and a class-wide statement met by one does not speak
// for the other.
func TestInstancesAreNotMixed(t *testing.T) {
	dev := func(inst string, a, b uint64) claim.ECT {
		e := env("gpu")
		e.Instance = claim.Bytes(claim.TagBytes, []byte(inst))
		return claim.ECT{Environment: e, CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, a, false), svn(2, b, false)}}
	}
	b := builder(t)
	assert(t, b, "s", endorse.Relations{Endorsements: []*endorse.Endorsement{
		ce(cond(env("gpu"), named("both", "yes")), cond(env("gpu"), svn(1, 5, true)), cond(env("gpu"), svn(2, 5, true)))}})
	set := b.Set()
	if got := endorsedNames(appraise1(t, verified(t, dev("one", 5, 0), dev("two", 0, 5)), set)); got != "" {
		t.Errorf("a condition was met by two devices together: %q", got)
	}
	a := appraise1(t, verified(t, dev("one", 5, 5), dev("two", 0, 5)), set)
	if got := endorsedNames(a); got != "both=yes" {
		t.Errorf("%q", got)
	}
	if last := a.Accepted[len(a.Accepted)-1]; !last.From.Has(0) || last.From.Has(1) {
		t.Errorf("the endorsement rests on %b, want the first device alone", last.From)
	}
}

func TestMinimumNeverEntersAcceptedClaims(t *testing.T) {
	b := builder(t)
	assert(t, b, "s", reference(svn(1, 2, true)))
	a := appraise1(t, verified(t, snpGuest("chip", "image")), b.Set())
	for _, e := range a.Accepted {
		for i := range e.Elements {
			if form, found := compare.ConditionForm(&e.Elements[i].Values); found {
				t.Errorf("%s in the accepted claims (A30)", form)
			}
		}
	}
	if l := a.line(t, "guest-svn"); !l.Accepted {
		t.Errorf("%+v", l)
	}
}

// An endorsed value vouches for a claim that equals it; an endorsed minimum does not, since only a profile knows how to
// compare it.
func TestEndorsedValueVouches(t *testing.T) {
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false)}}
	for _, tc := range []struct {
		e    claim.Element
		want bool
	}{{svn(1, 5, false), true}, {svn(1, 4, false), false}, {svn(1, 4, true), false}, {svn(2, 5, false), false}} {
		b := builder(t)
		assert(t, b, "s", endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditions: []claim.ECT{cond(env("e"))}, Additions: []claim.ECT{cond(env("e"), tc.e)}}}})
		if l := appraise1(t, verified(t, ev), b.Set()).Trail[0]; l.Accepted != tc.want || l.Accepted && l.Vouchers[0].Relation != "endorsed-value" {
			t.Errorf("%s: %+v", compare.Render(&tc.e.Values), l)
		}
	}
}

func TestExactCover(t *testing.T) {
	ev := func(e ...claim.Element) claim.ECT {
		return claim.ECT{Environment: env("p"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: e}
	}
	comp := func(v string) claim.Element { return named("component", v) }
	for _, tc := range []struct {
		name  string
		exact bool
		ref   []claim.Element
		ev    []claim.Element
		want  bool
	}{
		{"same", true, []claim.Element{comp("a"), comp("b")}, []claim.Element{comp("b"), comp("a")}, true},
		{"surplus in the evidence", true, []claim.Element{comp("a")}, []claim.Element{comp("a"), comp("b")}, false},
		{"surplus in the evidence, no exact cover (A24)", false, []claim.Element{comp("a")}, []claim.Element{comp("a"), comp("b")}, true},
		{"one element serves two (A9)", false, []claim.Element{comp("a"), comp("a")}, []claim.Element{comp("a")}, true},
		{"one element must not serve two", true, []claim.Element{comp("a"), comp("a")}, []claim.Element{comp("a"), comp("b")}, false},
		{"needs another assignment", true, []claim.Element{svn(1, 1, true), svn(1, 5, false)}, []claim.Element{svn(1, 5, false), svn(1, 7, false)}, true},
	} {
		b := builder(t)
		assert(t, b, "s", endorse.Relations{References: []*endorse.Reference{{Environment: env("p"), Elements: tc.ref, ExactCover: tc.exact}}})
		a := appraise1(t, verified(t, ev(tc.ev...)), b.Set())
		if a.Trail[0].Accepted != tc.want {
			t.Errorf("%s: %v", tc.name, a.Trail[0].Accepted)
		}
	}
}

func TestKeyTriples(t *testing.T) {
	ak := claim.Bytes(claim.TagBytes, []byte("AK"))
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{{Key: claim.Uint(9), Values: claim.Values{CryptoKeys: []claim.ID{ak}}}}}
	for _, tc := range []struct {
		name string
		k    endorse.Keys
		want int
	}{
		{"key in the claims", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ak}}, 1},
		{"key that signed the evidence (A26)", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ekAuth[0]}}, 1},
		{"one key of two (A27)", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ekAuth[0], claim.Bytes(claim.TagBytes, []byte("?"))}}, 1},
		{"a key that nobody uses", endorse.Keys{Environment: env("e"), Keys: []claim.ID{claim.Bytes(claim.TagBytes, []byte("?"))}}, 0},
		{"another environment", endorse.Keys{Environment: env("f"), Keys: []claim.ID{ak}}, 0},
		{"by the element that holds it", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ak}, MKey: claim.Uint(9)}, 1},
		{"by another element", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ak}, MKey: claim.Uint(8)}, 0},
		{"under an authority", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ak}, AuthorizedBy: ekAuth[1:]}, 1},
		{"under another authority", endorse.Keys{Environment: env("e"), Keys: []claim.ID{ak}, AuthorizedBy: claim.Authority{ak}}, 0},
		{"a key that is none", endorse.Keys{Environment: env("e"), Keys: []claim.ID{claim.Text(claim.TagPKIXBase64Key, "no PEM")}}, 0},
	} {
		b := builder(t)
		assert(t, b, "s", endorse.Relations{Keys: []*endorse.Keys{&tc.k}})
		if a := appraise1(t, verified(t, ev), b.Set()); len(a.Keys) != tc.want {
			t.Errorf("%s: %+v", tc.name, a.Keys)
		}
	}
}

func dm(domain claim.Environment, members ...claim.Environment) *endorse.Domain {
	return &endorse.Domain{Domain: domain, Members: members}
}

func td(domain claim.Environment, trustees ...claim.Environment) *endorse.Domain {
	return &endorse.Domain{Domain: domain, Members: trustees, Dependency: true}
}

func TestDomains(t *testing.T) {
	a, b, c, top := env("a"), env("b"), env("c"), env("top")
	ects := []claim.ECT{{Environment: a, CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 1, false)}},
		{Environment: b, CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 1, false)}}}
	for _, tc := range []struct {
		name   string
		d      []*endorse.Domain
		want   int
		failed bool
		open   int // trustees that nothing corroborates
	}{
		{"members in the evidence", []*endorse.Domain{dm(top, a, b)}, 1, false, 0},
		{"a member that is not there", []*endorse.Domain{dm(top, a, c)}, 0, false, 0},
		{"a domain of domains, whatever the order", []*endorse.Domain{dm(env("all"), top), dm(top, a, b)}, 2, false, 0},
		{"dependency on a member", []*endorse.Domain{dm(top, a, b), td(top, a)}, 2, false, 0},
		{"dependency on what is not corroborated", []*endorse.Domain{dm(top, a, b), td(top, b)}, 2, false, 1},
		{"all trustees must be members (A4)", []*endorse.Domain{dm(top, a), td(top, a, b)}, 1, false, 0},
		{"dependency without membership (A29)", []*endorse.Domain{td(a, b)}, 0, false, 0},
		{"circle of memberships fails (A7)", []*endorse.Domain{dm(a, b), dm(b, a)}, 0, true, 0},
		{"circle of dependencies fails (A7)", []*endorse.Domain{dm(top, env("x"), a), dm(env("x"), a), dm(a, b), td(top, a), td(a, b), dm(b, a)}, 0, true, 0},
	} {
		bl := builder(t)
		assert(t, bl, "reference", endorse.Relations{References: []*endorse.Reference{{Environment: a, Elements: []claim.Element{svn(1, 1, false)}}}})
		assert(t, bl, "domains", endorse.Relations{Domains: tc.d})
		x := appraise1(t, verified(t, ects...), bl.Set())
		if len(x.Domains) != tc.want || (x.Failed != "") != tc.failed {
			t.Errorf("%s: %d domains, failed %q", tc.name, len(x.Domains), x.Failed)
		}
		open := 0
		for _, d := range x.Domains {
			open += len(d.Uncorroborated)
		}
		if open != tc.open {
			t.Errorf("%s: %d uncorroborated", tc.name, open)
		}
		if tc.failed && (x.Trail[0].Accepted || !strings.Contains(x.Failed, "domains")) {
			t.Errorf("%s: %q, and still something is accepted", tc.name, x.Failed)
		}
	}
}

func TestUnstratifiableIsRefused(t *testing.T) {
	self := series(env("e"), nil, item(env("e"), named("s", "b"), named("s", "a")), item(env("e"), named("s", "a")))
	if err := builder(t).Assert(source("s"), endorse.Relations{Series: []*endorse.Series{self}}); !fault.Is(err, fault.Malformed) {
		t.Errorf("a series that feeds itself: %v", err)
	}
	first := series(env("e"), nil, item(env("e"), named("s", "1"), named("t", "1")), item(env("e"), named("s", "0")))
	second := series(env("e"), nil, item(env("e"), named("t", "1"), named("u", "1")), item(env("e"), named("t", "0")))
	third := ce(cond(env("e"), named("u", "1")), cond(env("e"), named("s", "0")))
	for perm := range 3 {
		b := builder(t)
		parts := []endorse.Relations{{Series: []*endorse.Series{first}}, {Series: []*endorse.Series{second}}, {Endorsements: []*endorse.Endorsement{third}}}
		var errs []error
		for i := range parts {
			errs = append(errs, b.Assert(source(fmt.Sprint("s", i)), parts[(i+perm)%3]))
		}
		if errs[0] != nil || errs[1] != nil || !fault.Is(errs[2], fault.Malformed) {
			t.Errorf("a circle over three statements, order %d: %v", perm, errs)
		}
		if n := b.Set().Len(); n != 2 {
			t.Errorf("order %d: %d relations are in, want those that came before", perm, n)
		}
	}
}

// randomRelations makes statements over a small world, so that they often feed and contradict each other.
func randomRelations(r *rand.Rand) []endorse.Relations {
	e := func() claim.Environment { return env(string(rune('a' + r.IntN(2)))) }
	elem := func() claim.Element {
		if r.IntN(2) == 0 {
			return svn(uint64(r.IntN(3)), uint64(r.IntN(3)), r.IntN(2) == 0)
		}
		return named(string(rune('p'+r.IntN(3))), string(rune('0'+r.IntN(2))))
	}
	plain := func() claim.Element {
		x := elem()
		if x.Values.SVN != nil {
			x.Values.SVN.Min = false
		}
		return x
	}
	var out []endorse.Relations
	for range 1 + r.IntN(7) {
		v := e()
		switch r.IntN(5) {
		case 0, 1:
			out = append(out, endorse.Relations{References: []*endorse.Reference{{Environment: v, Elements: []claim.Element{elem()}}}})
		case 2:
			out = append(out, endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditions: []claim.ECT{cond(v)}, Additions: []claim.ECT{cond(v, plain())}}}})
		case 3:
			out = append(out, endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(v, plain()), cond(e(), elem()), cond(e(), elem()))}})
		case 4:
			out = append(out, endorse.Relations{Series: []*endorse.Series{series(v, nil, item(v, plain(), elem()), item(v, plain(), elem()))}})
		}
	}
	return out
}

func randomEvidence(r *rand.Rand) []claim.ECT {
	var out []claim.ECT
	for _, c := range []string{"a", "b"} {
		x := claim.ECT{Environment: env(c), CMType: claim.CMEvidence, Authority: ekAuth}
		for i := range uint64(3) {
			if r.IntN(3) > 0 {
				x.Elements = append(x.Elements, svn(i, uint64(r.IntN(3)), false))
			}
		}
		if r.IntN(2) == 0 {
			x.Elements = append(x.Elements, named("p", "0"))
		}
		out = append(out, x)
	}
	return out
}

// stratified leaves out what would make the set unstratified, by a fixed rule, so that every order of the same list
// holds the same statements.
func stratified(t testing.TB, rels []endorse.Relations) []endorse.Relations {
	b := builder(t)
	var out []endorse.Relations
	for i, r := range rels {
		if b.Assert(source(fmt.Sprint("probe ", i)), r) == nil {
			out = append(out, r)
		}
	}
	return out
}

func appraiseInOrder(t testing.TB, rels []endorse.Relations, order []int, ects []claim.ECT, snapshots bool) *Attester {
	b := builder(t)
	for _, i := range order {
		if err := b.Assert(source(fmt.Sprint("signer ", i)), rels[i]); err != nil {
			t.Fatalf("statement %d in order %v: %v", i, order, err)
		}
		if snapshots {
			b.Set()
		}
	}
	return appraise1(t, evidencetest.New(t, evidencetest.Content{TEE: "snp", Time: now, ECTs: ects}), b.Set())
}

// Whatever the order in which statements arrive, and however often snapshots were taken, the outcome is the same.
func checkOrder(t testing.TB, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	rels, ects := stratified(t, randomRelations(r)), randomEvidence(r)
	order := make([]int, len(rels))
	for i := range order {
		order[i] = i
	}
	want := acsText(appraiseInOrder(t, rels, order, ects, false))
	for range 3 {
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		if got := acsText(appraiseInOrder(t, rels, order, ects, r.IntN(2) == 0)); got != want {
			t.Fatalf("seed %d, order %v:\n%s\nwant\n%s", seed, order, got, want)
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	for seed := range uint64(400) {
		checkOrder(t, seed)
	}
}

func FuzzAnyTwoOrdersAgree(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkOrder(t, seed) })
}

func acceptedNames(a *Attester) map[string]bool {
	out := map[string]bool{}
	for i, l := range a.Trail {
		if l.Accepted {
			out[fmt.Sprint(i, l.Claim, l.Value)] = true
		}
	}
	return out
}

func TestProperties(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		rels, ects := stratified(t, randomRelations(r)), randomEvidence(r)
		all := make([]int, len(rels))
		for i := range all {
			all[i] = i
		}
		full := appraiseInOrder(t, rels, all, ects, false)

		// Taking away a reference value or an unconditional endorsement accepts nothing new.
		for i, x := range rels {
			if len(x.Series) > 0 {
				continue
			}
			if feedsSeries(rels) {
				break // a series may say something worse when it sees less
			}
			less := appraiseInOrder(t, rels, slices.Delete(slices.Clone(all), i, i+1), ects, false)
			for k := range acceptedNames(less) {
				if !acceptedNames(full)[k] {
					t.Fatalf("seed %d: without statement %d %s is accepted", seed, i, k)
				}
			}
		}
		// A surplus claim in the evidence makes no other claim acceptable.
		more := slices.Clone(ects)
		more[1].Elements = append(slices.Clone(more[1].Elements), svn(77, 1, false))
		for k := range acceptedNames(appraiseInOrder(t, rels, all, more, false)) {
			if !acceptedNames(full)[k] {
				t.Fatalf("seed %d: a surplus claim got %s accepted", seed, k)
			}
		}
		// Saying everything twice changes nothing.
		b := builder(t)
		for i := range rels {
			src := source(fmt.Sprint("signer ", i))
			for range 2 {
				if err := b.Assert(src, rels[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := acsText(appraise1(t, evidencetest.New(t, evidencetest.Content{TEE: "snp", Time: now, ECTs: ects}), b.Set())); got != acsText(full) {
			t.Fatalf("seed %d: twice\n%s\nonce\n%s", seed, got, acsText(full))
		}
	}
}

func feedsSeries(rels []endorse.Relations) bool {
	return slices.ContainsFunc(rels, func(r endorse.Relations) bool { return len(r.Series) > 0 })
}
