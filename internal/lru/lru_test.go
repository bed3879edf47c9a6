package lru_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/assay-tee/assay/internal/lru"
)

func TestEntriesOfSecondUseSurviveAFloodOfNewOnes(t *testing.T) {
	c := lru.New[int, int](lru.Config{MaxEntries: 10})
	for i := range 5 {
		c.Put(i, i, 1)
		c.Get(i)
	}
	for i := 100; i < 1000; i++ {
		c.Put(i, i, 1)
	}
	for i := range 5 {
		if _, ok := c.Get(i); !ok {
			t.Errorf("entry %d, used twice, was displaced by entries that nobody used", i)
		}
	}
}

func TestTheLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := lru.New[string, int](lru.Config{MaxEntries: 2})
	c.Put("a", 1, 1)
	c.Put("b", 2, 1)
	c.Put("c", 3, 1)
	if _, ok := c.Get("a"); ok || c.Len() != 2 {
		t.Errorf("a is still there, %d entries", c.Len())
	}
	c.Remove("b")
	if _, ok := c.Get("b"); ok {
		t.Error("b was removed and is still there")
	}
}

// Whatever is done, the budget holds, and what Get returns is what was put last.
func TestBudgetsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := lru.Config{MaxEntries: rapid.IntRange(1, 8).Draw(t, "entries"), MaxBytes: rapid.Int64Range(0, 50).Draw(t, "bytes")}
		c := lru.New[int, int](cfg)
		model, sizes := map[int]int{}, map[int]int64{}
		for i := range rapid.IntRange(0, 200).Draw(t, "steps") {
			k := rapid.IntRange(0, 12).Draw(t, "key")
			switch rapid.IntRange(0, 2).Draw(t, "op") {
			case 0:
				size := rapid.Int64Range(0, 60).Draw(t, "size")
				c.Put(k, i, size)
				model[k], sizes[k] = i, size
			case 1:
				if v, ok := c.Get(k); ok && v != model[k] {
					t.Fatalf("key %d has %d, %d was put", k, v, model[k])
				}
			case 2:
				c.Remove(k)
				if _, ok := c.Get(k); ok {
					t.Fatalf("key %d is still there", k)
				}
			}
			var sum int64
			n := 0
			for k := range 13 {
				if _, ok := c.Get(k); ok {
					sum += sizes[k]
					n++
				}
			}
			if n != c.Len() || sum != c.Bytes() {
				t.Fatalf("%d entries of %d bytes counted, %d of %d said", n, sum, c.Len(), c.Bytes())
			}
			if c.Len() > cfg.MaxEntries || cfg.MaxBytes > 0 && c.Bytes() > cfg.MaxBytes {
				t.Fatalf("%d entries, %d bytes exceed %+v", c.Len(), c.Bytes(), cfg)
			}
		}
	})
}
