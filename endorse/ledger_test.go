package endorse

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

func tagID(s string) claim.ID { return claim.Text(claim.TagNone, s) }

// linked is a tag that names another.
func linked(id string, m byte, target string, rel int64) corim.CoMID {
	c := comid(id, 0, measured(m))
	c.Linked = []corim.LinkedTag{{TagID: tagID(target), Rel: rel}}
	return c
}

func TestReplaces(t *testing.T) {
	a, b := newKey(t), newKey(t)
	other := anchor("b", b)
	strong := anchor("b", b)
	strong.MayReplace = true
	pub := func(k crypto.Signer, c corim.CoMID) []byte {
		return sign(t, manifest("m-"+idText(c.TagID), c), k, corim.SignOptions{})
	}
	old := pub(a, comid("old", 0, measured(1)))
	for _, tc := range []struct {
		name  string
		other *Anchor
		key   crypto.Signer
		want  string // in force afterwards; "" refused
	}{
		{"the same signer", other, a, "[2]"},
		{"another signer (A19)", other, b, ""},
		{"another signer who may", strong, b, "[2]"},
	} {
		set := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", a), tc.other}})
		admit(t, set, old)
		r, err := set.Admit(pub(tc.key, linked("new", 2, "old", corim.RelReplaces)))
		if tc.want == "" {
			refused(t, tc.name, err, fault.Scope)
			tc.want = "[1]"
		} else if err != nil || len(r.Superseded) != 1 {
			t.Errorf("%s: %+v %v", tc.name, r, err)
		}
		if got := inForce(t, set); got != tc.want {
			t.Errorf("%s: in force %s, want %s", tc.name, got, tc.want)
		}
		// The replaced tag does not come back by being sent again.
		_, err = set.Admit(old)
		if err != nil {
			t.Errorf("%s: the old tag again: %v", tc.name, err)
		}
		if got := inForce(t, set); got != tc.want {
			t.Errorf("%s: after the old tag came again in force %s, want %s", tc.name, got, tc.want)
		}
	}
	// A37: the target comes later.
	set := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", a), other}})
	admit(t, set, pub(a, linked("new", 2, "old", corim.RelReplaces)))
	r := admit(t, set, old)
	if len(r.Warnings) == 0 || inForce(t, set) != "[2]" {
		t.Errorf("target after its replacement: %v, in force %s", r.Warnings, inForce(t, set))
	}
	admit(t, set, pub(b, comid("old", 0, measured(3))))
	if got := inForce(t, set); got != "[2 3]" {
		t.Errorf("a tag of another signer with the replaced id: in force %s", got)
	}
	// supplements: admitted, reported, nothing depends on it.
	if r := admit(t, set, pub(a, linked("more", 4, "nowhere", corim.RelSupplements))); len(r.Warnings) == 0 {
		t.Error("a supplemented tag that is not there was not reported")
	}
}

func tagList(id string, until time.Time, tags ...corim.TagIdentity) corim.CoTL {
	return corim.CoTL{TagIdentity: corim.TagIdentity{TagID: tagID(id)}, Tags: tags, Validity: corim.Validity{NotAfter: until}}
}

func TestActivation(t *testing.T) {
	a, in := newKey(t), newKey(t)
	vendor, integrator := anchor("vendor", a), anchor("integrator", in)
	vendor.Scope = Scope{{Kinds: []TripleKind{KindReference}, AnyEnvironment: true, AnyElement: true}}
	integrator.Scope = Scope{{Kinds: []TripleKind{KindTagList}}}
	list := func(k crypto.Signer, l corim.CoTL) []byte {
		m := manifest("list-" + idText(l.TagID) + fmt.Sprint(l.Validity.NotAfter.Unix()))
		m.CoTLs = []corim.CoTL{l}
		return sign(t, m, k, corim.SignOptions{})
	}
	id := func(s string, v uint64) corim.TagIdentity { return corim.TagIdentity{TagID: tagID(s), TagVersion: v} }
	b := newBuilder(t, Config{Anchors: []*Anchor{vendor, integrator}, RequireActivation: true})
	if r := admit(t, b, sign(t, manifest("m1", comid("t1", 0, measured(1))), a, corim.SignOptions{})); len(r.Waiting) != 1 {
		t.Errorf("waiting: %v", r.Waiting)
	}
	admit(t, b, sign(t, manifest("m2", comid("t2", 3, measured(2))), a, corim.SignOptions{}))
	if got := inForce(t, b); got != "[]" {
		t.Errorf("before any list: %s", got)
	}
	end := now.Add(time.Hour)
	_, err := b.Admit(list(a, tagList("l", end, id("t1", 0))))
	refused(t, "the vendor activates its own tag", err, fault.Scope)
	_, err = b.Admit(list(in, tagList("l", end, id("t1", 0), id("t3", 0))))
	refused(t, "one listed tag is missing", err, fault.Unavailable)
	_, err = b.Admit(list(in, tagList("l", end, id("t2", 0))))
	refused(t, "a list entry without version names version 0", err, fault.Unavailable)
	_, err = b.Admit(list(in, tagList("l", now.Add(-time.Hour), id("t1", 0))))
	refused(t, "the list is over", err, fault.Expired)
	if got := inForce(t, b); got != "[]" {
		t.Errorf("after refused lists: %s", got)
	}
	admit(t, b, list(in, tagList("l", end, id("t1", 0), id("t2", 3))))
	if got := inForce(t, b); got != "[1 2]" {
		t.Errorf("activated: %s", got)
	}
	// What a list activates holds no longer than the list.
	var sel Selection
	e := measured(1)
	b.Set().Select(&class, []*claim.Element{&e}, &sel)
	if len(sel.References) != 1 || sel.References[0].Source.ValidAt(end.Add(time.Second)) {
		t.Errorf("activated until %v, the list ends %v", sel.References[0].Source.NotAfter, end)
	}
	// A later list prolongs it.
	admit(t, b, list(in, tagList("l2", end.Add(time.Hour), id("t1", 0))))
	b.Set().Select(&class, []*claim.Element{&e}, &sel)
	if len(sel.References) != 1 || !sel.References[0].Source.ValidAt(end.Add(time.Second)) {
		t.Errorf("after the second list %d statements", len(sel.References))
	}
	// A newer version waits for its own activation.
	admit(t, b, sign(t, manifest("m1", comid("t1", 1, measured(9))), a, corim.SignOptions{}))
	if got := inForce(t, b); got != "[2]" {
		t.Errorf("after a new version: %s", got)
	}
}

func TestCoSWIDLinksResolve(t *testing.T) {
	k := newKey(t)
	link := func(id string) corim.CoMID {
		c := comid("t-"+id, 0, measured(1))
		c.Triples.CoSWID = []corim.CoSWIDTriple{{Environment: class, TagIDs: []claim.ID{tagID(id)}}}
		return c
	}
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	_, err := b.Admit(sign(t, manifest("m", link("swid")), k, corim.SignOptions{}))
	refused(t, "link to nowhere", err, fault.Malformed)
	m := manifest("m", link("swid"))
	m.CoSWIDs = []corim.CoSWID{{TagID: tagID("swid"), SoftwareName: "x", Entities: []corim.CoSWIDEntity{{Name: "x", Roles: []int64{1}}}}}
	admit(t, b, sign(t, m, k, corim.SignOptions{}))
	// Another statement may link to what was admitted.
	m2 := manifest("m2", func() corim.CoMID { c := link("swid"); c.TagID = tagID("again"); return c }())
	admit(t, b, sign(t, m2, k, corim.SignOptions{}))
}

func TestContentIsRefused(t *testing.T) {
	k := newKey(t)
	withKeys := func(id claim.ID) corim.CoMID {
		return comid("t", 0, claim.Element{Values: claim.Values{CryptoKeys: []claim.ID{id}}})
	}
	goodPEM := claim.Text(claim.TagPKIXBase64Key, string(pemOf(t, k)))
	endorsed := func(by claim.ID) corim.CoMID {
		e := measured(1)
		e.AuthorizedBy = claim.Authority{by}
		c := comid("t", 0, measured(1))
		c.Triples = corim.Triples{Endorsed: []corim.ValueTriple{{Environment: class, Elements: []claim.Element{e}}}}
		return c
	}
	domains := func(dep bool, edges ...string) corim.CoMID {
		c := comid("t", 0, measured(1))
		var l []corim.DomainTriple
		for _, e := range edges {
			env := func(b byte) claim.Environment {
				return claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte{b})}}
			}
			l = append(l, corim.DomainTriple{Domain: env(e[0]), Members: []claim.Environment{env(e[1])}})
		}
		if dep {
			c.Triples.Dependency = l
		} else {
			c.Triples.Membership = l
		}
		return c
	}
	short := comid("t", 0, claim.Element{Values: claim.Values{Digests: []claim.Digest{{Alg: 6, Value: []byte{1, 2, 3, 4}}}}})
	self := comid("t", 0, measured(1))
	name := func(v string) claim.Element {
		return claim.Element{Key: tagID("s"), Values: claim.Values{Name: &v}}
	}
	self.Triples.Series = []corim.SeriesTriple{{Environment: class, Items: []corim.SeriesItem{
		{Condition: []claim.Element{name("1")}, Addition: []claim.Element{name("2")}}, {Condition: []claim.Element{name("0")}, Addition: []claim.Element{name("1")}}}}}
	instance := comid("t", 0, measured(1))
	instance.Triples.Reference[0].Environment.Instance = claim.Text(claim.TagPKIXBase64Cert, "placeholder")
	for _, tc := range []struct {
		name string
		c    corim.CoMID
		ok   bool
	}{
		{"PEM key", withKeys(goodPEM), true},
		{"placeholder instead of PEM (554)", withKeys(claim.Text(claim.TagPKIXBase64Key, "base64_key")), false},
		{"placeholder instead of PEM (555)", withKeys(claim.Text(claim.TagPKIXBase64Cert, "base64_cert")), false},
		{"placeholder instead of PEM (556)", withKeys(claim.Text(claim.TagPKIXBase64Path, "base64_path")), false},
		{"two keys in one (554)", withKeys(claim.Text(claim.TagPKIXBase64Key, string(pemOf(t, k))+string(pemOf(t, k)))), false},
		{"text before PEM", withKeys(claim.Text(claim.TagPKIXBase64Key, "x\n"+string(pemOf(t, k)))), false},
		{"a key as certificate (555)", withKeys(claim.Text(claim.TagPKIXBase64Cert, string(pemOf(t, k)))), false},
		{"placeholder as instance", instance, false},
		{"digest cut to 4 bytes", short, false},
		{"addition authorized by its signer (A1)", endorsed(goodPEM), true},
		{"addition authorized by somebody else (A1)", endorsed(claim.Text(claim.TagPKIXBase64Key, string(pemOf(t, newKey(t))))), false},
		{"membership", domains(false, "ab", "bc"), true},
		{"circular membership", domains(false, "ab", "bc", "ca"), false},
		{"circular dependency", domains(true, "ab", "ba"), false},
		{"dependency on itself", domains(true, "aa"), false},
		{"a series that feeds itself", self, false},
	} {
		b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
		_, err := b.Admit(sign(t, manifest("m", tc.c), k, corim.SignOptions{}))
		if tc.ok && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if !tc.ok {
			refused(t, tc.name, err, fault.Malformed)
			if b.Set().Len() != 0 {
				t.Errorf("%s: something was admitted", tc.name)
			}
		}
	}
	loose := anchor("a", k)
	loose.TruncatedDigests = true
	admit(t, newBuilder(t, Config{Anchors: []*Anchor{loose}}), sign(t, manifest("m", short), k, corim.SignOptions{}))

	_, err := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}}).Admit(sign(t, manifest("m", comid("t", 0, measured(1)), comid("t", 1, measured(2))), k, corim.SignOptions{}))
	refused(t, "one tag twice", err, fault.Malformed)
}

func TestDetachedAndHashEnvelope(t *testing.T) {
	k := newKey(t)
	raw, err := corim.Encode(manifest("m", comid("t", 0, measured(1))), corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	swapped := bytes.Replace(raw, []byte("t"), []byte("u"), 1)
	for name, o := range map[string]corim.SignOptions{"detached": {SignerName: "a", Detached: true}, "hash envelope": {SignerName: "a", HashAlg: -43}} {
		s, err := corim.Sign(raw, k, o)
		if err != nil {
			t.Fatal(err)
		}
		b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
		_, err = b.Admit(s)
		refused(t, name+" without its content", err, fault.Signature)
		_, err = b.AdmitDetached(s, swapped)
		refused(t, name+" with other content", err, fault.Signature)
		_, err = b.AdmitDetached(s, nil)
		refused(t, name+" with nothing", err, fault.Usage)
		if _, err := b.AdmitDetached(s, raw); err != nil || inForce(t, b) != "[1]" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The same content signed anew counts if it holds longer.
func TestReissue(t *testing.T) {
	k := newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	until := func(h int) []byte {
		return sign(t, manifest("m", comid("t", 0, measured(1))), k, corim.SignOptions{Validity: &corim.Validity{NotAfter: now.Add(time.Duration(h) * time.Hour)}})
	}
	end := func() time.Time {
		var sel Selection
		e := measured(1)
		b.Set().Select(&class, []*claim.Element{&e}, &sel)
		if len(sel.References) != 1 {
			t.Fatalf("%d statements in force", len(sel.References))
		}
		return sel.References[0].Source.NotAfter
	}
	admit(t, b, until(1))
	admit(t, b, until(3))
	if got := end(); !got.Equal(now.Add(3 * time.Hour)) {
		t.Errorf("holds to %v", got)
	}
	admit(t, b, until(2))
	if got := end(); !got.Equal(now.Add(3 * time.Hour)) {
		t.Errorf("a replay of what holds less long made it %v", got)
	}
}

func TestDependentRIMs(t *testing.T) {
	k := newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	first := sign(t, manifest("m1", comid("t1", 0, measured(1))), k, corim.SignOptions{})
	sum := sha256.Sum256(first)
	m := manifest("m2", comid("t2", 0, measured(2)))
	m.DependentRIMs = []corim.Locator{{HRefs: []string{"https://rim.example/1"}, Thumbprints: []claim.Digest{{Alg: claim.SHA256, Value: sum[:]}}}}
	second := sign(t, m, k, corim.SignOptions{})
	if r := admit(t, b, second); len(r.Dependencies) != 1 || r.Dependencies[0].Admitted {
		t.Errorf("before: %+v", r.Dependencies)
	}
	b = newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	admit(t, b, first)
	if r := admit(t, b, second); !r.Dependencies[0].Admitted {
		t.Errorf("after: %+v", r.Dependencies)
	}
}

// The digest over what is in force does not depend on the order, and comes back when something is taken out again.
func TestSetDigest(t *testing.T) {
	k := newKey(t)
	var docs [][]byte
	for i := range 5 {
		docs = append(docs, sign(t, manifest(fmt.Sprint("m", i), comid(fmt.Sprint("t", i), 0, measured(byte(i)))), k, corim.SignOptions{}))
	}
	of := func(order ...int) [32]byte {
		b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
		for _, i := range order {
			admit(t, b, docs[i])
		}
		return b.Set().Digest()
	}
	if of(0, 1, 2) != of(2, 0, 1) || of(0, 1, 2) == of(0, 1, 3) || of(0) == of() {
		t.Error("the digest does not identify what is in force")
	}
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	admit(t, b, docs[0])
	want := b.Set().Digest()
	if err := b.Remove(admit(t, b, docs[1]).SHA256); err != nil || b.Set().Digest() != want {
		t.Errorf("after removal %x, want %x (%v)", b.Set().Digest(), want, err)
	}
}

// A snapshot does not change, whatever is admitted or taken out later.
func TestSnapshotsAreImmutable(t *testing.T) {
	k := newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	count := func(s *Set) (n int) {
		for i := range 64 {
			e := measured(byte(i))
			var sel Selection
			s.Select(&class, []*claim.Element{&e}, &sel)
			n += len(sel.References)
		}
		return n
	}
	var snaps []*Set
	var shas []string
	for i := range 32 {
		shas = append(shas, admit(t, b, sign(t, manifest(fmt.Sprint("m", i), comid(fmt.Sprint("t", i), 0, measured(byte(i)))), k, corim.SignOptions{})).SHA256)
		snaps = append(snaps, b.Set())
	}
	for i, s := range shas {
		if i%2 == 0 {
			if err := b.Remove(s); err != nil {
				t.Fatal(err)
			}
			b.Set()
		}
	}
	for i, s := range snaps {
		if got := count(s); got != i+1 {
			t.Errorf("snapshot %d has %d statements", i, got)
		}
	}
	if got := count(b.Set()); got != 16 {
		t.Errorf("now %d", got)
	}
}
