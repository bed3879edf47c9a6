package collateral

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/lru"
)

// Defaults of [CacheConfig].
const (
	defaultCacheBytes   = 32 << 20
	defaultCacheEntries = 16 << 10
	defaultDirEntries   = 64 << 10
	defaultFetchTimeout = time.Minute
)

// How long an answer serves before the origin is asked again. Certificates are asked for again now and then because a
// VCEK is minted anew with a later end (evidence-snp.md section 9), and because a wrong answer must not last for ever.
const (
	maxAgeCert  = 30 * 24 * time.Hour
	maxAgeOther = 24 * time.Hour
)

// CacheConfig says what to keep and where.
type CacheConfig struct {
	// Origin is asked for what is not in the cache. Required.
	Origin evidence.Collateral
	// Dir keeps answers across restarts, in the layout of [Dir]; "" keeps them in memory only. It is created if need be.
	Dir string
	// MaxBytes and MaxEntries bound the memory; 0 is 32 MiB and 16384. MaxDirEntries bounds the directory; 0 is 65536:
	// when it is full, answers are kept in memory only.
	MaxBytes      int64
	MaxEntries    int
	MaxDirEntries int
	// FetchTimeout bounds one question to the origin, which serves all who wait for it; 0 is one minute.
	FetchTimeout time.Duration
	// Clock decides when an answer has grown old; nil is time.Now.
	Clock func() time.Time
}

// Cache keeps answers of an origin. Equal questions at the same time are asked once. Failures are never kept; an old
// answer is returned when the origin has no newer one, since drivers test validity themselves. It implements
// evidence.Collateral and is safe for concurrent use.
type Cache struct {
	origin  evidence.Collateral
	mem     *lru.Cache[evidence.Request, stored]
	disk    *diskCache // nil without a directory
	flight  singleflight.Group
	timeout time.Duration
	clock   func() time.Time
}

// stored is an answer and the time until which the origin need not be asked again.
type stored struct {
	r     evidence.Response
	fresh time.Time
}

// NewCache checks cfg and opens the directory.
func NewCache(cfg CacheConfig) (*Cache, error) {
	if cfg.Origin == nil {
		return nil, fault.New(fault.Usage, "a cache of collateral needs an origin")
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultCacheBytes
	}
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = defaultCacheEntries
	}
	if cfg.MaxDirEntries <= 0 {
		cfg.MaxDirEntries = defaultDirEntries
	}
	if cfg.FetchTimeout <= 0 {
		cfg.FetchTimeout = defaultFetchTimeout
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	c := &Cache{origin: cfg.Origin, timeout: cfg.FetchTimeout, clock: cfg.Clock,
		mem: lru.New[evidence.Request, stored](lru.Config{MaxEntries: cfg.MaxEntries, MaxBytes: cfg.MaxBytes})}
	if cfg.Dir != "" {
		var err error
		if c.disk, err = openDiskCache(cfg.Dir, cfg.MaxDirEntries); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close releases the directory.
func (c *Cache) Close() error {
	if c.disk == nil {
		return nil
	}
	return c.disk.dir.Close()
}

// Given implements evidence.Collateral.
func (c *Cache) Given() [][]byte { return c.origin.Given() }

// Get implements evidence.Collateral.
func (c *Cache) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	req = Canonical(req)
	if s, ok := c.mem.Get(req); ok && c.clock().Before(s.fresh) {
		return s.r, nil
	}
	// The question to the origin outlives the first who asked: others wait for the same answer.
	answer := c.flight.DoChan(req.Service+" "+req.Path, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		return c.refresh(ctx, req)
	})
	select {
	case <-ctx.Done():
		return evidence.Response{}, fault.New(fault.Unavailable, "%s %s: %w", req.Service, req.Path, ctx.Err())
	case a := <-answer:
		if a.Err != nil {
			return evidence.Response{}, a.Err
		}
		return a.Val.(evidence.Response), nil
	}
}

// refresh looks on disk, then asks the origin. An answer that has grown old is better than none.
func (c *Cache) refresh(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	old, have := c.mem.Get(req)
	if !have && c.disk != nil {
		if r, at, ok := c.disk.get(req); ok {
			old, have = stored{r, FreshUntil(r, at)}, true
			c.mem.Put(req, old, size(req, r))
		}
	}
	if have && c.clock().Before(old.fresh) {
		return old.r, nil
	}
	r, err := c.origin.Get(ctx, req)
	if err != nil {
		if have {
			return old.r, nil
		}
		return evidence.Response{}, err
	}
	now := c.clock()
	if len(r.Body) > 0 && len(r.Body)+len(r.IssuerChain) <= maxBody {
		c.mem.Put(req, stored{r, FreshUntil(r, now)}, size(req, r))
		if c.disk != nil {
			c.disk.put(req, r, now)
		}
	}
	return r, nil
}

// Forget drops an answer, for a caller that has found it wrong.
func (c *Cache) Forget(req evidence.Request) {
	req = Canonical(req)
	c.mem.Remove(req)
	if c.disk != nil {
		c.disk.remove(req)
	}
}

func size(req evidence.Request, r evidence.Response) int64 {
	return int64(len(req.Service) + len(req.Path) + len(r.Body) + len(r.IssuerChain))
}

// FreshUntil is the end of the time in which an answer had at that time serves without a question: at the latest when
// its own validity ends.
func FreshUntil(r evidence.Response, at time.Time) time.Time {
	b := r.Body
	block, _ := pem.Decode(b)
	if block != nil {
		b = block.Bytes
	}
	if c, err := x509.ParseCertificate(b); err == nil {
		return earlier(at.Add(maxAgeCert), c.NotAfter)
	}
	if l, err := x509.ParseRevocationList(b); err == nil {
		return earlier(at.Add(maxAgeOther), l.NextUpdate)
	}
	// Intel's signed documents say when the next one comes; well before that they are asked for again.
	if t, err := dcap.ParseTCBInfo(r.Body); err == nil {
		return refreshBefore(at, t.Window)
	}
	if t, err := dcap.ParseIdentity(r.Body); err == nil {
		return refreshBefore(at, t.Window)
	}
	return at.Add(maxAgeOther)
}

// refreshBefore is the end of the freshness of a document: at most a day, and before four fifths of its window are over
// as long as they are not (performance.md section 10).
func refreshBefore(at time.Time, w dcap.Window) time.Time {
	day := at.Add(maxAgeOther)
	early := w.From.Add(w.Until.Sub(w.From) / 5 * 4)
	if at.Before(early) {
		return earlier(day, early)
	}
	return earlier(at.Add(time.Hour), w.Until)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// ValidUntil is the end of the validity that an answer names itself; zero when it names none.
func ValidUntil(r evidence.Response) time.Time {
	b := r.Body
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	if c, err := x509.ParseCertificate(b); err == nil {
		return c.NotAfter
	}
	if l, err := x509.ParseRevocationList(b); err == nil {
		return l.NextUpdate
	}
	if t, err := dcap.ParseTCBInfo(r.Body); err == nil {
		return t.Window.Until
	}
	if t, err := dcap.ParseIdentity(r.Body); err == nil {
		return t.Window.Until
	}
	return time.Time{}
}

// ensureDir makes the directory of a cache.
func ensureDir(name string) error {
	if err := os.MkdirAll(name, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fault.New(fault.Usage, "cache directory: %w", err)
	}
	return nil
}
