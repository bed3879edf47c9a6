// Package httpx fetches small documents over HTTP with limits: a time, a size, and the host that was asked.
package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// Config bounds a [Client].
type Config struct {
	Timeout   time.Duration     // of a whole request, body included; 0 is 10 s
	MaxBytes  int64             // of a body; 0 is 1 MiB
	Transport http.RoundTripper // nil is a transport of its own, with proxies from the environment
}

// Client makes GET requests.
type Client struct {
	http     http.Client
	maxBytes int64
}

// Response is an answer of any status, body in full.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// maxRedirects is how often an answer may point elsewhere on the same host.
const maxRedirects = 3

// New makes a client.
func New(cfg Config) *Client {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 1 << 20
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: cfg.Timeout, ResponseHeaderTimeout: cfg.Timeout, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}
	}
	return &Client{maxBytes: cfg.MaxBytes, http: http.Client{Timeout: cfg.Timeout, Transport: cfg.Transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0].URL
			if req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
				return fmt.Errorf("the service redirects to another host, %s", req.URL.Host)
			}
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return nil
		}}}
}

// Get fetches url. Every failure, a body that is too long included, is class unavailable; a status is no failure.
func (c *Client) Get(ctx context.Context, url string) (*Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fault.New(fault.Internal, "request: %w", err)
	}
	r, err := c.http.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "%w", err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, c.maxBytes+1))
	switch {
	case err != nil:
		return nil, fault.New(fault.Unavailable, "GET %s: %w", url, err)
	case int64(len(body)) > c.maxBytes:
		return nil, fault.New(fault.Unavailable, "GET %s: the answer has more than %d bytes", url, c.maxBytes)
	}
	return &Response{r.StatusCode, r.Header, body}, nil
}

// RetryError says when a service may be asked again. It is wrapped in errors of class unavailable.
type RetryError struct{ After time.Duration }

// Error implements error.
func (e *RetryError) Error() string {
	return fmt.Sprintf("try again in %s", e.After.Round(time.Second))
}

// RetryAfter finds the hint of a [RetryError] in err.
func RetryAfter(err error) (time.Duration, bool) {
	var r *RetryError
	if !errors.As(err, &r) {
		return 0, false
	}
	return r.After, true
}

// ParseRetryAfter reads the header of that name: seconds or a date (RFC 9110 section 10.2.3).
func ParseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(s) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}
