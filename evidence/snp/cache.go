package snp

import "github.com/assay-tee/assay/internal/lru"

// cacheKey is the digests of the exact bytes that a value was made from and of everything else that it depends on, so
// that a hit can only save work (performance.md section 7).
type cacheKey struct{ content, context [32]byte }

type cache[V any] = lru.Cache[cacheKey, V]

// newCache makes a cache of at most maxBytes; of none at all it keeps nothing.
func newCache[V any](maxBytes int) *cache[V] {
	const least = 1 << 10 // bytes that a value is said to have at the least
	return lru.New[cacheKey, V](lru.Config{MaxEntries: maxBytes / least, MaxBytes: max(int64(maxBytes), 1)})
}
