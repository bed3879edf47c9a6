package stage0_test

import (
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/stage0"
)

// Every entry is read, and none goes beyond the address space.
func FuzzParseE820(f *testing.F) {
	f.Add(make([]byte, 2*stage0.E820Size))
	f.Fuzz(func(t *testing.T, b []byte) {
		es, err := stage0.ParseE820(b)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Errorf("class %v: %v", fault.ClassOf(err), err)
			}
			return
		}
		if len(es)*stage0.E820Size != len(b) {
			t.Errorf("%d entries of %d bytes", len(es), len(b))
		}
		for _, e := range es {
			if e.Address+e.Size < e.Address {
				t.Errorf("%+v", e)
			}
		}
	})
}
