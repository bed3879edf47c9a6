package release

import (
	"context"
	"time"
)

// Record is one line of the log of what was decided: no secret, no key material, only digests and names.
type Record struct {
	Seq      int64     `json:"seq"` // given by the store
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"` // "appraise", "release", "resend", "deny", "admin"
	Request  string    `json:"request,omitempty"`
	Session  string    `json:"session,omitempty"` // hex of SHA-256 of the session id
	TEE      string    `json:"tee,omitempty"`
	Tier     string    `json:"tier,omitempty"`
	Resource string    `json:"resource,omitempty"`
	Ticket   string    `json:"ticket,omitempty"`
	Slot     int       `json:"slot,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Evidence string    `json:"evidence,omitempty"` // hex of SHA-256
	Key      string    `json:"key,omitempty"`      // hex of the key's thumbprint
	Policies []string  `json:"policies,omitempty"`
	Class    string    `json:"class,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Event    string    `json:"event,omitempty"` // "clone_suspect"
	Actor    string    `json:"actor,omitempty"` // of an administrative change
	Detail   string    `json:"detail,omitempty"`
}

// Log takes records.
type Log interface {
	AppendRecord(ctx context.Context, r Record) error
}
