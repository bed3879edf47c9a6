package tdx

import (
	"context"
	"slices"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/intel"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// Name is the driver's name.
const Name = "tdx"

// Forms of evidence.
const (
	FormatQuote = intel.FormatQuote
	FormatKBS   = intel.FormatKBS
)

// Config configures a [Driver].
type Config struct {
	// CacheBytes bounds the memory for verified chains, QE reports and collateral. Zero means 96 MiB, a negative value
	// switches the caches off.
	CacheBytes int
}

// Driver authenticates TDX evidence. It implements evidence.Driver and evidence.Inspector.
type Driver struct{ v *intel.Verifier }

// New makes a driver.
func New(cfg Config) (*Driver, error) {
	return &Driver{intel.New(dcap.TDX, intel.Config{CacheBytes: cfg.CacheBytes})}, nil
}

// Detect names the form of data, and reports whether it looks like a TDX quote at all, good or bad.
func Detect(data []byte) (format string, ok bool) { return intel.Detect(data, dcap.TDX) }

// Authenticate implements evidence.Driver by the checklist of evidence-intel.md section 14.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	c, err := intel.Unwrap(Name, ev)
	if err != nil {
		return nil, err
	}
	r, err := d.v.Authenticate(ctx, c.Quote, ev.Endorsements, env)
	if err != nil {
		return nil, err
	}
	f := &facts{td: r.Quote.TD(), result: r}
	if err := f.explain(c.EventLog); err != nil {
		return nil, err
	}
	content := r.Content(Name, env.Time)
	content.ECTs = f.ects()
	content.Claims = f.claims
	return sealed.New(content), nil
}

// Inspect implements evidence.Inspector.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	c, err := intel.Unwrap(Name, ev)
	if err != nil {
		return nil, err
	}
	q, err := dcap.ParseQuote(c.Quote)
	if err != nil {
		return nil, err
	}
	if q.TEE != dcap.TDX {
		return nil, fault.New(fault.Unsupported, "a quote of %s was given to the driver of TDX", q.TEE)
	}
	f := &facts{td: q.TD()}
	return &evidence.Inspection{TEE: Name, Format: c.Format, Claims: slices.Concat(f.body(), intel.QuoteClaims(&q), intel.InspectPCK(&q))}, nil
}

var _ interface {
	evidence.Driver
	evidence.Inspector
} = (*Driver)(nil)
