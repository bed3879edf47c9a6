package appraise

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
)

var now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ptr[T any](v T) *T { return &v }

func builder(t testing.TB) *endorse.Builder {
	t.Helper()
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func assert(t testing.TB, b *endorse.Builder, signer string, r endorse.Relations) *endorse.Source {
	t.Helper()
	s := source(signer)
	if err := b.Assert(s, r); err != nil {
		t.Fatal(err)
	}
	return s
}

func source(signer string) *endorse.Source {
	return &endorse.Source{Kind: "vendor", ID: "id of " + signer, Signer: signer, Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte(signer))}}
}

func verified(t testing.TB, ects ...claim.ECT) *evidence.Verified {
	t.Helper()
	return evidencetest.New(t, evidencetest.Content{TEE: "snp", Time: now, ECTs: ects, Root: evidence.Root{Name: "ARK-Milan"}})
}

func appraise1(t testing.TB, v *evidence.Verified, set *endorse.Set) *Attester {
	t.Helper()
	a, err := Appraise([]Input{{Verified: v}}, set)
	if err != nil {
		t.Fatal(err)
	}
	return a.Attesters()[0]
}

// line returns the trail's line about a claim.
func (a *Attester) line(t testing.TB, name string) Entry {
	t.Helper()
	for _, e := range a.Trail {
		if e.Claim == name {
			return e
		}
	}
	t.Fatalf("no line about %q in %d lines", name, len(a.Trail))
	return Entry{}
}

var (
	snpClass = claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagOID, []byte{0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 1})}}
	ekAuth   = claim.Authority{claim.Bytes(claim.TagBytes, []byte("VEK")), claim.Bytes(claim.TagBytes, []byte("ARK"))}
)

func digest384(seed string) []claim.Digest {
	d := sha512.Sum384([]byte(seed))
	return []claim.Digest{{Alg: claim.SHA384, Value: d[:]}}
}

func measurement(seed string) claim.Element {
	return claim.Element{Key: claim.Uint(641), Name: "measurement", Field: "MEASUREMENT at 0x090", Values: claim.Values{Digests: digest384(seed)}}
}

func rawElement(key uint64, name string, b []byte) claim.Element {
	return claim.Element{Key: claim.Uint(key), Name: name, Values: claim.Values{Raw: &claim.Raw{Value: b}}}
}

// snpGuest is an ECT of the size that the SNP driver delivers.
func snpGuest(chip, image string) claim.ECT {
	env := snpClass
	env.Instance = claim.Bytes(claim.TagBytes, []byte(chip))
	e := []claim.Element{
		{Name: "debug", Values: claim.Values{Flags: claim.Flags{}.With(claim.FlagDebug, false)}},
		{Key: claim.Uint(0), Name: "version", Values: claim.Values{Version: &claim.Version{Text: "5", Scheme: "decimal"}}},
		{Key: claim.Uint(1), Name: "guest-svn", Values: claim.Values{SVN: &claim.SVN{Value: 3}}},
		rawElement(2, "policy", []byte{0, 0, 3, 0, 0, 0, 0, 0}),
		rawElement(3, "family-id", make([]byte, 16)),
		rawElement(4, "image-id", make([]byte, 16)),
		{Key: claim.Uint(5), Name: "vmpl", Values: claim.Values{IntRange: &claim.IntRange{Value: ptr(claim.IntOf(0))}}},
		measurement(image),
		rawElement(642, "host-data", make([]byte, 32)),
		{Key: claim.Uint(643), Name: "id-key-digest", Values: claim.Values{Digests: digest384("id key")}},
	}
	for i := range uint64(15) {
		e = append(e, rawElement(4000+i, fmt.Sprintf("field-%d", i), []byte{byte(i), 1, 2, 3}))
	}
	return claim.ECT{Environment: env, Elements: e, Authority: ekAuth, CMType: claim.CMEvidence}
}

// reference is a statement of elements about every machine of the class.
func reference(elements ...claim.Element) endorse.Relations {
	return endorse.Relations{References: []*endorse.Reference{{Environment: snpClass, Elements: elements}}}
}
