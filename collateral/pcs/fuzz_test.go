package pcs_test

import (
	"testing"

	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/internal/fault"
)

// A path that is taken has one spelling, which is taken as well.
func FuzzParsePath(f *testing.F) {
	f.Add("/sgx/certification/v4/pckcrl?ca=platform&encoding=der")
	f.Add("/tdx/certification/v4/tcb?fmspc=00806f050000&update=early")
	f.Fuzz(func(t *testing.T, path string) {
		d, err := pcs.ParsePath(path)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Errorf("class %v: %v", fault.ClassOf(err), err)
			}
			return
		}
		again, err := pcs.ParsePath(d.Path())
		if err != nil || again.Path() != d.Path() {
			t.Errorf("%q becomes %q, which becomes %q, %v", path, d.Path(), again.Path(), err)
		}
	})
}
