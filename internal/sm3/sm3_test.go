package sm3_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/sm3"
)

// TestSum holds the two examples of the standard's appendix A.
func TestSum(t *testing.T) {
	for in, want := range map[string]string{
		"abc":                      "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
		strings.Repeat("abcd", 16): "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	} {
		if got := sm3.Sum([]byte(in)); hex.EncodeToString(got[:]) != want {
			t.Errorf("SM3(%q) = %x", in, got)
		}
	}
}
