package corim_test

import (
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// The choices where the draft is ambiguous (specs corim.md section 17) that the codec makes; the number is the line.
func TestChoicesOfTheCodec(t *testing.T) {
	env := "a1 00 a1 00 d9 0230 42 c0de"
	ref := "a1 00 81 82" + env + "81 a1 01 a1 10 f5"
	oid := func(content string) string {
		return "a2 01 a1 00 61 74 04 a1 00 81 82 a1 00 a1 00 d8 6f" + content + "81 a1 01 a1 10 f5"
	}
	keyTriple := func(key string) string { return "a2 01 a1 00 61 74 04 a1 03 81 82" + env + "81" + key }
	coseKey := "a4 01 02 20 01 21 58 20" + d32 + "22 58 20" + d32
	for _, tc := range []struct {
		name string
		in   string
		want fault.Class // Internal: read
		and  func(c *corim.CoMID) bool
	}{
		{"A13: content octets", oid("47 2b 06 01 04 01 9c 78"), fault.Internal, nil},
		{"A13: a whole TLV is content, unless relaxed", oid("49 06 07 2b 06 01 04 01 9c 78"), fault.Internal,
			func(c *corim.CoMID) bool { return len(c.Triples.Reference[0].Environment.Class.ID.Content()) == 9 }},
		{"A13: a length that is not that of what follows is content", oid("48 06 07 51 7b 01 0f 62 01"), fault.Internal,
			func(c *corim.CoMID) bool {
				return string(c.Triples.Reference[0].Environment.Class.ID.Content()) == "\x06\x07\x51\x7b\x01\x0f\x62\x01"
			}},
		{"A13: no content", oid("40"), fault.Malformed, nil},
		{"A13: an arc that goes on past the end", oid("42 2b 86"), fault.Malformed, nil},
		{"A13: an arc with a leading zero", oid("43 2b 80 01"), fault.Malformed, nil},
		{"A18: unknown negative key in a CoMID", "a3 01 a1 00 61 74 04" + ref + "20 00", fault.Unsupported, nil},
		{"A32: a tag creator, a creator and a maintainer", "a3 01 a1 00 61 74 02 81 a2 00 61 65 02 83 00 01 02 04" + ref, fault.Internal,
			func(c *corim.CoMID) bool { return len(c.Entities[0].Roles) == 3 }},
		{"A34: a key", keyTriple("d9 022e" + coseKey), fault.Internal, func(c *corim.CoMID) bool { return len(c.Triples.AttestKey[0].Keys) == 1 }},
		{"A34: a set is as many keys", keyTriple("d9 022e 82" + coseKey + "a4 01 02 20 01 21 58 20" + d32 + "22 58 20 ff" + d31), fault.Internal,
			func(c *corim.CoMID) bool { return len(c.Triples.AttestKey[0].Keys) == 2 }},
		{"A34: an empty set", keyTriple("d9 022e 80"), fault.Malformed, nil},
		{"A39: the greatest key of a measurement is 2^64-1", "a2 01 a1 00 61 74 04 a1 00 81 82" + env + "81 a2 00 1b ffffffffffffffff 01 a1 10 f5", fault.Internal,
			func(c *corim.CoMID) bool {
				n, ok := c.Triples.Reference[0].Elements[0].Key.UintContent()
				return ok && n == 1<<64-1
			}},
		{"A39: the greatest tag-version is 2^64-1", "a2 01 a2 00 61 74 01 1b ffffffffffffffff 04" + ref, fault.Internal,
			func(c *corim.CoMID) bool { return c.TagVersion == 1<<64-1 }},
		{"A39: a bignum is none", "a2 01 a2 00 61 74 01 c2 49 010000000000000000 04" + ref, fault.Malformed, nil},
	} {
		c, err := corim.DecodeCoMID(unhex(t, tc.in), corim.Options{})
		switch {
		case tc.want != fault.Internal:
			if !fault.Is(err, tc.want) {
				t.Errorf("%s: %v (class %v), want %v", tc.name, err, fault.ClassOf(err), tc.want)
			}
		case err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.and != nil && !tc.and(c):
			t.Errorf("%s: read %+v", tc.name, c)
		}
	}
	if c, err := corim.DecodeCoMID(unhex(t, oid("49 06 07 2b 06 01 04 01 9c 78")), corim.Options{Relax: []corim.Relaxation{corim.RelaxOIDTLV}}); err != nil ||
		string(c.Triples.Reference[0].Environment.Class.ID.Content()) != "\x2b\x06\x01\x04\x01\x9c\x78" {
		t.Errorf("A13: TLV with its relaxation: %+v, %v", c, err)
	}
}

// A36: a version that a tag list leaves out is 0. A22: times are integers.
func TestChoicesOfTagLists(t *testing.T) {
	l, err := corim.DecodeCoTL(unhex(t, "a3 00 a1 00 61 6c 01 81 a1 00 61 74 02 a1 01 c1 1a 6f000000"), corim.Options{})
	if err != nil || len(l.Tags) != 1 || l.Tags[0].TagVersion != 0 || l.Tags[0].TagID != claim.Text(claim.TagNone, "t") {
		t.Errorf("A36: %+v, %v", l, err)
	}
	if _, err := corim.DecodeCoTL(unhex(t, "a3 00 a1 00 61 6c 01 81 a1 00 61 74 02 a1 01 c1 fb 41db c000 0000 0000"), corim.Options{}); !fault.Is(err, fault.Malformed) {
		t.Errorf("A22: a time as float: %v", err)
	}
}
