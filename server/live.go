package server

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/store"
)

// Names of stored documents. What follows a prefix is the administrator's own name.
const (
	ResourcePolicyID     = "resource-policy" // Rego of Trustee's KBS, section 15.1
	PolicyPrefix         = "policy/"         // Rego of package assay
	AttestationPrefix    = "attestation/"    // Rego of Trustee's attestation service, section 15.2
	StatementPrefix      = "statement/"      // signed statements
	ReferenceValuePrefix = "rv/"             // reference values of Trustee's RVPS, section 16
)

// Documents are what administrators stored: the newest versions, sorted by id.
type Documents struct {
	Policies   []store.Document
	Statements []store.Document
}

// Live is what appraisals and releases rest on now.
type Live struct {
	Policy     policy.Policy
	Statements func() *endorse.Set
	Resource   policy.ResourcePolicy // nil: Policy answers questions about releases too
}

// live follows the store: a change is seen within refreshEvery, in every process over the same store. What cannot be
// loaded is reported and leaves the last good state in force.
type live struct {
	cfg  *Config
	mu   sync.Mutex // one reload at a time
	gen  int64
	now  atomic.Pointer[Live]
	done chan struct{}
}

const refreshEvery = 500 * time.Millisecond

func newLive(ctx context.Context, cfg *Config) (*live, error) {
	l := &live{cfg: cfg, done: make(chan struct{})}
	l.now.Store(&Live{Policy: cfg.Parts.Policy, Statements: cfg.Parts.Statements})
	if cfg.Parts.Load == nil {
		close(l.done)
		return l, nil
	}
	if err := l.refresh(ctx); err != nil {
		return nil, fault.Wrap(err, "what is stored cannot be loaded")
	}
	go l.follow(ctx)
	return l, nil
}

func (l *live) get() *Live { return l.now.Load() }

func (l *live) follow(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	failed := int64(-1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.refresh(ctx); err != nil && ctx.Err() == nil {
			if gen, gerr := l.cfg.Store.Generation(ctx); gerr != nil || gen != failed {
				failed = gen
				l.cfg.Log.Error("the stored policies and statements could not be loaded; the last good ones stay in force", "err", err)
			}
		}
	}
}

// refresh loads what is stored if it has changed.
func (l *live) refresh(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	gen, err := l.cfg.Store.Generation(ctx)
	if err != nil || gen == l.gen {
		return err
	}
	docs, err := readDocuments(ctx, l.cfg.Store)
	if err != nil {
		return err
	}
	next, err := l.cfg.Parts.Load(ctx, docs)
	if err != nil {
		return err
	}
	l.now.Store(&next)
	l.gen = gen
	return nil
}

// try loads what would be in force with d in place, and says what is wrong with it.
func (l *live) try(ctx context.Context, policies bool, d store.Document) error {
	if l.cfg.Parts.Load == nil {
		return fault.New(fault.Unsupported, "this server takes its policies and statements from its configuration only")
	}
	docs, err := readDocuments(ctx, l.cfg.Store)
	if err != nil {
		return err
	}
	list := &docs.Statements
	if policies {
		list = &docs.Policies
	}
	*list = replace(*list, d)
	_, err = l.cfg.Parts.Load(ctx, docs)
	return err
}

func replace(list []store.Document, d store.Document) []store.Document {
	out := make([]store.Document, 0, len(list)+1)
	placed := d.Deleted
	for _, x := range list {
		if !placed && x.ID >= d.ID {
			out = append(out, d)
			placed = true
		}
		if x.ID != d.ID {
			out = append(out, x)
		}
	}
	if !placed {
		out = append(out, d)
	}
	return out
}

func readDocuments(ctx context.Context, s store.Store) (Documents, error) {
	var out Documents
	policies, err := s.PolicyList(ctx)
	if err != nil {
		return out, err
	}
	for _, d := range policies {
		full, ok, err := s.Policy(ctx, d.ID)
		if err != nil {
			return out, err
		}
		if ok {
			out.Policies = append(out.Policies, full)
		}
	}
	statements, err := s.StatementList(ctx)
	if err != nil {
		return out, err
	}
	for _, d := range statements {
		full, ok, err := s.Statement(ctx, d.ID)
		if err != nil {
			return out, err
		}
		if ok {
			out.Statements = append(out.Statements, full)
		}
	}
	return out, nil
}

// validName is the grammar of the administrator's own names; '/' and ':' may occur in names of reference values
// (trustee-superset C11).
func validName(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+") == "" && !strings.Contains(s, "..")
}
