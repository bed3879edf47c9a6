package appraise

import (
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/internal/fault"
)

func TestReferenceVouches(t *testing.T) {
	b := builder(t)
	src := assert(t, b, "Example Firmware", reference(measurement("image")))
	a := appraise1(t, verified(t, snpGuest("chip", "image")), b.Set())
	m := a.line(t, "measurement")
	if !m.Accepted || len(m.Vouchers) != 1 || m.Vouchers[0].Source != src || m.Vouchers[0].Relation != "reference-value" || m.Nearest != nil {
		t.Errorf("measurement: %+v", m)
	}
	if m.Root != "ARK-Milan" || m.Field != "MEASUREMENT at 0x090" || len(m.Value) != 96 {
		t.Errorf("what the line says: %+v", m)
	}
	for _, e := range a.Trail {
		if e.Accepted != (e.Claim == "measurement") {
			t.Errorf("%s accepted = %v: a statement vouches for what it names and for nothing else", e.Claim, e.Accepted)
		}
	}
	if len(a.Accepted) != 2 || a.Accepted[1].CMType != claim.CMReferenceValues || len(a.Accepted[1].Elements) != 1 {
		t.Errorf("accepted claims: %+v", a.Accepted)
	}
}

func TestWhyNot(t *testing.T) {
	b := builder(t)
	policy := claim.Element{Key: claim.Uint(2), Values: claim.Values{Raw: &claim.Raw{Value: make([]byte, 8), Mask: []byte{0, 0, 8, 0, 0, 0, 0, 0}}}}
	vmpl := claim.Element{Key: claim.Uint(5), Values: claim.Values{IntRange: &claim.IntRange{Range: &claim.Range[claim.Int]{Min: ptr(claim.IntOf(0)), Max: ptr(claim.IntOf(1))}}}}
	assert(t, b, "Example Firmware", reference(measurement("image"), policy, vmpl))
	set := b.Set()
	change := func(f func(e *claim.ECT)) *evidence.Verified {
		e := snpGuest("chip", "image")
		f(&e)
		return verified(t, e)
	}
	for _, tc := range []struct {
		name, claim, what string
		why               []string
		v                 *evidence.Verified
	}{
		{"other image", "measurement", "measurement", []string{"measurement differs: evidence ", " statement ", `by "Example Firmware" id id of Example Firmware`},
			verified(t, snpGuest("chip", "other"))},
		{"debug allowed", "measurement", "policy", []string{"policy differs", "bit 19 is 1, must be 0"},
			change(func(e *claim.ECT) { e.Elements[3] = rawElement(2, "policy", []byte{0, 0, 0x0b, 0, 0, 0, 0, 0}) })},
		{"debug allowed, at the policy itself", "policy", "policy", []string{"bit 19"},
			change(func(e *claim.ECT) { e.Elements[3] = rawElement(2, "policy", []byte{0, 0, 0x0b, 0, 0, 0, 0, 0}) })},
		{"VMPL 2", "vmpl", "vmpl", []string{"evidence 2", "statement 0 to 1"},
			change(func(e *claim.ECT) {
				e.Elements[6].Values = claim.Values{IntRange: &claim.IntRange{Value: ptr(claim.IntOf(2))}}
			})},
		{"element missing", "measurement", "element 5", []string{"not in the evidence"},
			change(func(e *claim.ECT) { e.Elements[6].Key = claim.Uint(99) })},
	} {
		a := appraise1(t, tc.v, set)
		l := a.line(t, tc.claim)
		if l.Accepted || l.Nearest == nil || l.Nearest.What != tc.what {
			t.Errorf("%s: %+v %+v", tc.name, l, l.Nearest)
			continue
		}
		for _, w := range tc.why {
			if !strings.Contains(l.Nearest.Why, w) {
				t.Errorf("%s: %q does not say %q", tc.name, l.Nearest.Why, w)
			}
		}
	}
}

func TestExpectationByName(t *testing.T) {
	image := digest384("image")[0].Value
	for _, tc := range []struct {
		name   string
		tee    string
		expect []endorse.Expectation
		want   bool
		unmet  string
	}{
		{"the measurement", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image}}}, true, ""},
		{"one of several", "snp", []endorse.Expectation{{Name: "measurement", Values: [][]byte{{1}, image}}}, true, ""},
		{"another measurement", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{digest384("x")[0].Value}}}, false, "measurement"},
		{"half of it", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:24]}}}, false, "measurement"},
		{"one of two differs", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image}}, {Name: "host-data", Values: [][]byte{{9}}}}, false, "host-data"},
		{"for another TEE", "tdx", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image}}}, false, "measurement"},
		{"no such claim", "", []endorse.Expectation{{Name: "mrtd", Values: [][]byte{image}}}, false, "mrtd"},
		{"a number", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image}}, {Name: "guest_svn", Values: [][]byte{{0, 3}}}}, true, ""},
		{"another number", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image}}, {Name: "vmpl", Values: [][]byte{{1}}}}, false, "vmpl"},
		{"written with a hyphen", "", []endorse.Expectation{{Name: "host_data", Values: [][]byte{make([]byte, 32)}}, {Name: "measurement", Values: [][]byte{image}}}, true, ""},
	} {
		b := builder(t)
		if err := b.Local("--expect", tc.tee, tc.expect); err != nil {
			t.Fatal(err)
		}
		a := appraise1(t, verified(t, snpGuest("chip", "image")), b.Set())
		if l := a.line(t, "measurement"); l.Accepted != tc.want {
			t.Errorf("%s: accepted = %v", tc.name, l.Accepted)
		}
		unmet := ""
		if len(a.Unmet) > 0 {
			unmet = a.Unmet[0].What
		}
		if unmet != tc.unmet {
			t.Errorf("%s: unmet %q, want %q", tc.name, unmet, tc.unmet)
		}
	}
	if err := builder(t).Local("x", "", nil); !fault.Is(err, fault.Usage) {
		t.Errorf("no expectation: %v", err)
	}
	if err := builder(t).Local("x", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{{}}}}); !fault.Is(err, fault.Usage) {
		t.Errorf("empty value: %v", err)
	}
}

// What the operator expects counts more than what a statement vouches for.
func TestExpectationContradictsStatement(t *testing.T) {
	b := builder(t)
	assert(t, b, "Example Firmware", reference(measurement("image")))
	if err := b.Local("--expect", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{{1, 2}}}}); err != nil {
		t.Fatal(err)
	}
	l := appraise1(t, verified(t, snpGuest("chip", "image")), b.Set()).line(t, "measurement")
	if l.Accepted || len(l.Vouchers) != 1 || l.Nearest == nil || l.Nearest.Kind != "local" {
		t.Errorf("%+v", l)
	}
}

func TestExpiredStatementDoesNotCount(t *testing.T) {
	b := builder(t)
	s := source("Example Firmware")
	s.NotAfter = now.Add(-time.Second)
	if err := b.Assert(s, reference(measurement("image"))); err != nil {
		t.Fatal(err)
	}
	l := appraise1(t, verified(t, snpGuest("chip", "image")), b.Set()).line(t, "measurement")
	if l.Accepted || l.Nearest == nil || l.Nearest.What != "validity" {
		t.Errorf("%+v %+v", l, l.Nearest)
	}
}

func TestRefusesWhatOtherStagesDidNotMake(t *testing.T) {
	set := builder(t).Set()
	good := verified(t, snpGuest("chip", "image"))
	bad := func(v claim.Values) *evidence.Verified {
		e := snpGuest("chip", "image")
		e.Elements = append(e.Elements, claim.Element{Key: claim.Uint(9), Values: v})
		return verified(t, e)
	}
	noEnv, noAuth, notEvidence := snpGuest("c", "i"), snpGuest("c", "i"), snpGuest("c", "i")
	noEnv.Environment, noAuth.Authority, notEvidence.CMType = claim.Environment{}, nil, claim.CMEndorsements
	for _, tc := range []struct {
		name string
		in   []Input
		set  *endorse.Set
		want fault.Class
	}{
		{"nothing", nil, set, fault.Usage},
		{"zero set", []Input{{Verified: good}}, &endorse.Set{}, fault.Internal},
		{"nil set", []Input{{Verified: good}}, nil, fault.Internal},
		{"zero evidence", []Input{{Verified: &evidence.Verified{}}}, set, fault.Internal},
		{"nil evidence", []Input{{}}, set, fault.Internal},
		{"one label twice", []Input{{"a", good}, {"a", good}}, set, fault.Usage},
		{"min-svn in evidence (A15)", []Input{{Verified: bad(claim.Values{SVN: &claim.SVN{Value: 1, Min: true}})}}, set, fault.Internal},
		{"mask in evidence (A15)", []Input{{Verified: bad(claim.Values{Raw: &claim.Raw{Value: []byte{1}, Mask: []byte{1}}})}}, set, fault.Internal},
		{"range in evidence (A15)", []Input{{Verified: bad(claim.Values{IntRange: &claim.IntRange{Range: &claim.Range[claim.Int]{}}})}}, set, fault.Internal},
		{"set in evidence (A15)", []Input{{Verified: bad(claim.Values{Text: &claim.TextChoice{Set: []string{"a", "b"}}})}}, set, fault.Internal},
		{"tagged extension in evidence (A15)", []Input{{Verified: bad(claim.Values{Ext: []claim.Extension{{Key: -73, CBOR: []byte{0xd9, 0x02, 0x29, 1}}}})}}, set, fault.Internal},
		{"extension list in evidence (A15)", []Input{{Verified: bad(claim.Values{Ext: []claim.Extension{{Key: -125, CBOR: []byte{0x82, 0, 0xd9, 0x02, 0x29, 1}}}})}}, set, fault.Internal},
		{"no environment", []Input{{Verified: verified(t, noEnv)}}, set, fault.Internal},
		{"no authority", []Input{{Verified: verified(t, noAuth)}}, set, fault.Internal},
		{"not evidence", []Input{{Verified: verified(t, notEvidence)}}, set, fault.Internal},
	} {
		if _, err := Appraise(tc.in, tc.set); !fault.Is(err, tc.want) {
			t.Errorf("%s: %v, want class %v", tc.name, err, tc.want)
		}
	}
	if (&Appraisal{}).Valid() {
		t.Error("the zero appraisal is valid")
	}
}

func TestPartsAreAppraisedApart(t *testing.T) {
	part := verified(t, snpGuest("chip 2", "other"))
	lead := evidencetest.New(t, evidencetest.Content{TEE: "snp", Time: now, ECTs: []claim.ECT{snpGuest("chip", "image")},
		Parts: []evidence.Part{{Label: "vtpm", Verified: part}, {Label: "snp", Verified: part}}})
	b := builder(t)
	assert(t, b, "f", reference(measurement("image")))
	a, err := Appraise([]Input{{Verified: lead}}, b.Set())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range a.Attesters() {
		s := x.Label + " refused"
		if x.line(t, "measurement").Accepted {
			s = x.Label + " accepted"
		}
		got = append(got, s)
	}
	if want := "snp accepted, vtpm refused, snp/snp refused"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
}

// The golden appraisal of the draft, section 8.3.6.
func TestGoldenPSA(t *testing.T) {
	class := claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte("acme-implementation-id-000000001"))}}
	state := func(d string) claim.Element {
		return claim.Element{Key: claim.Text(claim.TagNone, "psa.software-component"), Values: claim.Values{
			Digests: []claim.Digest{{Alg: claim.SHA256, Value: unhex(t, d)}}, Name: ptr("PRoT"),
			CryptoKeys: []claim.ID{claim.Bytes(claim.TagBytes, unhex(t, "5378796307535df3ec8d8b15a2e2dc5641419c3d3060cfe32238c0fa973f7aa3"))}}}
	}
	first, second := state("9a271f2a916b0b6ee6cecb2426f0b3206ef074578be55d9bc94f6f3fe3ab86aa"), state("a3fe9f414586c0d3cacbe3b6920a09d8718e503bca22e23fef882203bf765065")
	const profile = "tag:arm.com,2025:psa#1.0.0"
	signer := func(name, thumb string) *endorse.Source {
		return &endorse.Source{Kind: "corim", ID: name, Signer: name, Authority: claim.Authority{claim.DigestID(claim.TagCertThumbprint, claim.Digest{Alg: claim.SHA256, Value: unhex(t, thumb)})}}
	}
	manufacturer := signer("manufacturer", "482e829ad29ac6ea6eda2d47d1d93a002bf41d9d88710ba972c36e59038f78b3")
	certifier := signer("certifier", "768ff09154f6aacda857cb175ef29cf9d23ef9c38c69efdbf20354dbfd7875b1")
	certification := claim.Element{Key: claim.Text(claim.TagNone, "psa.certification"), Values: claim.Values{Ext: []claim.Extension{{Key: 100, CBOR: append([]byte{0x75}, "1234567890123 - 12345"...)}}}}

	b := builder(t)
	if err := b.Assert(manufacturer, endorse.Relations{References: []*endorse.Reference{
		{Environment: class, Elements: []claim.Element{first}, Profile: profile}, {Environment: class, Elements: []claim.Element{second}, Profile: profile}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Assert(certifier, endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditional: true, Profile: profile,
		Conditions: []claim.ECT{{Environment: class, Elements: []claim.Element{first}}}, Additions: []claim.ECT{{Environment: class, Elements: []claim.Element{certification}}}}}}); err != nil {
		t.Fatal(err)
	}
	device := class
	device.Instance = claim.Bytes(claim.TagUEID, unhex(t, "014ca3e4f50bf248c39787020d68ffd05c88767751bf2645ca923f57a98becd296"))
	ev := claim.ECT{Environment: device, Elements: []claim.Element{first}, CMType: claim.CMEvidence, Profile: profile, Authority: claim.Authority{claim.Text(claim.TagPKIXBase64Key, "-----BEGIN PUBLIC KEY-----…")}}
	a := appraise1(t, evidencetest.New(t, evidencetest.Content{TEE: "psa", Time: now, ECTs: []claim.ECT{ev}}), b.Set())

	want := []claim.ECT{ev, {Environment: class, Elements: []claim.Element{first}, Authority: manufacturer.Authority, Profile: profile, CMType: claim.CMReferenceValues},
		{Environment: class, Elements: []claim.Element{certification}, Authority: certifier.Authority, Profile: profile, CMType: claim.CMEndorsements}}
	if len(a.Accepted) != len(want) {
		t.Fatalf("%d ECTs, want %d: %+v", len(a.Accepted), len(want), a.Accepted)
	}
	for i, w := range want {
		g := a.Accepted[i]
		if g.Environment != w.Environment || g.CMType != w.CMType || g.Profile != w.Profile || !sameAuthority(g.Authority, w.Authority) ||
			len(g.Elements) != 1 || g.Elements[0].Key != w.Elements[0].Key || !compare.Equal(&g.Elements[0].Values, &w.Elements[0].Values) {
			t.Errorf("ECT %d is\n%+v\nwant\n%+v", i, g.ECT, w)
		}
	}
	if l := a.Trail[0]; !l.Accepted || len(a.Endorsed) != 1 || a.Endorsed[0].Vouchers[0].Relation != "conditional-endorsement" {
		t.Errorf("trail %+v %+v", a.Trail, a.Endorsed)
	}
}
