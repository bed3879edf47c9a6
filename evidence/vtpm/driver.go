package vtpm

import (
	"context"
	"encoding/base64"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/lru"
)

// Name is the driver's name, as the KBS protocol spells it.
const Name = "tpm"

// Config configures a [Driver].
type Config struct {
	// RequirePCRs are PCRs that every quote must cover (bit n is PCR n), beside what the form of the evidence demands.
	RequirePCRs uint32
	// AllowUnrootedAKUnsafe lets quotes through whose attestation key rests on nothing. They carry the mark
	// "unrooted-attestation-key", which the built-in policy never affirms.
	AllowUnrootedAKUnsafe bool
	// CPU are the drivers of CPU TEEs by name, for evidence of a CPU inside that of the TPM. What has no driver here is
	// class unsupported.
	CPU map[string]evidence.Driver
}

// Driver authenticates TPM quotes. It implements evidence.Driver and evidence.Inspector. Its cache of decoded keys only saves
// work.
type Driver struct {
	cfg  Config
	keys *lru.Cache[[32]byte, *decodedKey]
}

// New makes a driver.
func New(cfg Config) (*Driver, error) {
	return &Driver{cfg, lru.New[[32]byte, *decodedKey](lru.Config{MaxEntries: 4096, MaxBytes: 32 << 20})}, nil
}

// leastExtraData is how much of an expectation a quote must carry at least: Trustee's guests cut theirs to 32 bytes.
const leastExtraData = 32

// Authenticate implements evidence.Driver by tsm-tpm.md sections 6 and 7.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	c, err := d.unwrap(ev)
	if err != nil {
		return nil, err
	}
	if c.ak.public != nil {
		if err := c.ak.public.CheckAK(); err != nil {
			return nil, err
		}
	}
	f := &facts{format: c.format, ak: &c.ak}
	if f.quotes, err = d.verify(c); err != nil {
		return nil, err
	}
	if f.cpu, err = d.cpu(ctx, c, f, env); err != nil {
		return nil, err
	}
	if f.trust, err = f.root(env, d.cfg.AllowUnrootedAKUnsafe); err != nil {
		return nil, err
	}
	if w := f.trust.window; env.Time.Before(w.NotBefore) || env.Time.After(w.NotAfter) {
		return nil, fault.New(fault.Stale, "the certificates of the attestation key do not hold at %s", env.Time)
	}
	if f.trust.cert != nil {
		if f.instance, err = InstanceOf(f.trust.cert); err != nil {
			return nil, err
		}
	}
	if err := f.explain(c); err != nil {
		return nil, err
	}
	var bound evidence.Bound
	for _, q := range f.quotes {
		if bound, err = q.CheckExtraData(env.Binding, leastExtraData); err != nil {
			return nil, err
		}
	}
	return sealed.New(f.content(env, bound)), nil
}

// verify checks every quote but those over the SHA-1 bank, which says nothing (tsm-tpm.md section 6, step 9). At least one
// must be left. The first of the result is over the strongest bank.
func (d *Driver) verify(c *container) ([]*Quote, error) {
	var out []*Quote
	seen := map[Hash]bool{}
	for i := range c.quotes {
		s := &c.quotes[i]
		want := c.want
		want.Cover |= d.cfg.RequirePCRs
		q, err := VerifyQuote(c.ak.key, s.msg, s.sig, &s.given, want)
		if err != nil {
			return nil, err
		}
		h := q.Bank.Hash
		if seen[h] {
			return nil, fault.New(fault.Malformed, "two quotes over the %s bank", h)
		}
		seen[h] = true
		if _, strong := h.crypto(); strong {
			out = append(out, q)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Unsupported, "no quote over a bank of SHA-256 or better; the SHA-1 bank is not evidence")
	}
	for i, q := range out {
		if q.Bank.Hash == SHA256 {
			out[0], out[i] = out[i], out[0]
		}
	}
	return out, nil
}

// cpu authenticates evidence of a CPU TEE that came along. It vouches for the attestation key only if its report data
// commits to it.
func (d *Driver) cpu(ctx context.Context, c *container, f *facts, env evidence.Env) (*evidence.Verified, error) {
	if c.cpu == nil {
		return nil, nil
	}
	drv := d.cfg.CPU[c.cpu.tee]
	if drv == nil {
		return nil, fault.New(fault.Unsupported, "evidence of %s came along, and no driver for it is configured", c.cpu.tee)
	}
	bind, err := CPUBinding(f.quotes[0].ExtraData, c.ak.spki)
	if err != nil {
		return nil, err
	}
	cpuEnv := env
	cpuEnv.Binding = bind
	v, err := drv.Authenticate(ctx, c.cpu.ev, cpuEnv)
	if err == nil {
		f.cpuBindsAK = true
		return v, nil
	}
	if !fault.Is(err, fault.Binding) {
		return nil, err
	}
	// The default of go-tpm-tools: both carry the nonce, which shows that both are fresh, not that they are one machine.
	return drv.Authenticate(ctx, c.cpu.ev, env)
}

// root finds what the attestation key rests on: evidence of the CPU that commits to it, or what it brings along itself.
func (f *facts) root(env evidence.Env, unrooted bool) (*trust, error) {
	if !f.cpuBindsAK {
		return f.ak.root(env, unrooted)
	}
	auth, err := f.ak.authority()
	if err != nil {
		return nil, err
	}
	return &trust{how: TrustCPU, root: f.cpu.Root(), links: f.cpu.Chain(), window: f.cpu.Window(),
		authority: append(auth, f.cpu.ECTs()[0].Authority...), unsafe: f.cpu.Unsafe()}, nil
}

// facts are what an authenticated quote says. They are immutable once sealed.
type facts struct {
	format     string
	ak         *attestationKey
	quotes     []*Quote
	trust      *trust
	instance   *Instance
	cpu        *evidence.Verified
	cpuBindsAK bool
	boot       *Boot
}

func (f *facts) content(env evidence.Env, bound evidence.Bound) sealed.Content {
	out := sealed.Content{TEE: Name, Time: env.Time, Root: f.trust.root, Chain: f.trust.links, Window: f.trust.window, Binding: bound,
		Unsafe: f.trust.unsafe, Claims: f.claims}
	if !bound.Bound {
		out.Unsafe = append(out.Unsafe, "unbound")
	}
	if f.ak.public == nil {
		out.Notes = append(out.Notes, "ak_attributes_unknown")
	}
	if f.cpu != nil {
		out.Parts = []sealed.Part{{Label: f.cpu.TEE(), Verified: f.cpu}}
		out.Window = Intersect(out.Window, f.cpu.Window())
		if !f.cpuBindsAK {
			out.Notes = append(out.Notes, "cpu_not_bound_to_ak")
		}
	}
	ect := claim.ECT{Environment: claim.Environment{Class: claim.Class{ID: ClassTPM}, Instance: claim.Bytes(claim.TagBytes, SHA256.sum(f.ak.spki))},
		Authority: f.trust.authority, Profile: ProfileTPM, CMType: claim.CMEvidence}
	for i, q := range f.quotes {
		els := q.Elements()
		if i > 0 {
			els = els[:len(els)-3] // the counters are of the TPM, not of the bank
			for j := range els {
				els[j].Name += "." + q.Bank.Hash.String()
			}
		}
		ect.Elements = append(ect.Elements, els...)
	}
	out.ECTs = []claim.ECT{ect}
	return out
}

// Intersect returns the interval in which both hold.
func Intersect(a, b evidence.Window) evidence.Window {
	if b.NotBefore.After(a.NotBefore) {
		a.NotBefore = b.NotBefore
	}
	if b.NotAfter.Before(a.NotAfter) {
		a.NotAfter = b.NotAfter
	}
	return a
}

// claims are documented in doc.go.
func (f *facts) claims() claim.Object {
	q := f.quotes[0]
	o := q.Bank.PCRClaims()
	o = append(o, q.Claims()...)
	var banks []claim.Member
	for _, q := range f.quotes {
		banks = append(banks, m(q.Bank.Hash.String(), claim.O(q.Bank.PCRClaims()...)))
	}
	how, unrooted := f.trust.how, f.trust.how == TrustNone
	o = append(o,
		m("pcrs", claim.O(banks...)),
		m("report_data", claim.H(q.ExtraData)),
		m("init_data", node(q.Bank.Values[8])),
		m("ak_public", claim.S(base64.StdEncoding.EncodeToString(f.ak.spki))),
		m("ak_trust", claim.S(how)),
		m("ak_rooted", claim.B(!unrooted)),
	)
	if f.ak.public != nil {
		o = append(o, m("ak_name", claim.H(f.ak.public.Name())))
	}
	if f.trust.cert != nil {
		o = append(o, m("gce_instance", f.instance.claims()))
	}
	return append(o, f.boot.Claims()...)
}

func node(b []byte) claim.Node {
	if b == nil {
		return claim.Null()
	}
	return claim.H(b)
}

// Inspect implements evidence.Inspector.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	c, err := d.unwrap(ev)
	if err != nil {
		return nil, err
	}
	var quotes []claim.Node
	for _, s := range c.quotes {
		a, err := ParseAttest(s.msg)
		if err != nil {
			return nil, err
		}
		q := Quote{Attest: a, Scheme: s.sig.Scheme, SignatureHash: s.sig.Hash, Bank: s.given}
		quotes = append(quotes, claim.O(append(append(q.Claims(), m("report_data", claim.H(a.ExtraData))), s.given.PCRClaims()...)...))
	}
	return &evidence.Inspection{TEE: Name, Format: c.format, Claims: claim.Object{m("quotes", claim.L(quotes...)),
		m("ak_public", claim.S(base64.StdEncoding.EncodeToString(c.ak.spki))), m("rim_locators", locators(c.logs.Firmware))}}, nil
}

var _ interface {
	evidence.Driver
	evidence.Inspector
} = (*Driver)(nil)
