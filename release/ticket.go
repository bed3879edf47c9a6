package release

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// Limits of a ticket.
const (
	MaxUses       = 1000
	MaxConditions = 16
)

// State is where one release of a ticket stands (keylime-broker.md section 6).
type State string

// The states. Expired is never stored: it is what an authorised release becomes when its ticket's time is over.
const (
	Authorised State = "authorised"
	Reserved   State = "reserved"
	Released   State = "released"
	Burned     State = "burned"
	Revoked    State = "revoked"
	Expired    State = "expired"
)

// Condition is one fact that the authenticated claims of the lead Attester must state.
type Condition struct {
	Claim  string `json:"claim"` // as in `assay verify --format json`: "host_data", "chip_id", "tcb.snp"
	Equals string `json:"equals"`
}

// Ticket authorises a number of releases of one secret.
type Ticket struct {
	ID       string      `json:"id"`
	Resource string      `json:"resource"`          // what the guest asks for: repository/type/tag
	Secret   string      `json:"secret"`            // what it gets; the same unless one path serves many machines
	Subject  string      `json:"subject,omitempty"` // the machine's name or UUID, for people and the registry
	Where    []Condition `json:"where"`
	Uses     int         `json:"uses"`
	NotAfter time.Time   `json:"not_after"`
	Created  time.Time   `json:"created"`
	By       string      `json:"by,omitempty"` // who issued it
	Revoked  bool        `json:"revoked,omitempty"`
	// AllowClone releases to a machine that the registry suspects to be a copy, too.
	AllowClone bool   `json:"allow_clone,omitempty"`
	Slots      []Slot `json:"releases"`
}

// Slot is one release of a ticket.
type Slot struct {
	Ticket   string    `json:"-"`
	N        int       `json:"n"`
	State    State     `json:"state"`
	Holder   Holder    `json:"-"`
	Reserved time.Time `json:"reserved,omitzero"`
	Released time.Time `json:"released,omitzero"`
	Reply    []byte    `json:"-"` // the wrapped secret, until the resend window closes
}

// Holder is who a slot was reserved for: one session (hence one nonce) with one key.
type Holder struct {
	Session [32]byte // SHA-256 of the session id
	Key     [32]byte // thumbprint of the attested key
}

// TicketQuery selects tickets.
type TicketQuery struct {
	Resource string   // "" for all
	Facts    []string // with Resource: only tickets whose first condition is one of these, or that have none
	After    string   // id to continue after
	Limit    int
}

// Ledger keeps tickets. It is the compare-and-swap that makes a release single-shot, so everything it returns must be
// durable, and whatever it cannot do it must fail with class unavailable; nothing is released then.
type Ledger interface {
	// IssueTicket stores t with t.Uses authorised slots.
	IssueTicket(ctx context.Context, t Ticket) error
	// Tickets lists tickets by id with their slots (without replies).
	Tickets(ctx context.Context, q TicketQuery) ([]Ticket, error)
	// RevokeTicket takes back whatever is not released. It reports whether the ticket exists.
	RevokeTicket(ctx context.Context, id string, now time.Time) (bool, error)
	// Reserve gives h a slot of one of the tickets, tried in order. A slot that h holds already is returned as it
	// is, before any new one is taken; that includes the reply of a released one. Errors: [Deny] with TicketUsed,
	// TicketExpired, TicketRevoked or TicketMissing.
	Reserve(ctx context.Context, tickets []string, h Holder, now time.Time) (Slot, error)
	// Deliver turns the reserved slot of h into a released one with this reply, and appends r to the log, in one step.
	// If the slot was released to h meanwhile, the reply stored then is returned: there is one reply per slot.
	Deliver(ctx context.Context, s Slot, reply []byte, now time.Time, r Record) (Slot, error)
	// Sweep burns slots reserved before burn and erases replies released before forget, at most limit of each.
	Sweep(ctx context.Context, burn, forget time.Time, limit int) error
}

// NewTicket fills in id, slots and times of t and checks it.
func NewTicket(t Ticket, now time.Time) (Ticket, error) {
	if t.Secret == "" {
		t.Secret = t.Resource
	}
	if t.Uses == 0 {
		t.Uses = 1
	}
	switch {
	case t.Resource == "":
		return t, fault.New(fault.Usage, "a ticket names the resource that it releases")
	case t.Uses < 0 || t.Uses > MaxUses:
		return t, fault.New(fault.Usage, "a ticket allows 1 to %d releases, not %d", MaxUses, t.Uses)
	case !t.NotAfter.After(now):
		return t, fault.New(fault.Usage, "the ticket would have expired already")
	case len(t.Where) > MaxConditions:
		return t, fault.New(fault.Usage, "a ticket has at most %d conditions", MaxConditions)
	case len(t.Subject) > 256:
		return t, fault.New(fault.Usage, "the ticket's subject is longer than 256 bytes")
	}
	t.Where = slices.Clone(t.Where)
	for i := range t.Where {
		c := &t.Where[i]
		c.Claim, c.Equals = normalName(c.Claim), normalValue(c.Equals)
		if c.Claim == "" || c.Equals == "" || len(c.Claim)+len(c.Equals) > 512 {
			return t, fault.New(fault.Usage, "a condition is CLAIM=VALUE, both non-empty, at most 512 bytes")
		}
	}
	var id [16]byte
	rand.Read(id[:])
	t.ID, t.Created = hex.EncodeToString(id[:]), now
	t.Slots = make([]Slot, t.Uses)
	for i := range t.Slots {
		t.Slots[i] = Slot{Ticket: t.ID, N: i, State: Authorised}
	}
	return t, nil
}

// Key is the condition that tickets are indexed by; "" when there is none.
func (t Ticket) Key() string {
	if len(t.Where) == 0 {
		return ""
	}
	return t.Where[0].fact()
}

func (c Condition) fact() string { return c.Claim + "=" + c.Equals }

// At returns t as people should see it at now: authorised slots of an expired ticket are expired.
func (t Ticket) At(now time.Time) Ticket {
	if now.After(t.NotAfter) {
		t.Slots = slices.Clone(t.Slots)
		for i := range t.Slots {
			if t.Slots[i].State == Authorised {
				t.Slots[i].State = Expired
			}
		}
	}
	return t
}

// matches reports whether every condition is one of facts.
func (t Ticket) matches(facts map[string]bool) bool {
	for _, c := range t.Where {
		if !facts[c.fact()] {
			return false
		}
	}
	return true
}

// maxFacts bounds how many claims take part in finding tickets.
const maxFacts = 512

// Facts lists the claims of o as "name=value", nested names joined by dots. Lists take no part.
func Facts(o claim.Object) []string {
	var out []string
	var walk func(prefix string, o claim.Object)
	walk = func(prefix string, o claim.Object) {
		for _, m := range o {
			name := prefix + normalName(m.Name)
			switch m.Value.Kind {
			case claim.NodeObject:
				walk(name+".", m.Value.Object())
			case claim.NodeText, claim.NodeHex, claim.NodeUint, claim.NodeInt, claim.NodeBool:
				if len(out) < maxFacts {
					out = append(out, name+"="+normalValue(m.Value.String()))
				}
			}
		}
	}
	walk("", o)
	return out
}

func normalName(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "-", "_") }

// normalValue writes hex in lower case; nothing else is folded.
func normalValue(s string) string {
	if len(s) >= 16 && strings.Trim(s, "0123456789abcdefABCDEF") == "" {
		return strings.ToLower(s)
	}
	return s
}
