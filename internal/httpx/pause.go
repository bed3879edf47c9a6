package httpx

import (
	"net/http"
	"sync"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// maxBackOff bounds a [Pause].
const maxBackOff = 5 * time.Minute

// Pause is a time in which a service is not asked, longer with each failure in a row, up to a limit: neither a silly
// header nor a patient attacker stops a client for good. The zero Pause is over.
type Pause struct {
	mu       sync.Mutex
	failures int
	until    time.Time
}

// Check is class unavailable while the pause lasts.
func (p *Pause) Check(now time.Time, why string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.After(now) {
		return fault.New(fault.Unavailable, "%s: %w", why, &RetryError{After: p.until.Sub(now)})
	}
	return nil
}

// Begin notes a failure and returns how long to stay away: what the header Retry-After says, or twice as long each time.
func (p *Pause) Begin(now time.Time, shortest time.Duration, h http.Header) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	after := shortest << min(p.failures, 10)
	p.failures++
	if said, ok := ParseRetryAfter(h, now); ok {
		after = max(said, time.Second)
	}
	after = min(after, maxBackOff)
	p.until = now.Add(after)
	return after
}

// End notes a success.
func (p *Pause) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures, p.until = 0, time.Time{}
}
