package server

import (
	"sync"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/endorse"
)

// appraisals keeps the appraisals of recent sessions between attest and fetch. Losing one costs a second appraisal of
// the stored evidence, nothing else; the oldest goes first.
type appraisals struct {
	mu   sync.Mutex
	byID map[[32]byte]appraised
	ring [][32]byte
	next int
}

type appraised struct {
	a   *appraise.Appraisal
	set *endorse.Set // the statements it was made with
	// initData are the claims of a document that hardware was found to bind.
	initData []byte
	// hostBound marks evidence that counts only as long as a statement calls its build binding-safe.
	hostBound bool
}

func newAppraisals(n int) *appraisals {
	return &appraisals{byID: make(map[[32]byte]appraised, n), ring: make([][32]byte, n)}
}

func (c *appraisals) put(id [32]byte, a appraised) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; !ok {
		delete(c.byID, c.ring[c.next])
		c.ring[c.next] = id
		c.next = (c.next + 1) % len(c.ring)
	}
	c.byID[id] = a
}

func (c *appraisals) get(id [32]byte) (appraised, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.byID[id]
	return a, ok
}
