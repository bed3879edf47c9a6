package oak_test

import (
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/protox"
	"github.com/assay-tee/assay/provenance/oak"
)

func FuzzParse(f *testing.F) {
	skip := protox.AppendBytes(nil, 1, nil)
	root := protox.AppendBytes(nil, 1, protox.AppendBytes(protox.AppendBytes(nil, 4, skip), 6, skip))
	f.Add(protox.AppendBytes(nil, 2, protox.AppendBytes(nil, 1, root)))
	f.Add(protox.AppendBytes(nil, 9, protox.AppendBytes(protox.AppendBytes(nil, 1, []byte("\xde\x4a\x0d\x55\x60\xea\x4d\xc6\xab\xd1\x09\xed\x74\x4f\x80\xea")), 2, root)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := oak.ParseReferenceValues(b)
		if err == nil {
			if _, err := r.Evaluate(oak.Attested{}, nil, time.Unix(1, 0)); err == nil {
				t.Error("claims of nothing are accepted")
			}
		} else if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported && c != fault.Policy {
			t.Error(err)
		}
		if e, err := oak.ParseEndorsements(b); err == nil {
			for _, x := range e.By {
				if _, err := x.Verify(&oak.EndorsementReference{Endorser: oak.KeySet{Keys: []oak.Key{{Type: 1}}}}, time.Unix(1, 0)); err == nil {
					t.Error("verified under no key")
				}
			}
		}
		oak.Legacy(b)
	})
}
