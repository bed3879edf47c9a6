package rego_test

import (
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/rego"
)

// Parameters are either understood or refused as a wrong policy or input, never half read.
func FuzzParseParams(f *testing.F) {
	f.Add([]byte(`{"snp":{"vmpl":[0]},"custom":{"x":[1]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := rego.ParseParams(b); err != nil && fault.Is(err, fault.Internal) {
			t.Error(err)
		}
	})
}
