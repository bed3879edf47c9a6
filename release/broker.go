package release

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/result"
)

// SecretInfo is what is known about a stored secret without opening it.
type SecretInfo struct {
	Path    string    `json:"path"` // repository/type/tag
	Version int       `json:"version"`
	OneShot bool      `json:"one_shot"` // released only on a ticket
	Size    int       `json:"size"`     // bytes
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
}

// Secrets is where the broker gets secrets from.
type Secrets interface {
	// SecretInfo reports false when nothing is stored under path.
	SecretInfo(ctx context.Context, path string) (SecretInfo, bool, error)
	// OpenSecret returns the plaintext of the version that info names.
	OpenSecret(ctx context.Context, info SecretInfo) ([]byte, error)
}

// Point is a place between reservation and delivery where tests end the process.
type Point string

// The points, in order.
const (
	AfterReserve Point = "after-reserve"
	AfterOpen    Point = "after-open"
	AfterWrap    Point = "after-wrap"
	AfterDeliver Point = "after-deliver"
)

// Config configures a [Broker].
type Config struct {
	Ledger  Ledger
	Secrets Secrets
	Log     Log
	// Window is how long the identical reply may be sent again to the session and key that got it; 0 means one minute,
	// negative never.
	Window time.Duration
	// Clones says which machines may have copies; nil: nobody knows of any.
	Clones Clones
	// Now is the clock.
	Now func() time.Time
	// Reached is called at each [Point]; nil outside tests.
	Reached func(Point)
}

// Clones knows which machines may have copies.
type Clones interface {
	// CloneSuspect says why the machine with these authenticated claims ("name=value") is suspect, "" when it is not.
	CloneSuspect(ctx context.Context, facts []string) (string, error)
}

// Broker releases secrets.
type Broker struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Broker, error) {
	if cfg.Ledger == nil || cfg.Secrets == nil || cfg.Log == nil || cfg.Now == nil {
		return nil, fault.New(fault.Internal, "release.Config needs a ledger, secrets, a log and a clock")
	}
	if cfg.Window == 0 {
		cfg.Window = time.Minute
	}
	if cfg.Reached == nil {
		cfg.Reached = func(Point) {}
	}
	return &Broker{cfg: cfg}, nil
}

// Request asks for a release. The key is not part of it: a secret is wrapped only to the key that the lead Attester's
// authenticated evidence is bound to, or that an accepted result says so of.
type Request struct {
	Decision  *policy.Decision    // must allow the release of Resource
	Appraisal *appraise.Appraisal // the one that Decision was made about; or
	Accepted  *result.Accepted    // the result of another verifier that it was made about
	Resource  string              // repository/type/tag
	Form      jwe.Form
	// Into wraps the secret for the firmware below the lead Attester in place of a JWE; nil: a JWE of that Form.
	Into Wrapper
	// Repeat marks the very request that this session made before. It gets what the ledger holds for it, and nothing
	// that is not in the ledger.
	Repeat  bool
	Session [32]byte // SHA-256 of the session id
	Record  Record   // what the caller knows for the log: request id, TEE, evidence digest
}

// Wrapper wraps a secret so that only the guest that evidence was authenticated of can obtain it.
type Wrapper interface {
	// Wrap makes the reply for that guest; resource is what it asked for.
	Wrap(ctx context.Context, lead *evidence.Verified, resource string, secret []byte) ([]byte, error)
	// MaxSecret is the longest secret that fits, in bytes.
	MaxSecret() int
}

// Reply is a secret on its way out.
type Reply struct {
	Body   []byte // the encrypted response
	Ticket string // "" when the secret needs none
	Again  bool   // the identical bytes were sent before
}

// Release gives the secret or says why not. Whatever it answers is in the log.
func (b *Broker) Release(ctx context.Context, req Request) (*Reply, error) {
	rec := req.Record
	rec.Time, rec.Resource, rec.Session = b.cfg.Now(), req.Resource, hex.EncodeToString(req.Session[:])
	reply, err := b.release(ctx, req, &rec)
	if err == nil {
		return reply, nil
	}
	rec.Kind, rec.Class, rec.Reason, rec.Detail = "deny", fault.ClassOf(err).String(), ReasonOf(err), err.Error()
	// The answer is no already; a log that cannot take the line does not turn it into anything else.
	_ = b.cfg.Log.AppendRecord(context.WithoutCancel(ctx), rec)
	return nil, err
}

func (b *Broker) release(ctx context.Context, req Request, rec *Record) (*Reply, error) {
	base, err := req.basis()
	if err != nil {
		return nil, err
	}
	key := base.key
	thumb := key.Thumbprint()
	rec.Key = hex.EncodeToString(thumb[:])
	if req.Decision.Valid() {
		c := req.Decision.Content()
		rec.Policies, rec.Tier = c.PolicyIDs, c.Tier.String()
	}
	if !req.Decision.AllowsRelease(req.Resource) {
		return nil, Deny(PolicyDenied, "the policy does not allow %s for this machine%s", req.Resource, firstReason(req.Decision))
	}
	info, found, err := b.cfg.Secrets.SecretInfo(ctx, req.Resource)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "secrets: %w", err)
	}
	if found && !info.OneShot {
		if req.Repeat {
			return nil, Deny(NonceUsed, "evidence was sent in this session before; ask for a new nonce")
		}
		return b.plain(ctx, req, base, info, *rec)
	}
	// One path may stand for many machines' secrets: then nothing is stored under it, and the ticket names the secret.
	tickets, err := b.tickets(ctx, req.Resource, base.facts)
	if err != nil {
		return nil, err
	}
	if len(tickets) == 0 {
		if !found {
			return nil, Deny(SecretMissing, "nothing is stored under %s", req.Resource)
		}
		return nil, Deny(TicketMissing, "no ticket for %s matches this machine; issue one (assay ticket issue)", req.Resource)
	}
	if tickets, err = b.notClones(ctx, tickets, base.facts, rec); err != nil {
		return nil, err
	}
	return b.ticketed(ctx, req, base, tickets, rec)
}

// notClones leaves the tickets that may be used by a machine under a clone alarm, if it is under one. The question is
// asked before a ticket is reserved: a suspect does not burn what its original is entitled to.
func (b *Broker) notClones(ctx context.Context, tickets []Ticket, facts []string, rec *Record) ([]Ticket, error) {
	demands := func(t Ticket) bool { return !t.AllowClone }
	if b.cfg.Clones == nil || !slices.ContainsFunc(tickets, demands) {
		return tickets, nil
	}
	why, err := b.cfg.Clones.CloneSuspect(ctx, facts)
	if err != nil {
		return nil, Deny(LedgerDown, "the registry of machines does not answer, so nothing is released: %w", err)
	}
	if why == "" {
		return tickets, nil
	}
	first := tickets[0]
	if tickets = slices.DeleteFunc(tickets, demands); len(tickets) == 0 {
		rec.Ticket, rec.Event = first.ID, string(CloneSuspect)
		return nil, Deny(CloneSuspect, "there may be two of this machine: %s; find out which is right, then clear the alarm (assay machine clear)", why)
	}
	return tickets, nil
}

// plain releases a secret that any machine which the policy allows may have any number of times.
func (b *Broker) plain(ctx context.Context, req Request, base basis, info SecretInfo, rec Record) (*Reply, error) {
	if err := req.fits(info); err != nil {
		return nil, err
	}
	body, err := b.wrap(ctx, req, base, info)
	if err != nil {
		return nil, err
	}
	rec.Kind = "release"
	if err := b.cfg.Log.AppendRecord(ctx, rec); err != nil {
		return nil, Deny(LedgerDown, "the log cannot take the release: %w", err)
	}
	return &Reply{Body: body}, nil
}

// ticketed is keylime-broker.md section 7, steps 3 to 6.
func (b *Broker) ticketed(ctx context.Context, req Request, base basis, tickets []Ticket, rec *Record) (*Reply, error) {
	holder := Holder{Session: req.Session, Key: base.key.Thumbprint()}
	ids := make([]string, 0, len(tickets))
	infos := map[string]SecretInfo{}
	for _, t := range tickets {
		info, found, err := b.cfg.Secrets.SecretInfo(ctx, t.Secret)
		if err != nil {
			return nil, fault.New(fault.Unavailable, "secrets: %w", err)
		}
		if found {
			// Before a ticket is reserved: a secret that does not fit must not burn it.
			if err := req.fits(info); err != nil {
				return nil, err
			}
			ids, infos[t.ID] = append(ids, t.ID), info
		}
	}
	if len(ids) == 0 {
		return nil, Deny(SecretMissing, "nothing is stored under the path that the ticket for %s names", req.Resource)
	}
	rec.Ticket = ids[0]
	slot, err := b.cfg.Ledger.Reserve(ctx, ids, holder, b.cfg.Now())
	if err != nil {
		if ReasonOf(err) == string(TicketUsed) {
			// A machine that is entitled to the secret asks under another key than the one that got it.
			rec.Event = string(CloneSuspect)
		}
		return nil, ledgerFault(err)
	}
	rec.Ticket, rec.Slot = slot.Ticket, slot.N
	for _, t := range tickets {
		if t.ID == slot.Ticket {
			rec.Subject = t.Subject
		}
	}
	if slot.State == Released {
		return b.again(ctx, slot, *rec)
	}
	b.cfg.Reached(AfterReserve)
	body, err := b.wrap(ctx, req, base, infos[slot.Ticket])
	if err != nil {
		return nil, err
	}
	b.cfg.Reached(AfterWrap)
	done := *rec
	done.Kind, done.Time = "release", b.cfg.Now()
	slot, err = b.cfg.Ledger.Deliver(ctx, slot, body, done.Time, done)
	if err != nil {
		return nil, ledgerFault(err)
	}
	b.cfg.Reached(AfterDeliver)
	return &Reply{Body: slot.Reply, Ticket: slot.Ticket}, nil
}

// again sends the identical bytes to the session and key that got them, inside the window (K-07).
func (b *Broker) again(ctx context.Context, slot Slot, rec Record) (*Reply, error) {
	if b.cfg.Now().Sub(slot.Released) > b.cfg.Window || len(slot.Reply) == 0 {
		return nil, Deny(TicketUsed, "the ticket was used by this session, and the time to send the reply again is over")
	}
	rec.Kind = "resend"
	if err := b.cfg.Log.AppendRecord(ctx, rec); err != nil {
		return nil, Deny(LedgerDown, "the log cannot take the release: %w", err)
	}
	return &Reply{Body: slot.Reply, Ticket: slot.Ticket, Again: true}, nil
}

// fits refuses a secret that the form of the release cannot carry.
func (r Request) fits(info SecretInfo) error {
	if r.Into != nil && (info.Size > r.Into.MaxSecret() || info.Size == 0) {
		return fault.New(fault.Unsupported, "a secret of %d bytes does not fit into this form of release, which carries 1 to %d", info.Size, r.Into.MaxSecret())
	}
	return nil
}

func (b *Broker) wrap(ctx context.Context, req Request, base basis, info SecretInfo) ([]byte, error) {
	secret, err := b.cfg.Secrets.OpenSecret(ctx, info)
	if err != nil {
		return nil, Deny(SealBroken, "the stored secret cannot be opened: %w", err)
	}
	defer clear(secret)
	b.cfg.Reached(AfterOpen)
	if req.Into != nil {
		return req.Into.Wrap(ctx, base.lead, req.Resource, secret)
	}
	return jwe.Encrypt(base.key, req.Form, secret)
}

// tickets returns those that match the machine: most conditions first, then oldest.
func (b *Broker) tickets(ctx context.Context, resource string, facts []string) ([]Ticket, error) {
	set := make(map[string]bool, len(facts))
	for _, f := range facts {
		set[f] = true
	}
	all, err := b.cfg.Ledger.Tickets(ctx, TicketQuery{Resource: resource, Facts: facts, Limit: maxCandidates})
	if err != nil {
		return nil, ledgerFault(err)
	}
	all = slices.DeleteFunc(all, func(t Ticket) bool { return !t.matches(set) })
	slices.SortStableFunc(all, func(x, y Ticket) int {
		if d := len(y.Where) - len(x.Where); d != 0 {
			return d
		}
		if d := x.Created.Compare(y.Created); d != 0 {
			return d
		}
		return strings.Compare(x.ID, y.ID)
	})
	return all, nil
}

// maxCandidates bounds how many tickets of one machine and resource are looked at.
const maxCandidates = 256

func firstReason(d *policy.Decision) string {
	if !d.Valid() || len(d.Content().Reasons) == 0 {
		return ""
	}
	return ": " + d.Content().Reasons[0].Why
}

// ledgerFault keeps the reasons that a ledger gives and makes everything else unavailable: a ledger that does not
// answer stops releases.
func ledgerFault(err error) error {
	switch Reason(ReasonOf(err)) {
	case TicketMissing, TicketUsed, TicketExpired, TicketRevoked, LedgerRollback:
		return err
	}
	return Deny(LedgerDown, "the ledger of releases does not answer, so nothing is released: %w", err)
}
