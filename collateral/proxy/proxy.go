// Package proxy is a caching server with the faces of AMD's KDS and Intel's PCS: in a closed network guests and Verifiers
// need this one address. It answers from memory, asks the vendors once for each document however many wait for it,
// refreshes what is used before it expires, and stays away from a vendor that has refused for as long as it was told to.
//
// It signs and verifies nothing: what it hands out is as untrusted as what the vendor's own service sends, and every
// client checks it.
package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
	"github.com/assay-tee/assay/internal/lru"
)

// Defaults and limits.
const (
	defaultEntries      = 64 << 10
	defaultBytes        = 256 << 20
	defaultFetchTimeout = time.Minute
	maxUpstream         = 16               // questions to vendors at the same time
	minRetry            = 5 * time.Second  // after a failure for one document
	maxRetry            = 10 * time.Minute // the same, after many
	maxFailures         = 4096             // documents whose failures are remembered
	idle                = 48 * time.Hour   // what nobody has asked for so long is not refreshed
)

// Store keeps answers across restarts. *collateral.Dir is one.
type Store interface {
	// Get returns an answer and when it was had; what is not there is class unavailable.
	Get(evidence.Request) (evidence.Response, time.Time, error)
	Put(evidence.Request, evidence.Response, time.Time) error
}

// Config says where answers come from and where they stay.
type Config struct {
	// Origin is asked for what is not at hand: the clients of the vendors' services, or an imported bundle. Required.
	Origin evidence.Collateral
	// Store keeps answers; nil keeps them in memory only.
	Store Store
	// MaxEntries and MaxBytes bound the memory; 0 is 65536 and 256 MiB.
	MaxEntries int
	MaxBytes   int64
	// FetchTimeout bounds one question to a vendor, which serves all who wait for it; 0 is one minute.
	FetchTimeout time.Duration
	// Clock decides what has expired; nil is time.Now.
	Clock func() time.Time
}

// Proxy is the server. It implements http.Handler and evidence.Collateral, and is safe for concurrent use.
type Proxy struct {
	origin  evidence.Collateral
	store   Store
	clock   func() time.Time
	timeout time.Duration
	mem     *lru.Cache[evidence.Request, *answer]
	flight  singleflight.Group
	slots   chan struct{}

	mu       sync.Mutex
	failures map[evidence.Request]failure
	known    map[evidence.Request]*usage // what Refresh looks at
	counters Counters
}

// Counters count what has happened since the start, for metrics.
type Counters struct {
	Hits, Stale, Misses, Fetched, Failed, Refused, Refreshed atomic.Int64
}

// answer is a document, ready to be sent. It is immutable but for its usage.
type answer struct {
	evidence.Response
	had, fresh, valid time.Time // valid is zero when the document names no end
	face              rendered
	usage             *usage
}

// usage says when a document was last asked for, and until when the answer at hand is fresh.
type usage struct {
	last  atomic.Int64 // Unix seconds
	fresh time.Time
}

// failure is a document that could not be had.
type failure struct {
	err   error
	until time.Time
	count int
}

// New checks cfg.
func New(cfg Config) (*Proxy, error) {
	if cfg.Origin == nil {
		return nil, fault.New(fault.Usage, "a proxy of collateral needs an origin")
	}
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = defaultEntries
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultBytes
	}
	if cfg.FetchTimeout <= 0 {
		cfg.FetchTimeout = defaultFetchTimeout
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Proxy{origin: cfg.Origin, store: cfg.Store, clock: cfg.Clock, timeout: cfg.FetchTimeout, slots: make(chan struct{}, maxUpstream),
		mem:      lru.New[evidence.Request, *answer](lru.Config{MaxEntries: cfg.MaxEntries, MaxBytes: cfg.MaxBytes}),
		failures: map[evidence.Request]failure{}, known: map[evidence.Request]*usage{}}, nil
}

// Counters returns the live counters.
func (p *Proxy) Counters() *Counters { return &p.counters }

// Given implements evidence.Collateral.
func (p *Proxy) Given() [][]byte { return nil }

// Get implements evidence.Collateral.
func (p *Proxy) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	a, err := p.lookup(ctx, collateral.Canonical(req))
	if err != nil {
		return evidence.Response{}, err
	}
	return a.Response, nil
}

// lookup returns the answer for a canonical request. One that has grown old is sent while the next one is fetched behind
// it, as long as the document itself is valid.
func (p *Proxy) lookup(ctx context.Context, req evidence.Request) (*answer, error) {
	now := p.clock()
	if a, ok := p.mem.Get(req); ok {
		a.usage.last.Store(now.Unix())
		if now.Before(a.fresh) {
			p.counters.Hits.Add(1)
			return a, nil
		}
		if a.validAt(now) {
			p.counters.Stale.Add(1)
			p.refreshBehind(req)
			return a, nil
		}
	}
	p.counters.Misses.Add(1)
	return p.wait(ctx, req)
}

func (a *answer) validAt(now time.Time) bool { return a.valid.IsZero() || !now.After(a.valid) }

// wait asks for a document and waits with everybody else who did.
func (p *Proxy) wait(ctx context.Context, req evidence.Request) (*answer, error) {
	ch := p.flight.DoChan(req.Service+" "+req.Path, func() (any, error) { return p.obtain(ctx, req) })
	select {
	case <-ctx.Done():
		return nil, fault.As(fault.Unavailable, ctx.Err())
	case r := <-ch:
		if r.Err != nil {
			return nil, r.Err
		}
		a := r.Val.(*answer)
		if now := p.clock(); !a.validAt(now) { // also when it was fetched for somebody who came earlier
			return nil, fault.New(fault.Unavailable, "%s %s: all that is to be had expired at %s", req.Service, req.Path, a.valid.UTC().Format(time.RFC3339))
		}
		return a, nil
	}
}

// refreshBehind fetches without making anybody wait; a failure is remembered and keeps the next one away for a while.
func (p *Proxy) refreshBehind(req evidence.Request) {
	p.flight.DoChan(req.Service+" "+req.Path, func() (any, error) { return p.fetch(context.Background(), req) })
}

// obtain looks into the store, then asks the vendor.
func (p *Proxy) obtain(ctx context.Context, req evidence.Request) (*answer, error) {
	now := p.clock()
	if p.store != nil {
		if r, at, err := p.store.Get(req); err == nil {
			a := p.keep(req, r, at)
			if now.Before(a.fresh) {
				return a, nil
			}
			if fresh, err := p.fetch(ctx, req); err == nil || !a.validAt(now) {
				return fresh, err
			}
			return a, nil
		}
	}
	return p.fetch(ctx, req)
}

// fetch asks the vendor, unless a failure a moment ago says not to.
func (p *Proxy) fetch(ctx context.Context, req evidence.Request) (*answer, error) {
	now := p.clock()
	if err := p.failed(req, now); err != nil {
		p.counters.Refused.Add(1)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
	defer cancel()
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, fault.New(fault.Unavailable, "too many questions to the vendors are under way: %w", ctx.Err())
	}
	r, err := p.origin.Get(ctx, req)
	if err != nil {
		p.counters.Failed.Add(1)
		p.remember(req, err, now)
		return nil, p.failed(req, now)
	}
	p.counters.Fetched.Add(1)
	p.forget(req)
	if p.store != nil {
		if err := p.store.Put(req, r, now); err != nil {
			p.counters.Failed.Add(1) // the answer is good all the same
		}
	}
	return p.keep(req, r, now), nil
}

func (p *Proxy) keep(req evidence.Request, r evidence.Response, had time.Time) *answer {
	a := &answer{Response: r, had: had, fresh: collateral.FreshUntil(r, had), valid: collateral.ValidUntil(r)}
	a.face, a.usage = render(req, r), &usage{fresh: a.fresh}
	a.usage.last.Store(p.clock().Unix())
	p.mem.Put(req, a, int64(2*len(r.Body)+2*len(r.IssuerChain)+len(req.Path)+512))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= defaultEntries {
		clear(p.known)
	}
	p.known[req] = a.usage
	return a
}

// failed is the error of the last attempt while it keeps the next one away.
func (p *Proxy) failed(req evidence.Request, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.failures[req]
	if !ok || !now.Before(f.until) {
		return nil
	}
	return fault.New(fault.Unavailable, "%w (%w)", f.err, &httpx.RetryError{After: f.until.Sub(now)})
}

func (p *Proxy) remember(req evidence.Request, err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.failures) >= maxFailures {
		clear(p.failures)
	}
	f := p.failures[req]
	after := minRetry << min(f.count, 10)
	if said, ok := httpx.RetryAfter(err); ok {
		after = max(after, said)
	}
	p.failures[req] = failure{err, now.Add(min(after, maxRetry)), f.count + 1}
}

func (p *Proxy) forget(req evidence.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failures, req)
}

// Refresh fetches every document that is in use and no longer fresh, one after the other. It returns how many it has
// replaced. [Proxy.Run] calls it now and then.
func (p *Proxy) Refresh(ctx context.Context) int {
	now, n := p.clock(), 0
	for _, req := range p.due(now) {
		if ctx.Err() != nil {
			return n
		}
		if _, err, _ := p.flight.Do(req.Service+" "+req.Path, func() (any, error) { return p.fetch(ctx, req) }); err == nil {
			p.counters.Refreshed.Add(1)
			n++
		}
	}
	return n
}

func (p *Proxy) due(now time.Time) []evidence.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []evidence.Request
	for req, u := range p.known {
		switch unused := now.Sub(time.Unix(u.last.Load(), 0)); {
		case unused > idle:
			delete(p.known, req)
		case !now.Before(u.fresh):
			out = append(out, req)
		}
	}
	return out
}

// Run refreshes until ctx ends.
func (p *Proxy) Run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(max(every, time.Second))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.Refresh(ctx)
		}
	}
}
