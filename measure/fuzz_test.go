package measure_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
)

// What is read as a digest is the digest that was written.
func FuzzParseSHA384(f *testing.F) {
	f.Add(strings.Repeat("ab", 48))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := measure.ParseSHA384(s)
		if err != nil {
			if fault.Is(err, fault.Internal) {
				t.Error(err)
			}
			return
		}
		if hex.EncodeToString(d[:]) != strings.ToLower(strings.TrimPrefix(strings.TrimSpace(s), "0x")) {
			t.Errorf("%q was read as %x", s, d)
		}
	})
}
