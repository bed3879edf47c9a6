package azvtpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/lru"
)

// Names of the two drivers, as the KBS protocol spells them.
const (
	NameSNP = "az-snp-vtpm"
	NameTDX = "az-tdx-vtpm"
)

// Config configures a [Driver].
type Config struct {
	// CPU authenticates the CPU's evidence: the driver of package snp or tdx.
	CPU evidence.Driver
}

// Driver authenticates evidence of Azure's confidential VMs on one kind of CPU. It implements evidence.Driver and
// evidence.Inspector.
type Driver struct {
	name, part string
	kind       uint32
	cpu        evidence.Driver
	runtimes   *lru.Cache[[32]byte, *runtime] // decoded runtime data, by content
}

// runtime is decoded runtime data with what is made from its key.
type runtime struct {
	*Runtime
	spki      [32]byte // SHA-256 of the SubjectPublicKeyInfo of the AK
	authority claim.Authority
}

// NewSNP makes the driver for SEV-SNP.
func NewSNP(cfg Config) (*Driver, error) { return newDriver(NameSNP, snp.Name, typeSNP, cfg) }

// NewTDX makes the driver for TDX.
func NewTDX(cfg Config) (*Driver, error) { return newDriver(NameTDX, tdx.Name, typeTDX, cfg) }

func newDriver(name, part string, kind uint32, cfg Config) (*Driver, error) {
	if cfg.CPU == nil {
		return nil, fault.New(fault.Internal, "azvtpm.Config without a driver for the CPU")
	}
	return &Driver{name: name, part: part, kind: kind, cpu: cfg.CPU, runtimes: lru.New[[32]byte, *runtime](lru.Config{MaxEntries: 4096, MaxBytes: 32 << 20})}, nil
}

// DetectSNP names the form of data, and reports whether it looks like evidence of this kind, good or bad.
func DetectSNP(data []byte) (string, bool) { return FormatJSON, detect(data, typeSNP) }

// DetectTDX is DetectSNP for TDX.
func DetectTDX(data []byte) (string, bool) { return FormatJSON, detect(data, typeTDX) }

// Authenticate implements evidence.Driver by tsm-tpm.md section 14 and kbs-evidence.md section 7.2.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	c, err := unwrap(d.name, ev)
	if err != nil {
		return nil, err
	}
	if c.hcl.ReportType != d.kind {
		return nil, fault.New(fault.Malformed, "the HCL report is of type %d, %d is that of %s", c.hcl.ReportType, d.kind, d.name)
	}
	f := &facts{driver: d, hcl: c.hcl, hash: sha256.Sum256(c.hcl.Runtime)}
	f.cpu, err = d.authenticateCPU(ctx, c, ev, env)
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return nil, err
	}
	// What is wrong for certain is worth more than that something could not be decided.
	bound, tpmErr := d.authenticateTPM(c, f, env)
	if tpmErr != nil {
		return nil, tpmErr
	}
	if err != nil {
		return nil, err
	}
	if len(ev.EventLog) > 0 {
		if f.boot, err = vtpm.ExplainBoot(vtpm.Logs{Firmware: ev.EventLog}, &f.quote.Bank); err != nil {
			return nil, err
		}
	}
	return sealed.New(f.content(env, bound)), nil
}

// authenticateCPU has the CPU's evidence authenticated, bound to the runtime data as carried.
func (d *Driver) authenticateCPU(ctx context.Context, c *container, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	data := c.hcl.ReportData()
	inner := evidence.Evidence{TEE: d.part, Endorsements: ev.Endorsements}
	if d.kind == typeSNP {
		inner.Data = c.hcl.HWReport
		if c.vcek != nil {
			inner.Endorsements = append([][]byte{c.vcek}, ev.Endorsements...)
		}
	} else {
		inner.Data = c.tdQuote
		if err := checkTDReport(c.hcl.HWReport, c.tdQuote); err != nil {
			return nil, err
		}
	}
	binding, err := evidence.ExpectExact(data[:])
	if err != nil {
		return nil, err
	}
	env.Binding = binding
	v, err := d.cpu.Authenticate(ctx, inner, env)
	if fault.Is(err, fault.Binding) {
		return nil, fault.Wrap(err, "%s over the runtime data of the HCL report", d.part)
	}
	return v, err
}

// checkTDReport holds the TDREPORT against the quote: both must have the same REPORTDATA. The MAC of a TDREPORT can only
// be checked on the machine that made it, so that nothing else of it counts.
func checkTDReport(report, quote []byte) error {
	if report[0] != 0x81 {
		return fault.New(fault.Malformed, "the HCL report holds no TDREPORT (type %#x)", report[0])
	}
	q, err := dcap.ParseQuote(quote)
	if err != nil {
		return err
	}
	if q.TEE != dcap.TDX {
		return fault.New(fault.Unsupported, "td_quote is a quote of %s", q.TEE)
	}
	if td := q.TD(); !bytes.Equal(td.ReportData(), report[0x80:0xC0]) {
		return fault.New(fault.Binding, "TDREPORT and TD quote have different report data: they are of different machines or moments")
	}
	return nil
}

// authenticateTPM checks what hangs below the CPU's evidence: runtime data, attestation key, quote, binding.
func (d *Driver) authenticateTPM(c *container, f *facts, env evidence.Env) (evidence.Bound, error) {
	var err error
	if f.runtime, err = d.runtime(f.hash, c.hcl.Runtime); err != nil {
		return evidence.Bound{}, err
	}
	if f.quote, err = vtpm.VerifyQuote(f.runtime.AK, c.msg, c.sig, &c.pcrs, vtpm.Want{Bank: vtpm.SHA256, Exact: vtpm.AllPCRs}); err != nil {
		return evidence.Bound{}, err
	}
	// extraData is the expectation and nothing else (kbs-evidence.md section 7.2, check 5).
	if n := env.Binding.Len(); !env.Binding.Unbound() && len(f.quote.ExtraData) != n {
		return evidence.Bound{}, fault.New(fault.Binding, "the TPM quote is over extraData of %d bytes, %d are expected: it was made for another nonce, key or session", len(f.quote.ExtraData), n)
	}
	bound, err := env.Binding.Check("TPMS_ATTEST.extraData", f.quote.ExtraData)
	if err != nil {
		return evidence.Bound{}, err
	}
	return bound, f.checkUserData(env.Binding)
}

// checkUserData is check 7. The comparison does not replace that of extraData; it shows that the report, too, was made for
// this session. Nothing but the value decides whether it is made.
func (f *facts) checkUserData(b evidence.Binding) error {
	u := f.runtime.UserData
	if b.Unbound() || bytes.Equal(u, make([]byte, len(u))) {
		return nil
	}
	n := min(b.Len(), len(u))
	if !bytes.Equal(u[n:], make([]byte, len(u)-n)) {
		return fault.New(fault.Binding, "user-data is %x, which is longer than what is expected", u)
	}
	if _, err := b.Check("user-data", u[:n]); err != nil {
		return err
	}
	f.userDataBound = true
	return nil
}

func (d *Driver) runtime(hash [32]byte, b []byte) (*runtime, error) {
	if r, ok := d.runtimes.Get(hash); ok {
		return r, nil
	}
	p, err := ParseRuntime(b)
	if err != nil {
		return nil, err
	}
	r := &runtime{Runtime: p}
	spki, err := x509.MarshalPKIXPublicKey(p.AK)
	if err == nil {
		r.spki = sha256.Sum256(spki)
		r.authority, err = claim.KeyAuthority(p.AK)
	}
	if err != nil {
		return nil, fault.New(fault.Unsupported, "attestation key: %w", err)
	}
	d.runtimes.Put(hash, r, int64(2*len(b)+8<<10))
	return r, nil
}

// Inspect implements evidence.Inspector.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	c, err := unwrap(d.name, ev)
	if err != nil {
		return nil, err
	}
	a, err := vtpm.ParseAttest(c.msg)
	if err != nil {
		return nil, err
	}
	f := &facts{driver: d, hcl: c.hcl, hash: sha256.Sum256(c.hcl.Runtime)}
	if f.runtime, err = d.runtime(f.hash, c.hcl.Runtime); err != nil {
		return nil, err
	}
	f.quote = &vtpm.Quote{Attest: a, Scheme: c.sig.Scheme, SignatureHash: c.sig.Hash, Bank: c.pcrs}
	return &evidence.Inspection{TEE: d.name, Format: FormatJSON, Claims: f.claims()}, nil
}

var _ interface {
	evidence.Driver
	evidence.Inspector
} = (*Driver)(nil)
