package intoto

import (
	"fmt"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

var h256 = strings.Repeat("ab", 32)

func statement(typ, subject string) string {
	return fmt.Sprintf(`{"_type":%q,"subject":%s,"predicateType":"p","predicate":{}}`, typ, subject)
}

func TestParse(t *testing.T) {
	good := `[{"name":"a","digest":{"sha256":"` + h256 + `","gitCommit":"x"}}]`
	for _, tc := range []struct {
		name, text string
		class      fault.Class
		ok         bool
	}{
		{"v0.1", statement(TypeV01, good), 0, true},
		{"v1", statement(TypeV1, good), 0, true},
		{"v2", statement("https://in-toto.io/Statement/v2", good), fault.Unsupported, false},
		{"no subject", statement(TypeV1, `[]`), fault.Malformed, false},
		{"subject without digest", statement(TypeV1, `[{"name":"a"}]`), fault.Malformed, false},
		{"digest in upper case", statement(TypeV1, `[{"digest":{"sha256":"`+strings.ToUpper(h256)+`"}}]`), fault.Malformed, false},
		{"digest cut", statement(TypeV1, `[{"digest":{"sha256":"abab"}}]`), fault.Malformed, false},
		{"a member twice", `{"_type":"` + TypeV1 + `","_type":"` + TypeV1 + `"}`, fault.Malformed, false},
		{"100000 subjects", statement(TypeV1, "["+strings.TrimSuffix(strings.Repeat(`{"digest":{"x":"y"}},`, 100000), ",")+"]"), fault.Malformed, false},
		{"nested deeply", strings.Repeat(`{"a":`, 10000), fault.Malformed, false},
		{"predicate no object", `{"_type":"` + TypeV1 + `","subject":` + good + `,"predicateType":"p","predicate":[]}`, fault.Malformed, false},
	} {
		_, err := Parse([]byte(tc.text))
		if tc.ok != (err == nil) || !tc.ok && fault.ClassOf(err) != tc.class {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestMatches(t *testing.T) {
	h512, sha1 := strings.Repeat("cd", 64), strings.Repeat("ef", 20)
	for _, tc := range []struct {
		name       string
		have, want Digests
		ok         bool
	}{
		{"the same", Digests{"sha256": h256}, Digests{"sha256": h256}, true},
		{"one of two", Digests{"sha256": h256, "sha512": h512}, Digests{"sha512": h512}, true},
		{"they disagree on one", Digests{"sha256": h256, "sha512": h512}, Digests{"sha256": h256, "sha512": strings.Repeat("00", 64)}, false},
		{"sha1 alone", Digests{"sha1": sha1}, Digests{"sha1": sha1}, false},
		{"sha1 differs", Digests{"sha1": sha1, "sha256": h256}, Digests{"sha1": strings.Repeat("00", 20), "sha256": h256}, false},
		{"nothing in common", Digests{"sha256": h256}, Digests{"sha512": h512}, false},
		{"nothing", Digests{}, Digests{}, false},
	} {
		if got := tc.have.Matches(tc.want); got != tc.ok {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestFlagsMayBeUpperCase(t *testing.T) {
	d, err := ParseDigest("SHA256:x")
	if err == nil && d["sha256"] != "" {
		t.Error("algorithm names are not guessed")
	}
	if d, err := ParseDigest("sha256:" + strings.ToUpper(h256)); err != nil || d["sha256"] != h256 {
		t.Errorf("%v %v", d, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(statement(TypeV1, `[{"name":"a","digest":{"sha256":"`+h256+`"}}]`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		if len(s.Subjects) == 0 || len(s.Subjects[0].Digest) == 0 {
			t.Error("accepted without a subject")
		}
	})
}
