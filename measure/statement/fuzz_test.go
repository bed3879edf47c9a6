package statement_test

import (
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/statement"
)

// A prediction that is read has values, and as many as are allowed.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"technology":"snp","values":[{"name":"measurement","hex":"00"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := statement.Parse(b)
		if err != nil {
			if fault.Is(err, fault.Internal) {
				t.Errorf("%v", err)
			}
			return
		}
		if p.Technology == "" || len(p.Values) == 0 || len(p.Values) > 4096 {
			t.Errorf("%q with %d values", p.Technology, len(p.Values))
		}
	})
}
