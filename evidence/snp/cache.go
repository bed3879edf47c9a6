package snp

import (
	"container/list"
	"sync"
)

// cache is a bounded LRU of immutable values. Keys are digests of the exact bytes that a value was made from and of
// everything else that it depends on, so that a hit can only save work (performance.md section 7).
type cache[V any] struct {
	mu    sync.Mutex
	max   int // bytes
	used  int
	order *list.List // of *cached[V], most recent first
	items map[cacheKey]*list.Element
}

type cacheKey struct{ content, context [32]byte }

type cached[V any] struct {
	key   cacheKey
	value V
	size  int
}

func newCache[V any](maxBytes int) *cache[V] {
	return &cache[V]{max: maxBytes, order: list.New(), items: map[cacheKey]*list.Element{}}
}

func (c *cache[V]) get(k cacheKey) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		var zero V
		return zero, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached[V]).value, true
}

// put adds a value that occupies about size bytes. What does not fit at all is not kept.
func (c *cache[V]) put(k cacheKey, v V, size int) {
	if size > c.max {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[k]; ok {
		c.order.MoveToFront(e)
		return
	}
	c.items[k] = c.order.PushFront(&cached[V]{k, v, size})
	for c.used += size; c.used > c.max; {
		last := c.order.Back()
		old := c.order.Remove(last).(*cached[V])
		delete(c.items, old.key)
		c.used -= old.size
	}
}
