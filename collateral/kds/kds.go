// Package kds is a client of AMD's Key Distribution Service, which mints the certificates of SNP endorsement keys.
//
// What it returns is untrusted: it says what the service said. The service allows about one certificate per ten
// seconds and address and answers 429 beyond that, so the client paces itself and remembers a refusal; put a
// collateral.Cache in front of it.
package kds

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
)

// Service is the name of the KDS in evidence.Request.
const Service = "amd-kds"

// DefaultURL is AMD's own instance.
const DefaultURL = "https://kdsintf.amd.com"

// Defaults and limits.
const (
	defaultTimeout  = 10 * time.Second
	defaultInterval = 10 * time.Second
	defaultBurst    = 4
	maxBody         = 64 << 10         // a chain has 4.6 KB, a certificate 1.3 KB
	minBusy         = 10 * time.Second // after the first 429
	minDown         = 2 * time.Second  // after the first failure to get an answer at all
)

// Config says where the KDS is and how hard it may be pressed.
type Config struct {
	// BaseURL is the service without the path; "" is [DefaultURL]. A caching proxy of one's own goes here.
	BaseURL string
	// Timeout of one request; 0 is 10 s.
	Timeout time.Duration
	// Interval between VCEK requests in the long run; 0 is 10 s. Burst of them may come at once; 0 is 4.
	Interval time.Duration
	Burst    int
	// MaxWait is how long a VCEK request may wait for its turn before it fails; 0 is not at all. A server refuses at
	// once and lets the client come again; a command line waits.
	MaxWait time.Duration
	// Clock is for pacing only; nil is time.Now.
	Clock func() time.Time
	// Transport makes the connections; nil is a transport of its own.
	Transport http.RoundTripper
}

// Client asks the KDS. It implements evidence.Collateral and is safe for concurrent use.
type Client struct {
	base    string
	http    *httpx.Client
	clock   func() time.Time
	limit   *rate.Limiter
	maxWait time.Duration

	busy httpx.Pause // after 429: no VCEK is asked for
	down httpx.Pause // after failures to get any answer: nothing is asked for
}

// New checks cfg.
func New(cfg Config) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultURL
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Usage, "KDS address %q: want https://HOST[/PATH]", cfg.BaseURL)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Burst <= 0 {
		cfg.Burst = defaultBurst
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Client{
		base: strings.TrimSuffix(cfg.BaseURL, "/"), clock: cfg.Clock, maxWait: cfg.MaxWait,
		http:  httpx.New(httpx.Config{Timeout: cfg.Timeout, MaxBytes: maxBody, Transport: cfg.Transport}),
		limit: rate.NewLimiter(rate.Every(cfg.Interval), cfg.Burst),
	}, nil
}

// Given implements evidence.Collateral; nothing was handed over here.
func (c *Client) Given() [][]byte { return nil }

// Get implements evidence.Collateral. Everything that keeps the answer from being had is class unavailable, with a
// httpx.RetryError inside where it is known when to ask again.
func (c *Client) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	if req.Service != Service {
		return evidence.Response{}, fault.New(fault.Unavailable, "the AMD KDS does not serve %q", req.Service)
	}
	d, err := ParsePath(req.Path)
	if err != nil {
		return evidence.Response{}, err
	}
	// A service that does not answer must not hold up each verification for the time of a timeout.
	if err := c.down.Check(c.clock(), "the service did not answer a moment ago"); err != nil {
		return evidence.Response{}, fault.Wrap(err, "AMD KDS %s", d.Path())
	}
	if d.Kind == VCEK {
		if err := c.turn(ctx); err != nil {
			return evidence.Response{}, fault.Wrap(err, "AMD KDS %s", d.Path())
		}
	}
	body, err := c.fetch(ctx, d)
	if err != nil {
		return evidence.Response{}, fault.Wrap(err, "AMD KDS")
	}
	return evidence.Response{Body: body}, nil
}

// turn waits for the right to ask for a VCEK, or says when there will be one.
func (c *Client) turn(ctx context.Context) error {
	now := c.clock()
	if err := c.busy.Check(now, "the service has refused more requests for now"); err != nil {
		return err
	}
	r := c.limit.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if deadline, ok := ctx.Deadline(); delay > c.maxWait || ok && delay > 0 && time.Until(deadline) < delay {
		r.CancelAt(now)
		return fault.New(fault.Unavailable, "the limit on requests is used up: %w", &httpx.RetryError{After: delay})
	}
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		r.CancelAt(c.clock())
		return fault.As(fault.Unavailable, ctx.Err())
	case <-timer.C:
		return nil
	}
}

func (c *Client) fetch(ctx context.Context, d Document) ([]byte, error) {
	r, err := c.http.Get(ctx, c.base+d.Path())
	if err != nil {
		if ctx.Err() == nil { // not when it was the caller who gave up
			c.down.Begin(c.clock(), minDown, nil)
		}
		return nil, err
	}
	c.down.End()
	switch {
	case r.Status == http.StatusTooManyRequests, r.Status == http.StatusServiceUnavailable:
		after := c.busy.Begin(c.clock(), minBusy, r.Header)
		return nil, fault.New(fault.Unavailable, "%s: status %d: %w", d.Path(), r.Status, &httpx.RetryError{After: after})
	case r.Status == http.StatusNotFound:
		return nil, fault.New(fault.Unavailable, "%s: the service does not know this document (status 404)", d.Path())
	case r.Status != http.StatusOK:
		return nil, fault.New(fault.Unavailable, "%s: status %d", d.Path(), r.Status)
	}
	if d.Kind == VCEK {
		c.busy.End()
	}
	return r.Body, CheckAnswer(d, r.Body)
}
