package result

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
)

// VerifyConfig says which results a relying party accepts. There is no value that accepts everything.
type VerifyConfig struct {
	// Keys are those of the verifiers that are trusted; at least one. Each verifies its own algorithm only.
	Keys []keys.Public
	// Time is the clock; zero is refused.
	Time time.Time
	// Profiles are the accepted values of eat_profile; nil means EAR -03 only.
	Profiles []Profile
	// Skew is how far in the future iat and nbf may lie; 0 means one minute.
	Skew time.Duration
	// MaxAge is the greatest age of a result that has no exp of its own; 0 means five minutes.
	MaxAge time.Duration
	// Nonce is the one that was asked with; nil when none was.
	Nonce []byte
	// Audience must be named by aud when it is not empty. A token with an aud is refused without it.
	Audience string
	// Issuer must equal iss when it is not empty.
	Issuer string
	// Labels are submodules that must be there. OnlyLabels refuses all others.
	Labels     []string
	OnlyLabels bool
	// BoundKey is the SubjectPublicKeyInfo (DER) or JWK of the key that the first of Labels, or the only submodule,
	// must be bound to; nil when none is asked for.
	BoundKey []byte
	// AllowInsecure accepts results whose issuer marked them insecure (ear_assay_mode).
	AllowInsecure bool
}

// Defaults of [VerifyConfig].
const (
	DefaultSkew   = time.Minute
	DefaultMaxAge = 5 * time.Minute
)

// Verify checks a signed result (JWT or CWT) by every step of specs ear.md section 10. Its errors have the classes malformed,
// unsupported, signature, expired, binding, or denied for a result that is marked insecure. Which status is good
// enough is the caller's to decide; an [Accepted] result need not be affirming.
func Verify(token []byte, cfg VerifyConfig) (*Accepted, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if len(token) > maxToken {
		return nil, fault.New(fault.Malformed, "a token of more than %d bytes", maxToken)
	}
	d, key, err := open(token, cfg)
	if err != nil {
		return nil, err
	}
	if err := d.accept(cfg); err != nil {
		return nil, err
	}
	return newAccepted(d, key), nil
}

func (cfg VerifyConfig) check() (VerifyConfig, error) {
	switch {
	case len(cfg.Keys) == 0:
		return cfg, fault.New(fault.Usage, "no key of a trusted verifier; without one every result would be refused")
	case slices.ContainsFunc(cfg.Keys, keys.Public.IsZero):
		return cfg, fault.New(fault.Internal, "a verification key is the zero value")
	case cfg.Time.IsZero():
		return cfg, fault.New(fault.Internal, "result.Verify without a clock")
	case cfg.Nonce != nil && (len(cfg.Nonce) < minNonce || len(cfg.Nonce) > maxNonce):
		return cfg, fault.New(fault.Usage, "a nonce has %d to %d bytes", minNonce, maxNonce)
	case cfg.OnlyLabels && len(cfg.Labels) == 0:
		return cfg, fault.New(fault.Usage, "OnlyLabels without labels would refuse everything")
	}
	if len(cfg.Profiles) == 0 {
		cfg.Profiles = []Profile{ProfileEAR}
	}
	if cfg.Skew <= 0 {
		cfg.Skew = DefaultSkew
	}
	if cfg.MaxAge <= 0 {
		cfg.MaxAge = DefaultMaxAge
	}
	return cfg, nil
}

// open authenticates the bytes first and reads the claims after.
func open(token []byte, cfg VerifyConfig) (*document, keys.Public, error) {
	if isCWT(token) {
		return openCWT(token, cfg)
	}
	h, payload, err := splitJWS(token)
	if err != nil {
		return nil, keys.Public{}, err
	}
	if err := h.checkType(); err != nil {
		return nil, keys.Public{}, err
	}
	key, err := verifyJWS(token, h, cfg.Keys)
	if err != nil {
		return nil, keys.Public{}, err
	}
	d, err := decodeJSON(payload, cfg.Profiles)
	return d, key, err
}

// accept runs steps 5 to 11.
func (d *document) accept(cfg VerifyConfig) error {
	for _, step := range []func(VerifyConfig) error{d.acceptTimes, d.acceptParties, d.acceptNonce, d.acceptLabels,
		func(VerifyConfig) error { return d.checkStatus() }, d.acceptKey, d.acceptMode} {
		if err := step(cfg); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) acceptTimes(cfg VerifyConfig) error {
	now, skew := cfg.Time.Unix(), int64(cfg.Skew/time.Second)
	when := func(s int64) string { return time.Unix(s, 0).UTC().Format(time.RFC3339) }
	end := d.issuedAt + int64(cfg.MaxAge/time.Second)
	if d.expires.Set {
		end = d.expires.V
	}
	switch {
	case d.issuedAt > now+skew:
		return fault.New(fault.Expired, "the result was issued at %s, which is in the future", when(d.issuedAt))
	case d.notBefore.Set && d.notBefore.V > now+skew:
		return fault.New(fault.Expired, "the result holds only from %s on", when(d.notBefore.V))
	case now >= end && d.expires.Set:
		return fault.New(fault.Expired, "the result expired at %s; ask for a new one", when(end))
	case now >= end:
		return fault.New(fault.Expired, "the result was issued at %s, more than %v ago; ask for a new one", when(d.issuedAt), cfg.MaxAge)
	}
	return nil
}

func (d *document) acceptParties(cfg VerifyConfig) error {
	switch {
	case cfg.Issuer != "" && d.issuer != cfg.Issuer:
		return fault.New(fault.Binding, "the result was issued by %q, expected is %q", d.issuer, cfg.Issuer)
	case cfg.Audience != "" && !slices.Contains(d.audience, cfg.Audience):
		return fault.New(fault.Binding, "the result is for %q, not for %q", d.audience, cfg.Audience)
	case cfg.Audience == "" && len(d.audience) > 0:
		// RFC 7519 section 4.1.3: who is not named by aud must reject the token.
		return fault.New(fault.Binding, "the result is for %q; say who is asking to accept it", d.audience)
	}
	return nil
}

func (d *document) acceptNonce(cfg VerifyConfig) error {
	if cfg.Nonce != nil && subtle.ConstantTimeCompare(d.nonce, cfg.Nonce) != 1 {
		return fault.New(fault.Binding, "the result carries nonce %s, asked was with %s", hex.EncodeToString(d.nonce), hex.EncodeToString(cfg.Nonce))
	}
	return nil
}

func (d *document) acceptLabels(cfg VerifyConfig) error {
	for _, l := range cfg.Labels {
		if d.submod(l) == nil {
			return fault.New(fault.Binding, "the result has no submodule %q", l)
		}
	}
	if cfg.OnlyLabels {
		for _, s := range d.submods {
			if !slices.Contains(cfg.Labels, s.label) {
				return fault.New(fault.Binding, "the result has a submodule %q that was not asked for", s.label)
			}
		}
	}
	return nil
}

func (d *document) acceptKey(cfg VerifyConfig) error {
	if cfg.BoundKey == nil {
		return nil
	}
	want, err := spki(cfg.BoundKey)
	if err != nil {
		return err
	}
	s := &d.submods[0]
	switch {
	case len(cfg.Labels) > 0:
		s = d.submod(cfg.Labels[0])
	case len(d.submods) > 1:
		return fault.New(fault.Usage, "the result has several submodules; say which of them must hold the key")
	}
	if len(s.akpub) == 0 || !bytes.Equal(s.akpub, want) {
		return fault.New(fault.Binding, "submodule %q is not bound to the key of this session", s.label)
	}
	return nil
}

func (d *document) acceptMode(cfg VerifyConfig) error {
	if len(d.mode) > 0 && !cfg.AllowInsecure {
		return fault.New(fault.Denied, "its issuer marked the result as insecure: %s", claim.O(d.mode...))
	}
	return nil
}

func (d *document) submod(label string) *submod {
	for i := range d.submods {
		if d.submods[i].label == label {
			return &d.submods[i]
		}
	}
	return nil
}
