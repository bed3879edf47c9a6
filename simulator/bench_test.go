package simulator_test

import (
	"testing"

	"github.com/assay-tee/assay/simulator"
)

// BenchmarkNewAMD is what a demo or a simulated server waits for at its start.
func BenchmarkNewAMD(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := simulator.NewAMD(simulator.AMDConfig{}); err != nil {
			b.Fatal(err)
		}
	}
}
