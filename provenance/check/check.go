// Package check verifies an attestation file of any form that is known here, and holds it against what is expected. It
// opens no connection.
package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/gcb"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/npm"
	"github.com/assay-tee/assay/provenance/sigstore"
	"github.com/assay-tee/assay/provenance/slsa"
	"github.com/assay-tee/assay/provenance/vsa"
)

// Config is whom to believe and what to expect. Nothing in it has a default that accepts.
type Config struct {
	// TrustedRoot is a Sigstore trusted root (JSON); needed for bundles and npm.
	TrustedRoot []byte
	// Keys verify envelopes and bundles that a key has signed.
	Keys []dsse.Key
	// GCBKeys are Cloud Build's attestor keys.
	GCBKeys []gcb.Key
	// NPMKeys are the registry's keys; nil means [npm.RegistryKeys].
	NPMKeys []sigstore.Key
	// TimestampOnly and WithoutSCT are for private Sigstore instances, see package sigstore.
	TimestampOnly, WithoutSCT bool

	// Identity, when set, must be the certificate's.
	Identity sigstore.Identity
	// Artefact, when not nil, must be a subject or what was signed.
	Artefact *sigstore.Artefact
	// Build is what the build must be.
	Build slsa.Expectation
	// Package and Version are the npm package's.
	Package, Version string
	// Summary, when not nil, lets a verification summary stand in for provenance.
	Summary *vsa.Expectation
	// PredicateType, when set, must be the statement's.
	PredicateType string
	// Levels grants SLSA build levels; nil means [provenance.DefaultLevels].
	Levels provenance.Levels
	// MinLevel is the level that is demanded.
	MinLevel int
	// MaxAge, when positive, bounds the age of the signature at Now by the times that others vouch for.
	MaxAge time.Duration
	Now    time.Time
}

// maxLines bounds a file of one attestation per line.
const maxLines = 1024

// File verifies b. Of a file with one attestation per line, the first that is accepted counts. Classes are those of the
// packages that verify the forms, and stale when the signature is older than MaxAge.
func File(b []byte, c Config) (*provenance.Verdict, error) {
	if c.Levels == nil {
		c.Levels = provenance.DefaultLevels()
	}
	lines := split(b)
	if len(lines) > maxLines {
		return nil, fault.New(fault.Malformed, "%d attestations in one file; at most %d are read", len(lines), maxLines)
	}
	var first error
	for _, line := range lines {
		v, err := one(line, c)
		if err == nil {
			err = after(v, c)
		}
		if err == nil {
			return v, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// split takes a file apart that holds several JSON values, one a line; a single value may span lines.
func split(b []byte) [][]byte {
	t := bytes.TrimSpace(b)
	if json.Valid(t) {
		return [][]byte{b} // hashed as carried
	}
	var out [][]byte
	for _, l := range bytes.Split(t, []byte("\n")) {
		if l = bytes.TrimSpace(l); len(l) == 0 {
			continue
		}
		if !json.Valid(l) {
			return [][]byte{b}
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return [][]byte{b}
	}
	return out
}

func one(b []byte, c Config) (*provenance.Verdict, error) {
	switch {
	case sigstore.Is(b):
		return bundled(b, c)
	case npm.Is(b):
		keys := c.NPMKeys
		if keys == nil {
			keys = npm.RegistryKeys()
		}
		e := npm.Expectation{Name: c.Package, Version: c.Version, Expectation: c.Build}
		if c.Artefact != nil {
			e.SHA512 = c.Artefact.All()["sha512"]
		}
		a, build, err := npm.Verify(b, c.TrustedRoot, keys, e)
		if err != nil {
			return nil, err
		}
		if err := identity(a, c); err != nil {
			return nil, err
		}
		return provenance.Built(a, build, c.Levels)
	case gcb.Is(b):
		e := gcb.Expectation{Source: c.Build.Source, Builder: c.Build.Builder, Tag: c.Build.Tag, Branch: c.Build.Branch}
		if c.Artefact != nil {
			e.Image = c.Artefact.All()
		}
		a, build, err := gcb.Verify(b, c.GCBKeys, e)
		if err != nil {
			return nil, err
		}
		return provenance.Built(a, build, c.Levels)
	}
	return enveloped(b, c)
}

func identity(a *provenance.Attestation, c Config) error {
	if c.Identity.IsZero() {
		return nil
	}
	return c.Identity.Check(a)
}

func bundled(b []byte, c Config) (*provenance.Verdict, error) {
	cfg := sigstore.Config{TrustedRoot: c.TrustedRoot, TimestampOnly: c.TimestampOnly, WithoutSCT: c.WithoutSCT}
	for _, k := range c.Keys {
		cfg.Keys = append(cfg.Keys, sigstore.Key{Hint: k.ID, Name: k.Name, Public: k.Public})
	}
	v, err := sigstore.New(cfg)
	if err != nil {
		return nil, err
	}
	a, err := v.Verify(b, c.Artefact)
	if err != nil {
		return nil, err
	}
	if err := identity(a, c); err != nil {
		return nil, err
	}
	if a.Payload() == nil {
		return nil, fault.New(fault.Policy, "the bundle signs an artefact and says nothing about its build")
	}
	return judge(a, c)
}

func enveloped(b []byte, c Config) (*provenance.Verdict, error) {
	e, err := dsse.Parse(b)
	if err != nil {
		return nil, err
	}
	if len(c.Keys) == 0 {
		if hasCertificate(b) {
			return nil, fault.New(fault.Unavailable, "an envelope with a short-lived certificate and no log entry: nothing offline proves when it was signed; take the Sigstore bundle instead")
		}
		return nil, fault.New(fault.Usage, "an envelope is verified with the signer's key: --key FILE")
	}
	a, err := dsse.Attest(b, c.Keys, 1)
	if err != nil {
		return nil, err
	}
	if e.PayloadType != dsse.PayloadInToto && !bytes.HasPrefix([]byte(e.PayloadType), []byte("application/vnd.in-toto.")) {
		return nil, fault.New(fault.Unsupported, "an envelope with payload type %q; in-toto statements are read", e.PayloadType)
	}
	if err := identity(a, c); err != nil {
		return nil, err
	}
	return judge(a, c)
}

// hasCertificate reports whether a signature carries a certificate, as older generators wrote it.
func hasCertificate(b []byte) bool {
	var e struct {
		Signatures []struct {
			Cert string `json:"cert"`
		} `json:"signatures"`
	}
	return json.Unmarshal(b, &e) == nil && len(e.Signatures) > 0 && e.Signatures[0].Cert != ""
}

func judge(a *provenance.Attestation, c Config) (*provenance.Verdict, error) {
	s, err := intoto.Parse(a.Payload())
	if err != nil {
		return nil, err
	}
	if c.PredicateType != "" && s.PredicateType != c.PredicateType {
		return nil, fault.New(fault.Policy, "a statement of type %q, expected is %q", s.PredicateType, c.PredicateType)
	}
	if s.PredicateType == vsa.PredicateType {
		if c.Summary == nil {
			return nil, fault.New(fault.Policy, "a verification summary, which stands in for provenance only where that is said: --verifier-id")
		}
		e := *c.Summary
		if c.MinLevel > 0 {
			e.Levels = append(slices.Clip(e.Levels), fmt.Sprintf("SLSA_BUILD_LEVEL_%d", c.MinLevel))
		}
		if _, err := vsa.Check(a, e); err != nil {
			return nil, err
		}
		v, err := provenance.Summarised(a)
		if err == nil {
			v.Level = c.MinLevel // at least; the summary's levels are held against it above
		}
		return v, err
	}
	if c.Summary != nil {
		return nil, fault.New(fault.Policy, "a statement of type %q, expected is a verification summary", s.PredicateType)
	}
	if c.Artefact != nil {
		if _, err := s.Find(c.Artefact.All()); err != nil {
			return nil, err
		}
	}
	return provenance.Judge(a, c.Build, c.Levels)
}

// after compares what no form has by itself: level and age.
func after(v *provenance.Verdict, c Config) error {
	if v.Kind == provenance.KindMeasurement {
		return nil // a computation, which has neither builder nor age
	}
	if v.Level < c.MinLevel {
		return fault.New(fault.Policy, "the builder %q has SLSA build level %d, demanded is %d", v.Builder, v.Level, c.MinLevel)
	}
	if c.MaxAge <= 0 {
		return nil
	}
	if c.Now.IsZero() {
		return fault.New(fault.Internal, "an age limit without a clock")
	}
	at := v.At()
	switch {
	case at.IsZero():
		return fault.New(fault.Stale, "nobody vouches for the time of the signature, and an age is demanded")
	case at.Before(c.Now.Add(-c.MaxAge)):
		return fault.New(fault.Stale, "signed at %s, more than %s ago", at.Format(time.RFC3339), c.MaxAge)
	case at.After(c.Now):
		return fault.New(fault.Stale, "signed at %s, which is in the future", at.Format(time.RFC3339))
	}
	return nil
}
