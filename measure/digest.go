package measure

import (
	"encoding/hex"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// SHA384 is a SHA-384 value: a launch digest, an MRTD, a register or an event digest.
type SHA384 [48]byte

// String gives d in lower-case hex.
func (d SHA384) String() string { return hex.EncodeToString(d[:]) }

// MarshalText gives d in lower-case hex, so that it reads as such in JSON.
func (d SHA384) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ParseSHA384 reads 96 hex digits, upper or lower case. Everything else is [fault.Usage].
func ParseSHA384(s string) (SHA384, error) {
	var d SHA384
	s = strings.TrimPrefix(strings.TrimSpace(s), "0x")
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, fault.New(fault.Usage, "%q is not a SHA-384 value: 96 hex digits are wanted, this has %d characters", abbreviate(s), len(s))
	}
	copy(d[:], b)
	return d, nil
}

func abbreviate(s string) string {
	if len(s) > 24 {
		return s[:24] + "…"
	}
	return s
}

// Step is one line of a trace: what was folded into a measurement, and what it was afterwards. Runs of equal page
// kinds are one step.
type Step struct {
	What   string `json:"what"`             // "firmware", "SNP_SEC_MEM", "VMSA 0", "TD HOB"
	Kind   string `json:"kind,omitempty"`   // page type, event type or record kind
	GPA    string `json:"gpa,omitempty"`    // guest physical address, 0x…
	Bytes  uint64 `json:"bytes,omitempty"`  // size of what was folded in
	Digest string `json:"digest,omitempty"` // digest of the content, hex, where there is one
	After  string `json:"after"`            // value of the measurement after this step, hex
	Note   string `json:"note,omitempty"`
}
