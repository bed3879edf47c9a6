package snp

import (
	"runtime"
	"slices"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestCacheSwitchedOffKeepsNothing(t *testing.T) {
	for size, want := range map[int]int{0: 0, 1 << 20: 1} {
		c := newCache[int](size)
		if c.Put(cacheKey{}, 1, 1<<10); c.Len() != want {
			t.Errorf("a cache of %d bytes keeps %d entries, want %d", size, c.Len(), want)
		}
	}
}

func TestOversizedTextIsNotDecoded(t *testing.T) {
	data := slices.Repeat([]byte{'A'}, 10<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := unwrapData(data)
	_, detected := Detect(data)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 || detected || !fault.Is(err, fault.Malformed) {
		t.Errorf("%d bytes allocated, detected %v, %v", used, detected, err)
	}
}
