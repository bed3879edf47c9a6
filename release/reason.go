package release

import (
	"errors"

	"github.com/assay-tee/assay/internal/fault"
)

// Reason is a stable code that says why nothing was released (keylime-broker.md section 8).
type Reason string

// The reasons. The class that belongs to each is fixed by [Reason.Class].
const (
	NonceUnknown    Reason = "nonce_unknown"
	NonceUsed       Reason = "nonce_used"
	NonceExpired    Reason = "nonce_expired"
	BindingMismatch Reason = "binding_mismatch"
	KeyInvalid      Reason = "key_invalid"
	PolicyDenied    Reason = "policy_denied"
	SecretMissing   Reason = "secret_missing"
	TicketMissing   Reason = "ticket_missing"
	TicketUsed      Reason = "ticket_used"
	TicketExpired   Reason = "ticket_expired"
	TicketRevoked   Reason = "ticket_revoked"
	CloneSuspect    Reason = "clone_suspect"
	LedgerRollback  Reason = "ledger_rollback"
	LedgerDown      Reason = "ledger_unavailable"
	SealBroken      Reason = "secret_unreadable"
	BindingUnsafe   Reason = "binding_unsafe_build"
	TooMany         Reason = "too_many_sessions"
)

// Class returns the fault class of r.
func (r Reason) Class() fault.Class {
	switch r {
	case NonceUnknown, BindingMismatch:
		return fault.Binding
	case NonceUsed, NonceExpired:
		return fault.Stale
	case KeyInvalid:
		return fault.Malformed
	case TicketUsed:
		return fault.Spent
	case TicketExpired:
		return fault.Expired
	case BindingUnsafe:
		return fault.Policy
	case LedgerRollback, LedgerDown, SealBroken, TooMany:
		return fault.Unavailable
	}
	return fault.Denied
}

type denial struct {
	reason Reason
	err    error
}

func (d *denial) Error() string { return d.err.Error() }
func (d *denial) Unwrap() error { return d.err }

// Deny makes an error with the class of r that [ReasonOf] recognises.
func Deny(r Reason, format string, args ...any) error {
	return &denial{reason: r, err: fault.New(r.Class(), format, args...)}
}

// ReasonOf returns the reason code of err: the innermost known one, or the name of its class.
func ReasonOf(err error) string {
	var d *denial
	if errors.As(err, &d) {
		return string(d.reason)
	}
	return fault.ClassOf(err).String()
}
