// Package lru is a cache with a budget of bytes and entries, for things that can be had again. It is segmented: an
// entry is on probation until its second use, so that a stranger who fills the cache with entries that nobody asks for
// again displaces only others of that kind (performance.md section 11).
package lru

import (
	"container/list"
	"sync"
)

// Config bounds a cache. Both limits count.
type Config struct {
	MaxEntries int   // at least 1
	MaxBytes   int64 // of the sizes said at [Cache.Put]; 0 is no limit of its own
}

// Cache maps keys to values. It is safe for concurrent use. Values must not be changed once they are in.
type Cache[K comparable, V any] struct {
	cfg Config

	mu        sync.Mutex
	entries   map[K]*list.Element
	probation *list.List // front: most recently used
	protected *list.List
	bytes     int64
}

type entry[K comparable, V any] struct {
	key       K
	value     V
	size      int64
	protected bool
}

// New makes an empty cache.
func New[K comparable, V any](cfg Config) *Cache[K, V] {
	cfg.MaxEntries = max(cfg.MaxEntries, 1)
	return &Cache[K, V]{cfg: cfg, entries: map[K]*list.Element{}, probation: list.New(), protected: list.New()}
}

// Get returns the value of k and counts as a use.
func (c *Cache[K, V]) Get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		var zero V
		return zero, false
	}
	x := e.Value.(*entry[K, V])
	if x.protected {
		c.protected.MoveToFront(e)
		return x.value, true
	}
	c.probation.Remove(e)
	x.protected = true
	c.entries[k] = c.protected.PushFront(x)
	// The protected segment leaves a fifth of the entries to newcomers; what falls out of it is on probation again.
	for c.protected.Len() > 1 && c.protected.Len() > c.cfg.MaxEntries*4/5 {
		last := c.protected.Back()
		y := c.protected.Remove(last).(*entry[K, V])
		y.protected = false
		c.entries[y.key] = c.probation.PushFront(y)
	}
	return x.value, true
}

// Put stores v, whose size in bytes the caller knows. What is larger than the whole budget is not stored.
func (c *Cache[K, V]) Put(k K, v V, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(k)
	if c.cfg.MaxBytes > 0 && size > c.cfg.MaxBytes {
		return
	}
	for len(c.entries) > 0 && (len(c.entries) >= c.cfg.MaxEntries || c.cfg.MaxBytes > 0 && c.bytes+size > c.cfg.MaxBytes) {
		victim := c.probation.Back()
		if victim == nil {
			victim = c.protected.Back()
		}
		c.remove(victim.Value.(*entry[K, V]).key)
	}
	c.entries[k] = c.probation.PushFront(&entry[K, V]{key: k, value: v, size: size})
	c.bytes += size
}

// Remove forgets k.
func (c *Cache[K, V]) Remove(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(k)
}

func (c *Cache[K, V]) remove(k K) {
	e, ok := c.entries[k]
	if !ok {
		return
	}
	delete(c.entries, k)
	x := e.Value.(*entry[K, V])
	c.bytes -= x.size
	if x.protected {
		c.protected.Remove(e)
	} else {
		c.probation.Remove(e)
	}
}

// Len returns the number of entries.
func (c *Cache[K, V]) Len() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.entries) }

// Bytes returns the sum of the sizes of all entries.
func (c *Cache[K, V]) Bytes() int64 { c.mu.Lock(); defer c.mu.Unlock(); return c.bytes }
