package corim

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
)

// DecodeValues reads one measurement-values-map, for fragments among the vectors.
func DecodeValues(b []byte, o Options) (claim.Values, error) {
	d := &decoder{opts: o, profile: o.Profile}
	r := cborx.NewReader(b, innerLimits)
	var v claim.Values
	d.values(r, &v)
	return v, r.Done()
}
