package compare

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/assay-tee/assay/claim"
)

func ptr[T any](v T) *T { return &v }

func dig(alg int64, seed byte, size int) claim.Digest {
	return claim.Digest{Alg: alg, Value: bytes.Repeat([]byte{seed}, size)}
}

func digests(d ...claim.Digest) claim.Values { return claim.Values{Digests: d} }
func svnIs(n uint64) claim.Values            { return claim.Values{SVN: &claim.SVN{Value: n}} }
func svnMin(n uint64) claim.Values           { return claim.Values{SVN: &claim.SVN{Value: n, Min: true}} }
func rawIs(b ...byte) claim.Values           { return claim.Values{Raw: &claim.Raw{Value: b}} }
func masked(v, m []byte) claim.Values        { return claim.Values{Raw: &claim.Raw{Value: v, Mask: m}} }
func intIs(i int64) claim.Values {
	return claim.Values{IntRange: &claim.IntRange{Value: ptr(claim.IntOf(i))}}
}
func between(lo, hi *claim.Int) claim.Values {
	return claim.Values{IntRange: &claim.IntRange{Range: &claim.Range[claim.Int]{Min: lo, Max: hi}}}
}
func num(n claim.Number) claim.Values { return claim.Values{Number: &claim.NumberChoice{Value: &n}} }
func float(f float64) claim.Number    { return claim.Number{Float: true, F: f} }
func whole(i int64) claim.Number      { return claim.Number{I: claim.IntOf(i)} }
func flagged(f ...any) claim.Values {
	var v claim.Values
	for i := 0; i < len(f); i += 2 {
		v.Flags = v.Flags.With(f[i].(claim.Flag), f[i+1].(bool))
	}
	return v
}
func regs(r ...claim.Register) claim.Values { return claim.Values{Registers: r} }
func keys(k ...claim.ID) claim.Values       { return claim.Values{CryptoKeys: k} }

// One line per rule of the draft's section on comparison: condition, accepted value, whether it is met.
func TestRules(t *testing.T) {
	sha, sha384 := dig(claim.SHA256, 1, 32), dig(claim.SHA384, 2, 48)
	other := dig(claim.SHA256, 9, 32)
	text := claim.Digest{AlgName: "x-hash", Value: []byte{1}}
	k1, k2 := claim.Bytes(claim.TagBytes, []byte{1}), claim.Bytes(claim.TagBytes, []byte{2})
	five, fiveText := claim.Uint(5), claim.Text(claim.TagNone, "5")
	i := func(n int64) *claim.Int { return ptr(claim.IntOf(n)) }
	maxInt, minInt := claim.Int{Mag: math.MaxUint64}, claim.Int{Neg: true, Mag: math.MaxUint64}
	for _, tc := range []struct {
		name      string
		cond, acc claim.Values
		want      bool
	}{
		{"nothing asked", claim.Values{}, svnIs(1), false},
		{"nothing there", svnIs(1), claim.Values{}, false},
		{"surplus in A", svnIs(1), claim.Values{SVN: &claim.SVN{Value: 1}, Name: ptr("x")}, true},
		{"one of two missing", claim.Values{SVN: &claim.SVN{Value: 1}, Name: ptr("x")}, svnIs(1), false},

		{"version", claim.Values{Version: &claim.Version{Text: "1.0", Scheme: "semver"}}, claim.Values{Version: &claim.Version{Text: "1.0", Scheme: "semver"}}, true},
		{"version, other text", claim.Values{Version: &claim.Version{Text: "1.0"}}, claim.Values{Version: &claim.Version{Text: "1.1"}}, false},
		{"version, no scheme asked (A8)", claim.Values{Version: &claim.Version{Text: "1.0"}}, claim.Values{Version: &claim.Version{Text: "1.0", Scheme: "semver"}}, true},
		{"version, scheme asked and absent (A8)", claim.Values{Version: &claim.Version{Text: "1.0", Scheme: "semver"}}, claim.Values{Version: &claim.Version{Text: "1.0"}}, false},
		{"version, newer is not equal (A8)", claim.Values{Version: &claim.Version{Text: "1.0"}}, claim.Values{Version: &claim.Version{Text: "2.0"}}, false},

		{"svn equal", svnIs(3), svnIs(3), true},
		{"svn larger than asked", svnIs(3), svnIs(4), false},
		{"min-svn reached", svnMin(3), svnIs(3), true},
		{"min-svn exceeded", svnMin(3), svnIs(4), true},
		{"min-svn missed", svnMin(3), svnIs(2), false},
		{"553 in A against plain C", svnIs(3), svnMin(3), false},
		{"553 in A against the same 553", svnMin(3), svnMin(3), true},
		{"553 in A against a lower 553", svnMin(2), svnMin(3), false},
		{"the largest svn", svnMin(math.MaxUint64), svnIs(math.MaxUint64), true},

		{"digest", digests(sha), digests(sha), true},
		{"digest differs", digests(sha), digests(other), false},
		{"no common algorithm", digests(sha), digests(sha384), false},
		{"one common of two", digests(sha, sha384), digests(sha384), true},
		{"one common agrees, one differs", digests(sha, sha384), digests(other, sha384), false},
		{"A repeats an algorithm", digests(sha), digests(sha, sha), false},
		{"C repeats an algorithm", digests(sha, sha), digests(sha), false},
		{"digest of wrong length in C", digests(dig(claim.SHA256, 1, 31)), digests(dig(claim.SHA256, 1, 31)), false},
		{"empty digest", digests(claim.Digest{Alg: 99}), digests(claim.Digest{Alg: 99}), false},
		{"unknown text names are compared as they stand (A12)", digests(text), digests(text), true},
		{"text name against its number is another algorithm", digests(claim.Digest{AlgName: "x", Value: []byte{1}}), digests(claim.Digest{Alg: 0, Value: []byte{1}}), false},

		{"flag", flagged(claim.FlagDebug, false), flagged(claim.FlagDebug, false), true},
		{"flag differs", flagged(claim.FlagDebug, false), flagged(claim.FlagDebug, true), false},
		{"flag absent is unknown, not false", flagged(claim.FlagDebug, false), flagged(claim.FlagSecure, true), false},
		{"flag surplus in A", flagged(claim.FlagDebug, false), flagged(claim.FlagDebug, false, claim.FlagSecure, true), true},
		{"one of two flags", flagged(claim.FlagDebug, false, claim.FlagSecure, true), flagged(claim.FlagDebug, false), false},

		{"raw", rawIs(1, 2), rawIs(1, 2), true},
		{"raw differs", rawIs(1, 2), rawIs(1, 3), false},
		{"raw of another length", rawIs(1, 2), rawIs(1, 2, 0), false},
		{"masked", masked([]byte{0xf0}, []byte{0xf0}), rawIs(0xff), true},
		{"masked bit differs", masked([]byte{0xf0}, []byte{0xf0}), rawIs(0x7f), false},
		{"value bits outside the mask do not count", masked([]byte{0xff}, []byte{0x01}), rawIs(0x01), true},
		{"mask of another length", masked([]byte{1, 2}, []byte{0xff}), rawIs(1, 2), false},
		{"A shorter than a masked C", masked([]byte{1, 0}, []byte{0xff, 0}), rawIs(1), false},
		{"A with a mask", rawIs(1), masked([]byte{1}, []byte{1}), false},
		{"empty mask compares nothing but length", masked([]byte{}, []byte{}), rawIs(), true},

		{"mac", claim.Values{MAC: []byte{1, 2, 3, 4, 5, 6}}, claim.Values{MAC: []byte{1, 2, 3, 4, 5, 6}}, true},
		{"mac differs", claim.Values{MAC: []byte{1, 2, 3, 4, 5, 6}}, claim.Values{MAC: []byte{1, 2, 3, 4, 5, 7}}, false},
		{"ip", claim.Values{IP: []byte{1, 2, 3, 4}}, claim.Values{IP: []byte{1, 2, 3, 4}}, true},
		{"ip differs", claim.Values{IP: []byte{1, 2, 3, 4}}, claim.Values{IP: []byte{1, 2, 3, 5}}, false},
		{"serial", claim.Values{Serial: ptr("a")}, claim.Values{Serial: ptr("a")}, true},
		{"serial differs", claim.Values{Serial: ptr("a")}, claim.Values{Serial: ptr("A")}, false},
		{"ueid", claim.Values{UEID: []byte("1234567")}, claim.Values{UEID: []byte("1234567")}, true},
		{"ueid differs", claim.Values{UEID: []byte("1234567")}, claim.Values{UEID: []byte("1234568")}, false},
		{"uuid", claim.Values{UUID: make([]byte, 16)}, claim.Values{UUID: make([]byte, 16)}, true},
		{"uuid absent", claim.Values{UUID: make([]byte, 16)}, claim.Values{UEID: make([]byte, 16)}, false},
		{"name", claim.Values{Name: ptr("a")}, claim.Values{Name: ptr("a")}, true},
		{"name differs", claim.Values{Name: ptr("a")}, claim.Values{Name: ptr("b")}, false},
		{"bool", claim.Values{Bool: ptr(true)}, claim.Values{Bool: ptr(true)}, true},
		{"bool differs", claim.Values{Bool: ptr(true)}, claim.Values{Bool: ptr(false)}, false},

		{"keys", keys(k1), keys(k1), true},
		{"keys, A longer", keys(k1), keys(k1, k2), true},
		{"keys, A shorter", keys(k1, k2), keys(k1), false},
		{"keys, other order", keys(k1, k2), keys(k2, k1), false},
		{"keys, other tag", keys(k1), keys(claim.Bytes(claim.TagKeyThumbprint, []byte{1})), false},
		{"PEM with other line ends", keys(claim.Text(554, "a\nb\n")), keys(claim.Text(554, "a\r\nb")), true},
		{"PEM differs", keys(claim.Text(554, "a\nb\n")), keys(claim.Text(554, "a\nc\n")), false},
		{"560 is compared as it stands", keys(claim.Text(560, "a\n")), keys(claim.Text(560, "a")), false},

		{"register", regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}), regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}, claim.Register{ID: claim.Uint(6), Digests: []claim.Digest{other}}), true},
		{"register differs", regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}), regs(claim.Register{ID: five, Digests: []claim.Digest{other}}), false},
		{`register "5" for 5`, regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}), regs(claim.Register{ID: fiveText, Digests: []claim.Digest{sha}}), false},
		{"register missing in A", regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}, claim.Register{ID: claim.Uint(6), Digests: []claim.Digest{sha}}), regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}), false},
		{"alternative states of a register are no match (A31)", regs(claim.Register{ID: five, Digests: []claim.Digest{sha, other}}), regs(claim.Register{ID: five, Digests: []claim.Digest{sha}}), false},

		{"int", intIs(-3), intIs(-3), true},
		{"int differs", intIs(-3), intIs(3), false},
		{"int in range", between(i(-5), i(5)), intIs(5), true},
		{"int below range", between(i(-5), i(5)), intIs(-6), false},
		{"int above range", between(i(-5), i(5)), intIs(6), false},
		{"half open below", between(nil, i(5)), intIs(math.MinInt64), true},
		{"half open above", between(i(5), nil), intIs(4), false},
		{"range in A against int", intIs(5), between(i(5), i(6)), false},
		{"range of one in A against int", intIs(5), between(i(5), i(5)), true},
		{"open range in A against int", intIs(5), between(i(5), nil), false},
		{"range inside range", between(i(0), i(10)), between(i(1), i(9)), true},
		{"range beyond range", between(i(0), i(10)), between(i(1), i(11)), false},
		{"open range against closed", between(i(0), i(10)), between(i(1), nil), false},
		{"open range against open", between(nil, nil), between(nil, nil), true},
		{"the ends of CBOR's integers", between(&minInt, &maxInt), between(&minInt, &maxInt), true},
		{"one above int64", between(nil, ptr(claim.IntOf(math.MaxInt64))), between(nil, ptr(claim.Int{Mag: 1 << 63})), false},

		{"number", num(whole(2)), num(float(2)), true},
		{"number, float that is no integer", num(whole(2)), num(float(2.5)), false},
		{"number beyond a float's precision", num(claim.Number{I: claim.Int{Mag: 1<<53 + 1}}), num(float(1 << 53)), false},
		{"the smallest integer as a number", num(claim.Number{I: minInt}), num(float(-18446744073709551616)), true},
		{"number in range", claim.Values{Number: &claim.NumberChoice{Range: &claim.Range[claim.Number]{Min: ptr(whole(1)), Max: ptr(float(2.5))}}}, num(float(2.5)), true},
		{"number out of range", claim.Values{Number: &claim.NumberChoice{Range: &claim.Range[claim.Number]{Min: ptr(whole(1)), Max: ptr(float(2.5))}}}, num(whole(3)), false},
		{"number in set", claim.Values{Number: &claim.NumberChoice{Set: []claim.Number{whole(1), whole(7)}}}, num(float(7)), true},
		{"number not in set", claim.Values{Number: &claim.NumberChoice{Set: []claim.Number{whole(1), whole(7)}}}, num(whole(2)), false},
		{"NaN equals nothing", num(float(math.NaN())), num(float(math.NaN())), false},
		{"infinity is in no range", claim.Values{Number: &claim.NumberChoice{Range: &claim.Range[claim.Number]{Min: ptr(whole(1))}}}, num(float(math.Inf(1))), false},
		{"a range in A is no number", num(whole(1)), claim.Values{Number: &claim.NumberChoice{Range: &claim.Range[claim.Number]{}}}, false},

		{"text", claim.Values{Text: &claim.TextChoice{Value: "a"}}, claim.Values{Text: &claim.TextChoice{Value: "a"}}, true},
		{"text in set", claim.Values{Text: &claim.TextChoice{Set: []string{"a", "b"}}}, claim.Values{Text: &claim.TextChoice{Value: "b"}}, true},
		{"text not in set", claim.Values{Text: &claim.TextChoice{Set: []string{"a", "b"}}}, claim.Values{Text: &claim.TextChoice{Value: "c"}}, false},
		{"a set in A is no text", claim.Values{Text: &claim.TextChoice{Value: ""}}, claim.Values{Text: &claim.TextChoice{Set: []string{"", "b"}}}, false},
		{"bytes", claim.Values{Bytes: &claim.BytesChoice{Value: []byte("a")}}, claim.Values{Bytes: &claim.BytesChoice{Value: []byte("a")}}, true},
		{"bytes in set", claim.Values{Bytes: &claim.BytesChoice{Set: [][]byte{{1}, {2}}}}, claim.Values{Bytes: &claim.BytesChoice{Value: []byte{2}}}, true},
		{"bytes not in set", claim.Values{Bytes: &claim.BytesChoice{Set: [][]byte{{1}, {2}}}}, claim.Values{Bytes: &claim.BytesChoice{Value: []byte{3}}}, false},
		{"a set in A are no bytes", claim.Values{Bytes: &claim.BytesChoice{}}, claim.Values{Bytes: &claim.BytesChoice{Set: [][]byte{{}, {1}}}}, false},

		{"extension without an algorithm", claim.Values{Ext: []claim.Extension{{Key: -70, CBOR: []byte{1}}}}, claim.Values{Ext: []claim.Extension{{Key: -70, CBOR: []byte{1}}}}, false},
		{"unknown positive code point (A18)", claim.Values{Ext: []claim.Extension{{Key: 12, CBOR: []byte{1}}}}, claim.Values{Ext: []claim.Extension{{Key: 12, CBOR: []byte{1}}}}, false},
	} {
		if got := Values(&tc.cond, &tc.acc, claim.ID{}, nil); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestProfileOverridesBase(t *testing.T) {
	never := func(cond, acc claim.Values) bool { return false }
	always := func(cond, acc claim.Values) bool { return true }
	lookup := func(mkey claim.ID, cp int64) Func {
		switch {
		case mkey == claim.Uint(6) && cp == SVN:
			return never
		case mkey == claim.Uint(642) && cp == Digests, cp == -70:
			return always
		}
		return nil
	}
	c := svnMin(1)
	a := svnIs(2)
	if Values(&c, &a, claim.Uint(6), lookup) {
		t.Error("the base rule was used where the profile has one")
	}
	if !Values(&c, &a, claim.Uint(7), lookup) {
		t.Error("the profile's rule was used for an element that it does not name")
	}
	d, r := digests(dig(claim.SHA384, 1, 32)), rawIs(1)
	if !Values(&d, &r, claim.Uint(642), lookup) {
		t.Error("a profile may compare a code point with another one")
	}
	x := claim.Values{Ext: []claim.Extension{{Key: -70}}}
	if !Values(&x, &a, claim.ID{}, lookup) {
		t.Error("a profile's own code point was not compared by it")
	}
}

func TestElementIDs(t *testing.T) {
	e := func(k claim.ID) *claim.Element { return &claim.Element{Key: k, Values: svnIs(1)} }
	for _, tc := range []struct {
		c, a claim.ID
		want bool
	}{
		{claim.ID{}, claim.ID{}, true}, {claim.Uint(1), claim.Uint(1), true}, {claim.ID{}, claim.Uint(1), false}, {claim.Uint(1), claim.ID{}, false},
		{claim.Uint(1), claim.Text(claim.TagNone, "1"), false},
	} {
		if got := Element(e(tc.c), e(tc.a), nil); got != tc.want {
			t.Errorf("%v against %v: %v", tc.c, tc.a, got)
		}
	}
}

func genInt(t *rapid.T, name string) claim.Int {
	return claim.IntOf(int64(rapid.IntRange(-4, 4).Draw(t, name)))
}

func genRange(t *rapid.T, name string) claim.IntRange {
	if rapid.Bool().Draw(t, name+" plain") {
		return claim.IntRange{Value: ptr(genInt(t, name))}
	}
	r := &claim.Range[claim.Int]{}
	if rapid.Bool().Draw(t, name+" has min") {
		r.Min = ptr(genInt(t, name+" min"))
	}
	if rapid.Bool().Draw(t, name+" has max") {
		r.Max = ptr(genInt(t, name+" max"))
	}
	return claim.IntRange{Range: r}
}

// Range against range agrees with enumeration, as far as ranges are not empty.
func TestIntRangeAgreesWithEnumeration(t *testing.T) {
	holds := func(r claim.IntRange, v int64) bool {
		lo, hi := ends(r)
		return (lo == nil || lo.Cmp(claim.IntOf(v)) <= 0) && (hi == nil || hi.Cmp(claim.IntOf(v)) >= 0)
	}
	rapid.Check(t, func(t *rapid.T) {
		c, a := genRange(t, "c"), genRange(t, "a")
		subset, empty := true, true
		for v := int64(-9); v <= 9; v++ {
			if holds(a, v) {
				empty = false
				subset = subset && holds(c, v)
			}
		}
		if empty {
			t.Skip("an empty range")
		}
		// Beyond ±9 only open ends reach.
		lo, hi := ends(a)
		clo, chi := ends(c)
		subset = subset && (lo != nil || clo == nil) && (hi != nil || chi == nil)
		if got := intRange(c, a); got != subset {
			t.Fatalf("intRange(%v, %v) = %v, enumeration says %v", c, a, got, subset)
		}
	})
}

func genDigests(t *rapid.T, name string) []claim.Digest {
	var out []claim.Digest
	for _, alg := range []int64{claim.SHA256, claim.SHA3_256, 77} {
		if rapid.Bool().Draw(t, name) {
			out = append(out, dig(alg, byte(rapid.IntRange(0, 1).Draw(t, name+" value")), 32))
		}
	}
	return out
}

// Taking away from A an algorithm that agrees never turns a refusal into a match: only the loss of one that differs
// could, and that is why no algorithm of the evidence may be dropped before the comparison.
func TestDigestDowngrade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, a := genDigests(t, "c"), genDigests(t, "a")
		if len(a) == 0 || DigestLists(c, a) {
			return
		}
		i := rapid.IntRange(0, len(a)-1).Draw(t, "dropped")
		dropped := a[i]
		rest := append(append([]claim.Digest(nil), a[:i]...), a[i+1:]...)
		differs := false
		for _, d := range c {
			differs = differs || d.SameAlg(dropped) && !d.Equal(dropped)
		}
		if DigestLists(c, rest) && !differs {
			t.Fatalf("%v meets %v only without %v", rest, c, dropped)
		}
	})
}

func TestContainmentIsReflexiveOnPlainValues(t *testing.T) {
	for name, v := range map[string]claim.Values{
		"svn": svnIs(3), "digest": digests(dig(claim.SHA256, 1, 32)), "raw": rawIs(1, 2), "int": intIs(-1), "number": num(float(1.5)),
		"flags": flagged(claim.FlagDebug, true), "name": {Name: ptr("a")}, "keys": keys(claim.Uint(1)),
	} {
		if !Values(&v, &v, claim.ID{}, nil) || !Equal(&v, &v) {
			t.Errorf("%s does not meet itself", name)
		}
	}
}

func TestProjectSaysNoMoreThanTheCondition(t *testing.T) {
	acc := claim.Values{SVN: &claim.SVN{Value: 3}, Name: ptr("n"), Digests: []claim.Digest{dig(claim.SHA256, 1, 32), dig(claim.SHA384, 2, 48)},
		Registers: []claim.Register{{ID: claim.Uint(0), Digests: []claim.Digest{dig(claim.SHA256, 1, 32)}}, {ID: claim.Uint(1), Digests: []claim.Digest{dig(claim.SHA256, 2, 32)}}}}
	acc.Flags = acc.Flags.With(claim.FlagDebug, false).With(claim.FlagSecure, true)
	cond := claim.Values{SVN: &claim.SVN{Value: 1, Min: true}, Digests: []claim.Digest{dig(claim.SHA256, 1, 32)}, Registers: acc.Registers[1:]}
	cond.Flags = cond.Flags.With(claim.FlagDebug, false)
	got := Project(&cond, &acc)
	want := claim.Values{SVN: acc.SVN, Digests: acc.Digests[:1], Registers: acc.Registers[1:], Flags: claim.Flags{}.With(claim.FlagDebug, false)}
	if !Equal(&got, &want) {
		t.Errorf("%s\nwant %s", Render(&got), Render(&want))
	}
	// A value that a profile compared with another code point is returned whole.
	other := claim.Values{Raw: &claim.Raw{Value: []byte{1}}}
	if got := Project(&cond, &other); !Equal(&got, &other) {
		t.Errorf("%s", Render(&got))
	}
}

func TestWhyNamesTheBit(t *testing.T) {
	c, a := masked(make([]byte, 8), []byte{0, 0, 8, 0, 0, 0, 0, 0}), rawIs(0, 0, 0x0b, 0, 0, 0, 0, 0)
	cp, differs := FirstDifference(&c, &a, claim.ID{}, nil)
	if !differs || cp != Raw {
		t.Fatalf("%d %v", cp, differs)
	}
	if got := Why(&c, &a, cp); got != "bit 19 is 1, must be 0" {
		t.Errorf("%q", got)
	}
	c, a = flagged(claim.FlagDebug, false), flagged(claim.FlagDebug, true)
	if got := Why(&c, &a, Flags); got != "is-debug is true, must be false" {
		t.Errorf("%q", got)
	}
	if got := RenderPoint(&claim.Values{}, SVN); got != Absent {
		t.Errorf("%q", got)
	}
}

// Whatever the values, comparing, rendering and explaining them does not fail.
func FuzzCompare(f *testing.F) {
	f.Add(uint64(1), []byte{1, 2}, []byte{3}, uint16(3), true)
	f.Fuzz(func(t *testing.T, n uint64, b, m []byte, flags uint16, min bool) {
		c := claim.Values{SVN: &claim.SVN{Value: n, Min: min}, Raw: &claim.Raw{Value: b, Mask: m}, Flags: claim.Flags{Known: flags & 0x7ff, Value: uint16(n)},
			Digests: []claim.Digest{{Alg: int64(n), Value: b}}, Ext: []claim.Extension{{Key: -1, CBOR: b}}, Text: &claim.TextChoice{Value: string(b)},
			IntRange: &claim.IntRange{Range: &claim.Range[claim.Int]{Min: &claim.Int{Mag: n, Neg: min}}}}
		a := claim.Values{SVN: &claim.SVN{Value: uint64(len(b))}, Raw: &claim.Raw{Value: m}, Flags: claim.Flags{Known: 0x7ff, Value: flags},
			Digests: []claim.Digest{{Alg: int64(n), Value: m}}, IntRange: &claim.IntRange{Value: &claim.Int{Mag: n}}}
		for _, p := range [][2]*claim.Values{{&c, &a}, {&a, &c}, {&a, &a}, {&c, &c}} {
			if cp, differs := FirstDifference(p[0], p[1], claim.ID{}, nil); differs {
				_ = Why(p[0], p[1], cp) + RenderPoint(p[0], cp) + RenderPoint(p[1], cp)
			}
			got := Project(p[0], p[1])
			_ = Render(&got)
			ConditionForm(p[0])
		}
	})
}
