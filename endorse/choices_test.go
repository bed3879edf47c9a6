package endorse

import (
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// The choices where the draft is ambiguous (specs corim.md section 17) that admission makes; the number is the line.

// A14: of rim-validity, signature validity, certificate and anchor the intersection counts, at admission and afterwards.
func TestChoiceA14(t *testing.T) {
	k := newKey(t)
	a := anchor("a", k)
	a.NotAfter = now.Add(30 * time.Minute)
	m := manifest("m", comid("t", 0, measured(1)))
	m.Validity = &corim.Validity{NotAfter: now.Add(2 * time.Hour)}
	b := newBuilder(t, Config{Anchors: []*Anchor{a}})
	r := admit(t, b, sign(t, m, k, corim.SignOptions{Validity: &corim.Validity{NotAfter: now.Add(time.Hour)}}))
	if !r.NotAfter.Equal(a.NotAfter) {
		t.Errorf("holds until %v, the anchor ends %v", r.NotAfter, a.NotAfter)
	}
	var sel Selection
	e := measured(1)
	b.Set().Select(&class, []*claim.Element{&e}, &sel)
	if len(sel.References) != 1 || !sel.References[0].Source.ValidAt(now) || sel.References[0].Source.ValidAt(now.Add(45*time.Minute)) {
		t.Error("the intersection does not travel with the relation")
	}
}

// A17: a link to a CoSWID has to resolve, and what its payload lists becomes no reference value.
func TestChoiceA17(t *testing.T) {
	k := newKey(t)
	c := comid("t", 0, measured(1))
	c.Triples.CoSWID = []corim.CoSWIDTriple{{Environment: class, TagIDs: []claim.ID{tagID("sw")}}}
	m := manifest("m", c)
	m.CoSWIDs = []corim.CoSWID{{TagID: tagID("sw"), SoftwareName: "x", Entities: []corim.CoSWIDEntity{{Name: "x", Roles: []int64{1}}},
		Payload: []corim.CoSWIDFile{{Path: "kernel", Digest: claim.Digest{Alg: claim.SHA256, Value: make([]byte, 32)}}}}}
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	if r := admit(t, b, sign(t, m, k, corim.SignOptions{})); r.Relations != 1 || b.Set().Len() != 1 {
		t.Errorf("%d relations, want the one of the reference triple", r.Relations)
	}
}

// A21: a hash envelope without the digest is refused, and a detached statement counts only with its manifest.
func TestChoiceA21(t *testing.T) {
	k := newKey(t)
	raw, err := corim.Encode(manifest("m", comid("t", 0, measured(1))), corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := corim.Sign(raw, k, corim.SignOptions{SignerName: "A", Detached: true, HashAlg: -16}); !fault.Is(err, fault.Usage) {
		t.Errorf("both at once: %v", err)
	}
	signed, err := corim.Sign(raw, k, corim.SignOptions{SignerName: "A", Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	if _, err := b.Admit(signed); err == nil || b.Set().Len() != 0 {
		t.Errorf("a detached statement without its manifest: %v", err)
	}
	if _, err := b.AdmitDetached(signed, raw); err != nil {
		t.Error(err)
	}
}

// A38: one tag that is wrong takes the whole CoRIM down.
func TestChoiceA38(t *testing.T) {
	k := newKey(t)
	bad := comid("bad", 0, claim.Element{Values: claim.Values{CryptoKeys: []claim.ID{claim.Text(claim.TagPKIXBase64Key, "no PEM")}}})
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	_, err := b.Admit(sign(t, manifest("m", comid("good", 0, measured(1)), bad), k, corim.SignOptions{}))
	refused(t, "a good and a bad tag", err, fault.Malformed)
	if n := b.Set().Len(); n != 0 {
		t.Errorf("%d relations of the good tag are in force", n)
	}
}

// A41: two environments are one node of the graph when they are equal; that one contains the other closes no circle.
func TestChoiceA41(t *testing.T) {
	k := newKey(t)
	narrow := class
	narrow.Class.Vendor = claim.Some("V")
	domain := func(a, b claim.Environment) corim.DomainTriple {
		return corim.DomainTriple{Domain: a, Members: []claim.Environment{b}}
	}
	other := claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte("x"))}}
	for name, tc := range map[string]struct {
		l  []corim.DomainTriple
		ok bool
	}{
		"equal":         {[]corim.DomainTriple{domain(class, other), domain(other, class)}, false},
		"one contained": {[]corim.DomainTriple{domain(class, other), domain(other, narrow)}, true},
	} {
		c := comid("t", 0, measured(1))
		c.Triples.Membership = tc.l
		_, err := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}}).Admit(sign(t, manifest("m", c), k, corim.SignOptions{}))
		if tc.ok && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !tc.ok {
			refused(t, name, err, fault.Malformed)
		}
	}
}
