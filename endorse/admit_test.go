package endorse

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

func TestAdmitSigned(t *testing.T) {
	k := newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("Example Firmware", k)}})
	data := sign(t, manifest("fw-1", comid("tag-1", 0, measured(1))), k, corim.SignOptions{})
	r := admit(t, b, data)
	if r.ID != "fw-1" || r.Signer != "Example Firmware" || r.Anchor != "Example Firmware" || r.Relations != 1 || r.Already || len(r.Tags) != 1 {
		t.Errorf("receipt %+v", r)
	}
	if n := b.Set().Len(); n != 1 {
		t.Errorf("%d relations", n)
	}
	// The same bytes again change nothing.
	if r := admit(t, b, data); !r.Already || b.Set().Len() != 1 {
		t.Errorf("second submission: %+v", r)
	}
	if l := b.Statements(); len(l) != 1 || l[0].ID != "fw-1" {
		t.Errorf("statements: %+v", l)
	}
}

func TestAdmitRefusesWhoMayNotSpeak(t *testing.T) {
	k, other := newKey(t), newKey(t)
	data := sign(t, manifest("fw-1", comid("tag-1", 0, measured(1))), k, corim.SignOptions{})
	flipped := bytes.Clone(data)
	flipped[bytes.Index(flipped, []byte("tag-1"))] ^= 1
	chip := class
	chip.Instance = claim.Bytes(claim.TagBytes, []byte("chip"))
	rule := func(r Rule) *Anchor {
		a := anchor("a", k)
		a.Scope = Scope{r}
		return a
	}
	with := func(f func(*Anchor)) *Anchor { a := anchor("a", k); f(a); return a }
	for _, tc := range []struct {
		name   string
		anchor *Anchor
		data   []byte
		want   fault.Class
	}{
		{"unknown signer", anchor("a", other), data, fault.Signature},
		{"one bit flipped", anchor("a", k), flipped, fault.Signature},
		{"revoked anchor", with(func(a *Anchor) { a.Revoked = true }), data, fault.Revoked},
		{"anchor not yet valid", with(func(a *Anchor) { a.NotBefore = now.Add(time.Hour) }), data, fault.Expired},
		{"anchor no longer valid", with(func(a *Anchor) { a.NotAfter = now.Add(-time.Hour) }), data, fault.Expired},
		{"another kind", rule(Rule{Kinds: []TripleKind{KindEndorsed}, AnyEnvironment: true, AnyElement: true}), data, fault.Scope},
		{"another environment", rule(Rule{Kinds: []TripleKind{KindReference}, Environments: []claim.Environment{{Class: claim.Class{Vendor: claim.Some("x")}}}, AnyElement: true}), data, fault.Scope},
		{"a wider environment than the scope", rule(Rule{Kinds: []TripleKind{KindReference}, Environments: []claim.Environment{chip}, AnyElement: true}), data, fault.Scope},
		{"another element", rule(Rule{Kinds: []TripleKind{KindReference}, AnyEnvironment: true, Elements: []claim.ID{claim.Uint(5)}}), data, fault.Scope},
		{"unsigned bytes", anchor("a", k), data[1:], fault.Malformed},
		{"empty", anchor("a", k), nil, fault.Malformed},
	} {
		b := newBuilder(t, Config{Anchors: []*Anchor{tc.anchor}})
		_, err := b.Admit(tc.data)
		refused(t, tc.name, err, tc.want)
		if b.Set().Len() != 0 {
			t.Errorf("%s: something was admitted", tc.name)
		}
	}
	// Within the scope it is admitted.
	ok := rule(Rule{Kinds: []TripleKind{KindReference}, Environments: []claim.Environment{class}, Elements: []claim.ID{claim.Uint(641)}})
	admit(t, newBuilder(t, Config{Anchors: []*Anchor{ok}}), data)
}

// Two narrow rules do not add up to a wide one.
func TestScopeRulesDoNotAddUp(t *testing.T) {
	k := newKey(t)
	a := anchor("a", k)
	a.Scope = Scope{
		{Kinds: []TripleKind{KindReference}, AnyEnvironment: true, Elements: []claim.ID{claim.Uint(1)}},
		{Kinds: []TripleKind{KindReference}, AnyEnvironment: true, Elements: []claim.ID{claim.Uint(641)}},
	}
	two := claim.Element{Key: claim.Uint(1), Values: claim.Values{SVN: &claim.SVN{Value: 1}}}
	_, err := newBuilder(t, Config{Anchors: []*Anchor{a}}).Admit(sign(t, manifest("m", comid("t", 0, measured(1), two)), k, corim.SignOptions{}))
	refused(t, "two rules", err, fault.Scope)
}

func TestAdmitValidity(t *testing.T) {
	k := newKey(t)
	past, future := now.Add(-time.Hour), now.Add(time.Hour)
	for _, tc := range []struct {
		name string
		rim  *corim.Validity
		sig  *corim.Validity
		want fault.Class
	}{
		{"rim over", &corim.Validity{NotAfter: past}, nil, fault.Expired},
		{"rim not begun", &corim.Validity{NotBefore: &future, NotAfter: future.Add(1e9)}, nil, fault.Expired},
		{"signature over", nil, &corim.Validity{NotAfter: past}, fault.Expired},
		{"signature not begun", nil, &corim.Validity{NotBefore: &future, NotAfter: future.Add(1e9)}, fault.Expired},
		{"one over of two", &corim.Validity{NotAfter: future}, &corim.Validity{NotAfter: past}, fault.Expired},
	} {
		m := manifest("m", comid("t", 0, measured(1)))
		m.Validity = tc.rim
		_, err := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}}).Admit(sign(t, m, k, corim.SignOptions{Validity: tc.sig}))
		refused(t, tc.name, err, tc.want)
	}
	m := manifest("m", comid("t", 0, measured(1)))
	m.Validity = &corim.Validity{NotBefore: &past, NotAfter: future.Add(time.Hour)}
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	r := admit(t, b, sign(t, m, k, corim.SignOptions{Validity: &corim.Validity{NotAfter: future}}))
	if !r.NotBefore.Equal(past) || !r.NotAfter.Equal(future) {
		t.Errorf("validity %v to %v, want the intersection %v to %v", r.NotBefore, r.NotAfter, past, future)
	}
}

func TestAdmitVersions(t *testing.T) {
	k, other := newKey(t), newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k), anchor("b", other)}})
	v := func(key crypto.Signer, version uint64, m byte) []byte {
		return sign(t, manifest("m", comid("t", version, measured(m))), key, corim.SignOptions{})
	}
	first, second := v(k, 1, 1), v(k, 2, 2)
	admit(t, b, first)
	_, err := b.Admit(v(k, 1, 9))
	refused(t, "same version, other content (A20)", err, fault.Malformed)
	r := admit(t, b, second)
	if len(r.Superseded) != 1 || r.Superseded[0] != "t version 1" {
		t.Errorf("superseded: %v", r.Superseded)
	}
	_, err = b.Admit(first)
	refused(t, "the old version again", err, fault.Stale)
	_, err = b.Admit(v(k, 0, 1))
	refused(t, "an older version yet (A20)", err, fault.Stale)
	// Another issuer's tag of that id is his own business.
	admit(t, b, v(other, 1, 3))
	if got := inForce(t, b); got != "[2 3]" {
		t.Errorf("in force: %s", got)
	}
	// An operator can take the newer one out; then the older may come back.
	if err := b.Remove(r.SHA256); err != nil {
		t.Fatal(err)
	}
	admit(t, b, first)
	if got := inForce(t, b); got != "[1 3]" {
		t.Errorf("in force: %s", got)
	}
	refused(t, "nothing of that name", b.Remove("00"), fault.Usage)
}

// inForce lists the first bytes of the measurements that the set's references ask for.
func inForce(t testing.TB, b *Builder) string {
	t.Helper()
	var got []int
	set := b.Set()
	for i := range 256 {
		e := measured(byte(i))
		var sel Selection
		set.Select(&class, []*claim.Element{&e}, &sel)
		for range sel.References {
			got = append(got, i)
		}
	}
	return fmt.Sprint(got)
}

func TestAdmitUnsigned(t *testing.T) {
	raw, err := corim.Encode(manifest("m", comid("t", 0, measured(1))), corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := newBuilder(t, Config{})
	_, err = b.Admit(raw)
	refused(t, "unsigned by the signed way", err, fault.Malformed)
	_, err = b.AdmitUnsigned(raw, "")
	refused(t, "nobody answers for it", err, fault.Usage)
	r, err := b.AdmitUnsigned(raw, "admin@example")
	if err != nil || !strings.Contains(r.Scope, "unsigned") || r.Signer != "admin@example" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestAdmitByChain(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	k := newKey(t)
	m := manifest("m", comid("t", 0, measured(1)))
	signed := func(c *x509.Certificate, more ...*x509.Certificate) []byte {
		chain := [][]byte{c.Raw}
		for _, x := range more {
			chain = append(chain, x.Raw)
		}
		return sign(t, m, k, corim.SignOptions{Chain: chain})
	}
	leaf := ca.leaf(t, k, nil)
	crl := func(serial int64, next time.Time) []byte {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: next}
		if serial != 0 {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: now.Add(-time.Hour)}}
		}
		der, err := x509.CreateRevocationList(rand.Reader, l, ca.cert, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	with := func(f func(*Anchor)) *Anchor {
		a := &Anchor{Name: "Example Root", Certificates: []*x509.Certificate{ca.cert}, Scope: Anything()}
		f(a)
		return a
	}
	for _, tc := range []struct {
		name   string
		anchor *Anchor
		data   []byte
		want   fault.Class // Internal: admitted
	}{
		{"leaf only", with(func(*Anchor) {}), signed(leaf), fault.Internal},
		{"with root", with(func(*Anchor) {}), signed(leaf, ca.cert), fault.Internal},
		{"the leaf pinned", &Anchor{Name: "pinned", Certificates: []*x509.Certificate{leaf}, Scope: Anything()}, signed(leaf), fault.Internal},
		{"unknown root", with(func(*Anchor) {}), signed(stranger.leaf(t, k, nil), stranger.cert), fault.Signature},
		{"leaf expired", with(func(*Anchor) {}), signed(ca.leaf(t, k, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) })), fault.Expired},
		{"another's certificate", with(func(*Anchor) {}), signed(ca.leaf(t, newKey(t), nil)), fault.Signature},
		{"name allowed", with(func(a *Anchor) { a.LeafNames = []string{"Example Signer"} }), signed(leaf), fault.Internal},
		{"name not allowed", with(func(a *Anchor) { a.LeafNames = []string{"Somebody Else"} }), signed(leaf), fault.Scope},
		{"purpose allowed", with(func(a *Anchor) { a.EKU = append(a.EKU, []int{1, 2, 3, 4}) }), signed(leaf), fault.Internal},
		{"purpose not allowed", with(func(a *Anchor) { a.EKU = append(a.EKU, []int{1, 2, 3, 5}) }), signed(leaf), fault.Scope},
		{"revoked", with(func(a *Anchor) { a.CRLs = [][]byte{crl(7, now.Add(time.Hour))} }), signed(leaf), fault.Revoked},
		{"another revoked", with(func(a *Anchor) { a.CRLs, a.RequireCRL = [][]byte{crl(8, now.Add(time.Hour))}, true }), signed(leaf), fault.Internal},
		{"list demanded, none there", with(func(a *Anchor) { a.RequireCRL = true }), signed(leaf), fault.Unavailable},
		{"list demanded, out of date", with(func(a *Anchor) { a.CRLs, a.RequireCRL = [][]byte{crl(0, now.Add(-time.Minute))}, true }), signed(leaf), fault.Unavailable},
	} {
		b := newBuilder(t, Config{Anchors: []*Anchor{tc.anchor}})
		r, err := b.Admit(tc.data)
		if tc.want != fault.Internal {
			refused(t, tc.name, err, tc.want)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if !r.NotAfter.Equal(leaf.NotAfter) {
			t.Errorf("%s: holds to %v, the certificate to %v", tc.name, r.NotAfter, leaf.NotAfter)
		}
	}
}
