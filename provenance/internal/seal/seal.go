// Package seal holds the one constructor of an authenticated attestation. Go's rule for internal packages makes the
// compiler refuse a forged one outside provenance/.
package seal

import (
	"time"

	"github.com/assay-tee/assay/provenance/fulcio"
)

// Attestation is a signed statement whose signature has been checked against configured keys or roots. It says who
// signed what and when; whether he may is decided afterwards.
type Attestation struct{ d Data }

// Data is what is known of an attestation.
type Data struct {
	Form        string // "dsse", "sigstore", "gcb"
	SHA256      string // of the file as carried, hex
	PayloadType string
	Payload     []byte // the signed bytes
	Signer      Signer
	Times       []Time
	Log         []LogEntry
}

// Signer is who signed: a key that was configured, or a certificate under a configured root.
type Signer struct {
	Name        string              // that the configuration has for the key
	KeyID       string              // key id by which the key was configured
	KeySHA256   string              // of the SubjectPublicKeyInfo, hex
	Certificate *fulcio.Certificate // nil for a key
}

// Time is a moment before which the signature existed, and who says so.
type Time struct {
	At     time.Time `json:"at"`
	Origin string    `json:"origin"` // "log" (signed entry timestamp), "tsa" (RFC 3161), "receipt"
	Name   string    `json:"name,omitempty"`
}

// LogEntry is a verified entry of a transparency log.
type LogEntry struct {
	Log   string `json:"log"`
	Index string `json:"index"`
}

// New seals d.
func New(d Data) *Attestation { return &Attestation{d: d} }

// Form is the kind of envelope: "dsse", "sigstore" or "gcb".
func (a *Attestation) Form() string { return a.d.Form }

// SHA256 is the digest of the file as carried, hex.
func (a *Attestation) SHA256() string { return a.d.SHA256 }

// PayloadType is the type that the signature covers.
func (a *Attestation) PayloadType() string { return a.d.PayloadType }

// Payload is the signed content; it must not be changed.
func (a *Attestation) Payload() []byte { return a.d.Payload }

// Signer says who signed.
func (a *Attestation) Signer() Signer { return a.d.Signer }

// Times are the moments at which somebody else saw the signature.
func (a *Attestation) Times() []Time { return append([]Time(nil), a.d.Times...) }

// Log are the verified log entries.
func (a *Attestation) Log() []LogEntry { return append([]LogEntry(nil), a.d.Log...) }
