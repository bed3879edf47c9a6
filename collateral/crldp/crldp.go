// Package crldp fetches revocation lists from the distribution points that certificates name, at hosts that are known
// beforehand only: who writes a certificate must not choose whom a verifier talks to.
//
// What it returns is untrusted: it says what the host said. Lists are signed, so those of a certificate authority come
// over plain HTTP as their distribution points say (RFC 5280 section 4.2.1.13).
package crldp

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
)

// Service is the name of the lists in evidence.Request. The path of a request is /SCHEME/HOST/PATH.
const Service = "crldp"

// Limits and defaults.
const (
	maxBody        = 1 << 20 // bytes of a list
	maxURL         = 1024
	defaultTimeout = 3 * time.Second
	minDown        = 10 * time.Second // after a host failed to answer
)

// DefaultHosts are those of IBM Z host keys: IBM's own, and of the authority that certifies the IBM Z signing key.
func DefaultHosts() []string {
	return []string{"www.ibm.com", "crl3.digicert.com", "crl4.digicert.com"}
}

// Config says whom to ask.
type Config struct {
	// Hosts may be asked, no others; nil is [DefaultHosts].
	Hosts []string
	// MirrorURL, if set, is asked for MIRROR/SCHEME/HOST/PATH in place of the hosts.
	MirrorURL string
	// Timeout of one request; 0 is 3 s.
	Timeout time.Duration
	// Clock is for pacing only; nil is time.Now.
	Clock func() time.Time
	// Transport makes the connections; nil is a transport of its own.
	Transport http.RoundTripper
}

// Client fetches lists. It implements evidence.Collateral and is safe for concurrent use.
type Client struct {
	hosts  []string
	mirror string
	clock  func() time.Time
	http   *httpx.Client
	down   map[string]*httpx.Pause // by host; never written after New
}

// New checks cfg.
func New(cfg Config) (*Client, error) {
	if cfg.Hosts == nil {
		cfg.Hosts = DefaultHosts()
	}
	if cfg.MirrorURL != "" {
		u, err := url.Parse(cfg.MirrorURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fault.New(fault.Usage, "address of revocation lists %q: want https://HOST[/PATH]", cfg.MirrorURL)
		}
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	c := &Client{hosts: slices.Clone(cfg.Hosts), mirror: strings.TrimSuffix(cfg.MirrorURL, "/"), clock: cfg.Clock, down: map[string]*httpx.Pause{},
		http: httpx.New(httpx.Config{Timeout: cfg.Timeout, MaxBytes: maxBody, Transport: cfg.Transport})}
	for _, h := range c.hosts {
		c.down[h] = new(httpx.Pause)
	}
	return c, nil
}

// Given implements evidence.Collateral; nothing was handed over here.
func (c *Client) Given() [][]byte { return nil }

// Get implements evidence.Collateral. Everything that keeps the list from being had is class unavailable.
func (c *Client) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	if req.Service != Service {
		return evidence.Response{}, fault.New(fault.Unavailable, "no list is had from %q here", req.Service)
	}
	scheme, rest, _ := strings.Cut(strings.TrimPrefix(req.Path, "/"), "/")
	host, path, ok := strings.Cut(rest, "/")
	if scheme != "http" && scheme != "https" || !ok || path == "" || len(req.Path) > maxURL || strings.ContainsAny(path, "?#") {
		return evidence.Response{}, fault.New(fault.Malformed, "%q is not the address of a revocation list", req.Path)
	}
	pause, known := c.down[host]
	if !known {
		return evidence.Response{}, fault.New(fault.Unavailable, "%s://%s is not asked for revocation lists; hand the list over", scheme, rest)
	}
	if err := pause.Check(c.clock(), host+" did not answer a moment ago"); err != nil {
		return evidence.Response{}, err
	}
	address := scheme + "://" + rest
	if c.mirror != "" {
		address = c.mirror + "/" + scheme + "/" + rest
	}
	r, err := c.http.Get(ctx, address)
	if err != nil {
		if ctx.Err() == nil { // not when it was the caller who gave up
			pause.Begin(c.clock(), minDown, nil)
		}
		return evidence.Response{}, err
	}
	pause.End()
	if r.Status != http.StatusOK {
		return evidence.Response{}, fault.New(fault.Unavailable, "%s: status %d", address, r.Status)
	}
	der := r.Body
	if b, _ := pem.Decode(der); b != nil {
		der = b.Bytes
	}
	if _, err := x509.ParseRevocationList(der); err != nil {
		return evidence.Response{}, fault.New(fault.Unavailable, "%s: the answer is no revocation list: %w", address, err)
	}
	return evidence.Response{Body: der}, nil
}
