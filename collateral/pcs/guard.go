package pcs

import (
	"math/big"
	"sync"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// maxGuarded bounds what a guard remembers; a fleet has a few dozen documents.
const maxGuarded = 4096

// guard remembers the newest version of each document and refuses to go back. It judges unsigned bytes, so it may be
// misled into refusing, never into accepting.
type guard struct {
	mu   sync.Mutex
	best map[string]version
}

// version orders the versions of one document: by number, then by date.
type version struct {
	number *big.Int
	issued time.Time
}

func versionOf(d Document, r evidence.Response) (version, bool) {
	switch d.Kind {
	case TCBInfo:
		if t, err := dcap.ParseTCBInfo(r.Body); err == nil {
			return version{new(big.Int).SetUint64(t.EvaluationNumber), t.Window.From}, true
		}
	case Identity:
		if t, err := dcap.ParseIdentity(r.Body); err == nil {
			return version{new(big.Int).SetUint64(t.EvaluationNumber), t.Window.From}, true
		}
	case PCKCRL, RootCRL:
		if c, err := dcap.ParseCRL(r.Body); err == nil {
			return version{c.Number, c.Window.From}, true
		}
	}
	return version{}, false
}

// before reports whether v is an earlier version than w.
func (v version) before(w version) bool {
	c := v.number.Cmp(w.number)
	return c < 0 || c == 0 && v.issued.Before(w.issued)
}

// Older reports whether a is an earlier version of the document than b: by evaluation or CRL number, then by date.
func Older(d Document, a, b evidence.Response) bool {
	v, ok1 := versionOf(d, a)
	w, ok2 := versionOf(d, b)
	return ok1 && ok2 && v.before(w)
}

func (g *guard) admit(d Document, r evidence.Response) error {
	v, ok := versionOf(d, r)
	if !ok {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old, known := g.best[d.Path()]
	if known && v.before(old) {
		return fault.New(fault.Unavailable, "the service has gone back from number %v of %s to number %v of %s", old.number, old.issued.Format(time.RFC3339), v.number, v.issued.Format(time.RFC3339))
	}
	if g.best == nil || len(g.best) >= maxGuarded {
		g.best = map[string]version{}
	}
	g.best[d.Path()] = v
	return nil
}
