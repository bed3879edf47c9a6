// Package pcs is a client of Intel's Provisioning Certification Service (version 4), and of PCCS, the cache with the
// same interface that data centres run.
//
// What it returns is untrusted: it says what the service said. It refuses answers to other questions, and answers that
// are older than what the service has said before: documents of a lower evaluation number call older firmware up to
// date, and an older list does not know who was revoked since (evidence-intel.md section 26, item 8). Put a
// collateral.Cache in front of it.
package pcs

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
)

// Service is the name of PCS in evidence.Request.
const Service = "intel-pcs"

// Intel's own instances.
const (
	DefaultURL        = "https://api.trustedservices.intel.com"
	DefaultRootCRLURL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
)

// Defaults and limits.
const (
	defaultTimeout = 10 * time.Second
	maxBody        = 1 << 20          // TCBInfo has 6 KB, a list 4 KB
	minBusy        = 10 * time.Second // after the first 429 or 503
	minDown        = 2 * time.Second  // after the first failure to get an answer at all
)

// Config says where the service is.
type Config struct {
	// BaseURL is the service without the path; "" is [DefaultURL]. The address of a PCCS goes here.
	BaseURL string
	// RootCRLURL is where the list of the root lies; "" is Intel's distribution point for Intel's own service, and the
	// path /sgx/certification/v4/rootcacrl of BaseURL for any other.
	RootCRLURL string
	// Update is the channel "standard" or "early"; "" leaves it to the service. A request that names one keeps it.
	Update string
	// SubscriptionKey is sent for PCK certificates, which PCS gives to subscribers only.
	SubscriptionKey string
	// Timeout of one request; 0 is 10 s.
	Timeout time.Duration
	// Clock is for pacing only; nil is time.Now.
	Clock func() time.Time
	// Transport makes the connections; nil is a transport of its own. One that trusts the certificate of a PCCS goes here.
	Transport http.RoundTripper
}

// Client asks PCS. It implements evidence.Collateral and is safe for concurrent use.
type Client struct {
	base, rootCRL, update, key string
	http                       *httpx.Client
	clock                      func() time.Time
	busy, down                 httpx.Pause
	seen                       guard
}

// New checks cfg.
func New(cfg Config) (*Client, error) {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultURL
	}
	for _, addr := range []string{cfg.BaseURL, cfg.RootCRLURL} {
		u, err := url.Parse(addr)
		if addr != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "") {
			return nil, fault.New(fault.Usage, "PCS address %q: want https://HOST[:PORT][/PATH]", addr)
		}
	}
	if cfg.Update != "" && cfg.Update != "standard" && cfg.Update != "early" {
		return nil, fault.New(fault.Usage, "update channel %q: standard or early", cfg.Update)
	}
	base := strings.TrimSuffix(cfg.BaseURL, "/")
	if cfg.RootCRLURL == "" {
		cfg.RootCRLURL = base + "/sgx/certification/v4/rootcacrl"
		if base == DefaultURL {
			cfg.RootCRLURL = DefaultRootCRLURL
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Client{base: base, rootCRL: cfg.RootCRLURL, update: cfg.Update, key: cfg.SubscriptionKey, clock: cfg.Clock,
		http: httpx.New(httpx.Config{Timeout: cfg.Timeout, MaxBytes: maxBody, Transport: withKey(cfg)})}, nil
}

// withKey adds the subscription key to requests for PCK certificates.
func withKey(cfg Config) http.RoundTripper {
	if cfg.SubscriptionKey == "" {
		return cfg.Transport
	}
	next := cfg.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/pckcert") {
			r = r.Clone(r.Context())
			r.Header.Set("Ocp-Apim-Subscription-Key", cfg.SubscriptionKey)
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Given implements evidence.Collateral; nothing was handed over here.
func (c *Client) Given() [][]byte { return nil }

// Get implements evidence.Collateral. Everything that keeps the answer from being had is class unavailable, with a
// httpx.RetryError inside where it is known when to ask again.
func (c *Client) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	if req.Service != Service {
		return evidence.Response{}, fault.New(fault.Unavailable, "Intel PCS does not serve %q", req.Service)
	}
	d, err := ParsePath(req.Path)
	if err != nil {
		return evidence.Response{}, err
	}
	now := c.clock()
	if err := c.down.Check(now, "the service did not answer a moment ago"); err != nil {
		return evidence.Response{}, fault.Wrap(err, "Intel PCS %s", d.Path())
	}
	if err := c.busy.Check(now, "the service has refused more requests for now"); err != nil {
		return evidence.Response{}, fault.Wrap(err, "Intel PCS %s", d.Path())
	}
	r, err := c.fetch(ctx, d)
	if err == nil {
		err = c.seen.admit(d, r)
	}
	if err != nil {
		return evidence.Response{}, fault.New(fault.Unavailable, "Intel PCS %s: %w", d.Path(), err)
	}
	return r, nil
}

// url is where d lies; the channel is added where the document has channels and the request names none.
func (c *Client) url(d Document) string {
	if d.Kind == RootCRL {
		return c.rootCRL
	}
	u := c.base + d.Path()
	if c.update == "" || d.Kind != TCBInfo && d.Kind != Identity || strings.Contains(u, "update=") || strings.Contains(u, "tcbEvaluationDataNumber=") {
		return u
	}
	sep := "?"
	if strings.Contains(u, "?") {
		sep = "&"
	}
	return u + sep + "update=" + c.update
}

func (c *Client) fetch(ctx context.Context, d Document) (evidence.Response, error) {
	r, err := c.http.Get(ctx, c.url(d))
	if err != nil {
		if ctx.Err() == nil { // not when it was the caller who gave up
			c.down.Begin(c.clock(), minDown, nil)
		}
		return evidence.Response{}, err
	}
	c.down.End()
	switch r.Status {
	case http.StatusOK:
		c.busy.End()
		return d.answer(r.Header, r.Body)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		after := c.busy.Begin(c.clock(), minBusy, r.Header)
		return evidence.Response{}, fault.New(fault.Unavailable, "status %d: %w", r.Status, &httpx.RetryError{After: after})
	}
	return evidence.Response{}, fault.New(fault.Unavailable, "%s (status %d)", meaning(r.Status), r.Status)
}

// meaning of the status codes of PCS and PCCS (evidence-intel.md sections 22 and 23).
func meaning(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "the service does not understand the request"
	case http.StatusUnauthorized:
		return "the service wants a subscription key"
	case http.StatusNotFound:
		return "the service does not have this document"
	case http.StatusGone:
		return "this evaluation number has been withdrawn"
	case 460, 461:
		return "the PCCS does not know this platform"
	case 462:
		return "the PCCS has no certificate for this TCB"
	case http.StatusBadGateway:
		return "the PCCS could not reach Intel"
	}
	return "the service failed"
}
