package collateral

import (
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/assay-tee/assay/evidence"
)

// Two requests that are not the same document never share a file, and no file name means anything to a file system.
func TestFileNamesAreDistinctAndHarmless(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab./%-?=&\\:\x00~é")), 0, 12, -1)
	request := rapid.Custom(func(t *rapid.T) evidence.Request {
		return evidence.Request{Service: text.Draw(t, "service"), Path: text.Draw(t, "path")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := request.Draw(t, "a"), request.Draw(t, "b")
		nameA, errA := fileName(a)
		nameB, errB := fileName(b)
		if errA == nil && errB == nil && a != b && nameA == nameB {
			t.Fatalf("%q and %q share the file %q", a, b, nameA)
		}
		if errA != nil {
			return
		}
		if path.Clean(nameA) != nameA || path.IsAbs(nameA) || strings.ContainsAny(nameA, "\x00\\:") {
			t.Fatalf("%q has the file name %q", a, nameA)
		}
		for _, s := range strings.Split(nameA, "/") {
			if s == "" || strings.HasPrefix(s, ".") || len(s)+len(issuerExt)+17 > 255 {
				t.Fatalf("%q has the file name %q", a, nameA)
			}
		}
	})
}
