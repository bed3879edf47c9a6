package oak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/internal/rekor1"
)

// Types of the statement (oak.md section 12).
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://project-oak.github.io/oak/tr/endorsement/v1"
	claimPrefix   = "https://github.com/project-oak/oak/blob/main/docs/tr/claim/"
	// ClaimFirmware and ClaimKernel say that the subject is an attachment, ClaimInline that it is the text itself.
	ClaimFirmware = claimPrefix + "10271.md"
	ClaimKernel   = claimPrefix + "98982.md"
	ClaimInline   = claimPrefix + "77149.md"
)

// Window is when something holds; both ends belong to it.
type Window struct{ NotBefore, NotAfter time.Time }

func (w Window) contains(t time.Time) bool { return !t.Before(w.NotBefore) && !t.After(w.NotAfter) }

// Verified is an endorsement whose signer, time and transparency have been checked.
type Verified struct {
	Digest   [32]byte // of the subject
	Subject  []byte   // whose digest that is; nil when it did not travel along
	Claims   []string
	Window   Window
	IssuedOn time.Time
	// LogIndex and LoggedAt are of the log entry; zero when none was asked for.
	LogIndex int64
	LoggedAt time.Time
}

// statement is the in-toto statement.
type statement struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
	Predicate     struct {
		IssuedOn time.Time `json:"issuedOn"`
		Validity *struct {
			NotBefore time.Time `json:"notBefore"`
			NotAfter  time.Time `json:"notAfter"`
		} `json:"validity"`
		Claims []struct {
			Type string `json:"type"`
		} `json:"claims"`
	} `json:"predicate"`
}

// Verify checks e as the reference value r demands (oak.md section 13). Classes: scope for a key that r does not name,
// signature, malformed for the statement, binding for a subject or log entry of something else, expired, policy for a
// claim or an entry that is demanded and missing.
func (e *Endorsement) Verify(r *EndorsementReference, now time.Time) (*Verified, error) {
	if e == nil || len(e.Serialized) == 0 {
		return nil, fault.New(fault.Policy, "nothing is endorsed, and an endorsement is asked for")
	}
	key, err := e.signer(r.Endorser)
	if err != nil {
		return nil, err
	}
	v, err := e.parse()
	if err != nil {
		return nil, err
	}
	if e.Subject != nil {
		if sum := sha256.Sum256(e.Subject); sum != v.Digest {
			return nil, fault.New(fault.Binding, "the endorsement is of %x, what came with it is %x", v.Digest, sum)
		}
		v.Subject = e.Subject
	}
	// The statements have milliseconds; what is within the last one is still in the window.
	if at := now.UTC().Truncate(time.Millisecond); !v.Window.contains(at) {
		return nil, fault.New(fault.Expired, "the endorsement holds from %s to %s, not at %s", v.Window.NotBefore.Format(time.RFC3339Nano), v.Window.NotAfter.Format(time.RFC3339Nano), at.Format(time.RFC3339Nano))
	}
	if r.RequiredClaims == nil {
		return nil, fault.New(fault.Policy, "the reference value does not say which claims it requires; say an empty list if none")
	}
	for _, c := range r.RequiredClaims.Types {
		if !slices.Contains(v.Claims, c) {
			return nil, fault.New(fault.Policy, "the endorsement lacks the claim %s", c)
		}
	}
	return v, e.transparent(r, v, key, now)
}

// signer finds the key of the signature.
func (e *Endorsement) signer(set KeySet) (*Key, error) {
	if len(set.Keys) == 0 {
		return nil, fault.New(fault.Policy, "the reference value names no endorser")
	}
	if e.Named {
		for i := range set.Keys {
			if k := &set.Keys[i]; k.ID == e.KeyID {
				return k, k.verify(e.Serialized, e.Signature)
			}
		}
		return nil, fault.New(fault.Scope, "the endorsement is signed with key %d, which the reference value does not name", e.KeyID)
	}
	err := fault.New(fault.Signature, "no key")
	for i := range set.Keys {
		if err = set.Keys[i].verify(e.Serialized, e.Signature); err == nil {
			return &set.Keys[i], nil
		}
	}
	return nil, err
}

// verify checks a signature over b by the key's type: 1 is ECDSA P-256 with SHA-256, 2 RSASSA-PKCS1-v1_5 with SHA-256.
func (k *Key) verify(b, sig []byte) error {
	pub, err := x509.ParsePKIXPublicKey(k.Raw)
	if err != nil {
		return fault.New(fault.Malformed, "key %d of the reference value: %w", k.ID, err)
	}
	sum := sha256.Sum256(b)
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Type != 1 || p.Curve != elliptic.P256() {
			return fault.New(fault.Unsupported, "key %d is of type %d and on %s", k.ID, k.Type, p.Curve.Params().Name)
		}
		if !ecdsa.VerifyASN1(p, sum[:], sig) {
			return fault.New(fault.Signature, "the endorsement is not signed by key %d", k.ID)
		}
	case *rsa.PublicKey:
		if k.Type != 2 || p.N.BitLen() < 2048 {
			return fault.New(fault.Unsupported, "key %d is of type %d, with %d bits of RSA", k.ID, k.Type, p.N.BitLen())
		}
		if rsa.VerifyPKCS1v15(p, crypto.SHA256, sum[:], sig) != nil {
			return fault.New(fault.Signature, "the endorsement is not signed by key %d", k.ID)
		}
	default:
		return fault.New(fault.Unsupported, "key %d is of type %T", k.ID, pub)
	}
	return nil
}

// parse reads the statement, whose signature has been checked.
func (e *Endorsement) parse() (*Verified, error) {
	var s statement
	if err := jsonx.Unmarshal(e.Serialized, &s, false); err != nil {
		return nil, fault.Wrap(err, "endorsement")
	}
	switch {
	case s.Type != statementType || s.PredicateType != predicateType:
		return nil, fault.New(fault.Unsupported, "a statement of type %q with predicate %q", s.Type, s.PredicateType)
	case len(s.Subject) != 1:
		return nil, fault.New(fault.Malformed, "an endorsement of %d subjects; one belongs there", len(s.Subject))
	case s.Predicate.Validity == nil || s.Predicate.Validity.NotBefore.IsZero() || s.Predicate.Validity.NotAfter.IsZero():
		return nil, fault.New(fault.Malformed, "an endorsement without validity")
	}
	sum, err := hex.DecodeString(s.Subject[0].Digest["sha256"])
	if err != nil || len(sum) != sha256.Size {
		return nil, fault.New(fault.Malformed, "the subject of the endorsement has no SHA-256")
	}
	v := &Verified{Digest: [32]byte(sum), IssuedOn: s.Predicate.IssuedOn, Window: Window{s.Predicate.Validity.NotBefore, s.Predicate.Validity.NotAfter}}
	for _, c := range s.Predicate.Claims {
		v.Claims = append(v.Claims, c.Type)
	}
	return v, nil
}

// transparent demands the log entries that r names.
func (e *Endorsement) transparent(r *EndorsementReference, v *Verified, endorser *Key, now time.Time) error {
	t := r.TLog
	switch t.Strategy {
	case TLogSkip:
		return nil
	case TLogAll, TLogAny:
	default:
		return fault.New(fault.Policy, "the reference value does not say what transparency it asks for; say skip if none")
	}
	var errs []error
	asked := 0
	try := func(populated bool, check func() error) {
		if populated {
			asked++
			if err := check(); err != nil {
				errs = append(errs, err)
			}
		}
	}
	try(t.Rekor != nil, func() error { return e.rekor(t.Rekor, v, endorser, now) })
	try(t.C2SP != nil, func() error { return e.c2sp(*t.C2SP, endorser) })
	try(t.PES != nil, func() error { return e.pes(t.PES, endorser) })
	switch {
	case asked == 0:
		return fault.New(fault.Policy, "transparency is asked for, and no log is named; say skip if none is meant")
	case len(errs) == 0, t.Strategy == TLogAny && len(errs) < asked:
		return nil
	}
	return errs[0]
}

func (e *Endorsement) rekor(set *KeySet, v *Verified, endorser *Key, now time.Time) error {
	if len(e.RekorEntry) == 0 {
		return fault.New(fault.Policy, "a Rekor entry is asked for, and the endorsement has none")
	}
	entry, err := rekor1.Parse(e.RekorEntry)
	if err != nil {
		return err
	}
	err = fault.New(fault.Policy, "no key of the log is named")
	for _, k := range set.Keys {
		pub, perr := x509.ParsePKIXPublicKey(k.Raw)
		ec, ok := pub.(*ecdsa.PublicKey)
		if perr != nil || !ok {
			return fault.New(fault.Malformed, "key of the log: %T, %w", pub, perr)
		}
		if err = entry.Verify(ec); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	if err := entry.Body.Covers(e.Serialized, endorser.Raw); err != nil {
		return err
	}
	if err := set.timestamp(entry.IntegratedTime, now); err != nil {
		return err
	}
	v.LogIndex, v.LoggedAt = entry.LogIndex, entry.IntegratedTime
	return nil
}

// timestamp applies the limits of a key set where the time of a signature is known.
func (s *KeySet) timestamp(at, now time.Time) error {
	if !s.NotBefore.IsZero() && at.Before(s.NotBefore) {
		return fault.New(fault.Expired, "logged at %s, the reference value asks for %s or later", at, s.NotBefore)
	}
	if s.NotBeforeRelative != 0 && at.Before(now.Add(s.NotBeforeRelative)) {
		return fault.New(fault.Expired, "logged at %s, which is too long ago for the reference value", at)
	}
	return nil
}

// has reports whether the statement says that its subject is of that kind.
func (v *Verified) has(claim string) bool { return slices.Contains(v.Claims, claim) }

// intersect narrows w.
func (w *Window) intersect(o Window) {
	if w.NotBefore.IsZero() || o.NotBefore.After(w.NotBefore) {
		w.NotBefore = o.NotBefore
	}
	if w.NotAfter.IsZero() || o.NotAfter.Before(w.NotAfter) {
		w.NotAfter = o.NotAfter
	}
}
