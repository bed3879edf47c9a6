package snp

import (
	"runtime"
	"slices"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestCacheIsBoundedAndForgetsTheOldest(t *testing.T) {
	c := newCache[int](100)
	key := func(i int) cacheKey { return cacheKey{content: [32]byte{byte(i), byte(i >> 8)}} }
	for i := range 1000 {
		c.put(key(i), i, 10)
		c.get(key(0)) // used again and again, so it stays
	}
	if c.used != 100 || len(c.items) != 10 || c.order.Len() != 10 {
		t.Errorf("%d bytes, %d items, %d in order", c.used, len(c.items), c.order.Len())
	}
	for _, i := range []int{0, 999, 991} {
		if v, ok := c.get(key(i)); !ok || v != i {
			t.Errorf("%d is gone", i)
		}
	}
	if _, ok := c.get(key(990)); ok {
		t.Error("the oldest is still there")
	}
	c.put(key(0), 7, 10)
	if v, _ := c.get(key(0)); v != 0 || c.used != 100 {
		t.Errorf("a second put changed the value to %d or the size to %d", v, c.used)
	}
	c.put(key(5000), 1, 101)
	if _, ok := c.get(key(5000)); ok {
		t.Error("what exceeds the whole cache is kept")
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
