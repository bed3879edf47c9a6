package collateral

import (
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// diskCache is a Dir with a limit on its entries. It is a help, not a promise: what cannot be read or written is
// fetched again, and no failure of the disk fails a request.
type diskCache struct {
	dir *Dir
	max int

	mu sync.Mutex
	n  int // answers in dir, as far as this process knows
}

func openDiskCache(name string, maxEntries int) (*diskCache, error) {
	if err := ensureDir(name); err != nil {
		return nil, err
	}
	d, err := OpenDir(name)
	if err != nil {
		return nil, err
	}
	c := &diskCache{dir: d, max: maxEntries}
	err = fs.WalkDir(d.root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, bodyExt) {
			c.n++
		}
		if c.n >= maxEntries {
			return fs.SkipAll
		}
		return err
	})
	if err != nil {
		d.Close()
		return nil, fault.New(fault.Usage, "cache directory: %w", err)
	}
	return c, nil
}

func (c *diskCache) get(req evidence.Request) (evidence.Response, time.Time, bool) {
	r, at, err := c.dir.Get(req)
	return r, at, err == nil
}

func (c *diskCache) put(req evidence.Request, r evidence.Response, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _, exists := c.get(req)
	if !exists && c.n >= c.max {
		return
	}
	if c.dir.Put(req, r, at) == nil && !exists {
		c.n++
	}
}

func (c *diskCache) remove(req evidence.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, _, exists := c.get(req); exists && c.dir.Remove(req) == nil {
		c.n--
	}
}
