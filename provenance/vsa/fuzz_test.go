package vsa_test

import (
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/vsa"
)

// Nothing but a summary is read as one.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"00"}}],"predicateType":"https://slsa.dev/verification_summary/v1","predicate":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := intoto.Parse(b)
		if err != nil {
			return
		}
		v, err := vsa.Parse(s)
		if err != nil && fault.Is(err, fault.Internal) {
			t.Error(err)
		}
		if err == nil && (v == nil || s.PredicateType != vsa.PredicateType) {
			t.Errorf("a statement of type %q was read", s.PredicateType)
		}
	})
}
