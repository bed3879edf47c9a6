package intel

import (
	"container/list"
	"sync"
)

// cache is a bounded LRU of immutable values. A key covers the exact bytes that a value was made from and everything
// else that it depends on, so that a hit can only save work (performance.md section 7).
type cache[K comparable, V any] struct {
	mu    sync.Mutex
	max   int // bytes
	used  int
	order *list.List // of *cached[K, V], most recent first
	items map[K]*list.Element
}

type cached[K comparable, V any] struct {
	key   K
	value V
	size  int
}

func newCache[K comparable, V any](maxBytes int) *cache[K, V] {
	return &cache[K, V]{max: maxBytes, order: list.New(), items: map[K]*list.Element{}}
}

func (c *cache[K, V]) get(k K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached[K, V]).value, true
}

// put adds or replaces a value that occupies about size bytes. What does not fit at all is not kept.
func (c *cache[K, V]) put(k K, v V, size int) {
	if size > c.max {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[k]; ok {
		c.used -= c.order.Remove(e).(*cached[K, V]).size
	}
	c.items[k] = c.order.PushFront(&cached[K, V]{k, v, size})
	for c.used += size; c.used > c.max; {
		old := c.order.Remove(c.order.Back()).(*cached[K, V])
		delete(c.items, old.key)
		c.used -= old.size
	}
}
