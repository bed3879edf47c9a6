package oaktext

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/protox"
)

// Every published text form is the same message as its binary form.
func TestTextEqualsBinary(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: no text forms are at hand")
	}
	files, err := filepath.Glob(filepath.Join(dir, "oak", "*.textproto"))
	more, err2 := filepath.Glob(filepath.Join(dir, "oak", "*", "*.textproto"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	n := 0
	for _, f := range append(files, more...) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(f, ".textproto") + ".binarypb")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{Evidence, Endorsements, ReferenceValues} {
			if !Is(text, m) {
				continue
			}
			n++
			got, err := Binary(text, m)
			if err != nil {
				t.Errorf("%s: %v", f, err)
			} else if !bytes.Equal(sorted(got), sorted(want)) {
				t.Errorf("%s: another message", f)
			}
		}
	}
	if n < 14 {
		t.Errorf("only %d files were compared", n)
	}
}

// sorted is a multiset of bytes: the order of fields differs between encoders, and lengths do not.
func sorted(b []byte) []byte { s := slices.Clone(b); slices.Sort(s); return s }

func TestRefusedText(t *testing.T) {
	for _, s := range []string{"root_layer {", "root_layer { platform: \"x\" }", "unknown: 1", "layers { eca_certificate: \"\\9\" }", "layers { eca_certificate: \"abc", "root_layer: 1", "}", strings.Repeat("layers {", 100)} {
		if _, err := Binary([]byte("# proto-message: "+Evidence+"\n"+s), Evidence); !fault.Is(err, fault.Malformed) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("root_layer { platform: NONE eca_public_key: \"\\001\\x02\\u0041\" 'b' } layers: [{}, <>]")
	f.Fuzz(func(t *testing.T, s string) {
		for _, schema := range schemas() {
			b, err := protox.FromText(schema, []byte(s))
			if err == nil && len(b) > 0 && protox.Parse("m", b).Err() != nil && len(b) < protox.MaxSize && strings.Count(s, ":")+strings.Count(s, "{")+strings.Count(s, "<")+strings.Count(s, ",") < protox.MaxFields {
				t.Errorf("%q gives what cannot be read", s)
			}
		}
	})
}
