package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance"
	"github.com/assay-tee/assay/provenance/check"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/gcb"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/sigstore"
	"github.com/assay-tee/assay/provenance/slsa"
	"github.com/assay-tee/assay/provenance/vsa"
)

// expectFlags are what a build must be, and whom to believe about it: as flags, and as members of an expectation file
// (docs/provenance.md).
type expectFlags struct {
	File             string            `json:"-"`
	TrustedRoot      string            `json:"trusted_root,omitempty"` // file
	Keys             []string          `json:"keys,omitempty"`         // files
	KeyID            string            `json:"key_id,omitempty"`
	KeyEncoding      string            `json:"key_encoding,omitempty"`
	GCBKeys          []string          `json:"gcb_keys,omitempty"` // NAME=file
	TimestampOnly    bool              `json:"timestamp_only,omitempty"`
	WithoutSCT       bool              `json:"without_sct,omitempty"`
	Source           string            `json:"source_uri,omitempty"`
	Builder          string            `json:"builder_id,omitempty"`
	Tag              string            `json:"source_tag,omitempty"`
	VersionedTag     string            `json:"source_versioned_tag,omitempty"`
	Branch           string            `json:"source_branch,omitempty"`
	Inputs           map[string]string `json:"build_workflow_inputs,omitempty"`
	Hosted           bool              `json:"hosted,omitempty"`
	Identity         string            `json:"certificate_identity,omitempty"`
	IdentityRegexp   string            `json:"certificate_identity_regexp,omitempty"`
	Issuer           string            `json:"certificate_oidc_issuer,omitempty"`
	IssuerRegexp     string            `json:"certificate_oidc_issuer_regexp,omitempty"`
	Predicate        string            `json:"predicate_type,omitempty"`
	Package, Version string            `json:"-"`
	Verifier         string            `json:"verifier_id,omitempty"`
	Resource         string            `json:"resource_uri,omitempty"`
	SubjectDigests   []string          `json:"subject_digests,omitempty"`
	Levels           []string          `json:"verified_levels,omitempty"`
	MinLevel         int               `json:"min_level,omitempty"`
	MaxAge           string            `json:"max_age,omitempty"`
	BuilderLevels    provenance.Levels `json:"builder_levels,omitempty"`
	At               string            `json:"-"`
	inputs           []string
}

func (f *expectFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.File, "expectations", "", "take what is expected from a JSON `FILE` (docs/provenance.md); flags add to it")
	fl.StringVar(&f.TrustedRoot, "trusted-root", "", "Sigstore trusted root from `FILE`, for bundles and npm")
	fl.StringArrayVar(&f.Keys, "key", nil, "the signer's public key from `FILE` (PEM; repeatable)")
	fl.StringVar(&f.KeyID, "key-id", "", "`ID` that the signature must name")
	fl.StringVar(&f.KeyEncoding, "key-encoding", "", "form of ECDSA signatures by --key: `der` or p1363 (r‖s)")
	fl.StringArrayVar(&f.GCBKeys, "gcb-key", nil, "Cloud Build's attestor key as `NAME=FILE`: a region, global, provenanceSigner or google-hosted-worker (repeatable)")
	fl.BoolVar(&f.TimestampOnly, "timestamp-only", false, "a signed timestamp instead of a log entry (private Sigstore instances)")
	fl.BoolVar(&f.WithoutSCT, "without-sct", false, "certificates need not be in a certificate transparency log (private Sigstore instances)")
	fl.StringVar(&f.Source, "source-uri", "", "`REPOSITORY` that it must be built from, e.g. github.com/org/repo")
	fl.StringVar(&f.Builder, "builder-id", "", "`ID` of the builder; without @version any release of it")
	fl.StringVar(&f.Tag, "source-tag", "", "`TAG` that it must be built for")
	fl.StringVar(&f.VersionedTag, "source-versioned-tag", "", "`VERSION` that the tag must be of: v1.2 accepts v1.2.x")
	fl.StringVar(&f.Branch, "source-branch", "", "`BRANCH` that it must be built for")
	fl.StringArrayVar(&f.inputs, "build-workflow-input", nil, "`KEY=VALUE` that a manual start must have been given (repeatable)")
	fl.BoolVar(&f.Hosted, "hosted", false, "it must have run on a runner of GitHub's")
	fl.StringVar(&f.Identity, "certificate-identity", "", "`NAME` in the signing certificate")
	fl.StringVar(&f.IdentityRegexp, "certificate-identity-regexp", "", "`EXPRESSION` that must match the whole name")
	fl.StringVar(&f.Issuer, "certificate-oidc-issuer", "", "`URL` of who vouches for the name")
	fl.StringVar(&f.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "`EXPRESSION` that must match the whole URL")
	fl.StringVar(&f.Predicate, "predicate-type", "", "`TYPE` that the statement must be of")
	fl.StringVar(&f.Package, "package-name", "", "`NAME` of the npm package")
	fl.StringVar(&f.Version, "package-version", "", "`VERSION` of the npm package")
	fl.StringVar(&f.Verifier, "verifier-id", "", "accept a verification summary of the verifier `ID` in place of provenance")
	fl.StringVar(&f.Resource, "resource-uri", "", "`URI` that the summary must be about")
	fl.StringArrayVar(&f.SubjectDigests, "subject-digest", nil, "`ALG:VALUE` that the summary must be about (repeatable)")
	fl.StringArrayVar(&f.Levels, "verified-level", nil, "`LEVEL` that the summary must give (repeatable)")
	fl.IntVar(&f.MinLevel, "min-level", 0, "least SLSA build `LEVEL` of the builder")
	fl.StringVar(&f.MaxAge, "max-age", "", "greatest age of the signature, as a `DURATION` such as 720h")
	fl.StringVar(&f.At, "at", "", "count the age from this `TIME` (RFC 3339) instead of now")
}

// fromFile reads an expectation file into f where f says nothing itself. Names of files in it are relative to it.
func (f *expectFlags) fromFile(name string, b []byte) error {
	var x expectFlags
	if err := jsonx.Unmarshal(b, &x, true); err != nil {
		return fault.Wrap(err, "expectations %s", name)
	}
	rel := func(p string) string {
		if p == "" || filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(filepath.Dir(name), p)
	}
	x.TrustedRoot = rel(x.TrustedRoot)
	for i := range x.Keys {
		x.Keys[i] = rel(x.Keys[i])
	}
	for i, k := range x.GCBKeys {
		n, p, _ := strings.Cut(k, "=")
		x.GCBKeys[i] = n + "=" + rel(p)
	}
	// Flags come on top: what a flag says replaces the member of the file, lists grow.
	over, err := json.Marshal(f)
	if err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	keysOf, gcbOf, inputs, at, pkg, ver := append(x.Keys, f.Keys...), append(x.GCBKeys, f.GCBKeys...), f.inputs, f.At, f.Package, f.Version
	if err := json.Unmarshal(over, &x); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	x.Keys, x.GCBKeys, x.inputs, x.At, x.Package, x.Version, x.File = keysOf, gcbOf, inputs, at, pkg, ver, name
	*f = x
	return nil
}

// expectations turns flags into the configuration of a check.
func (a *app) expectations(f expectFlags) (c check.Config, err error) {
	if f.File != "" {
		b, err := a.read(f.File)
		if err != nil {
			return c, err
		}
		if err := f.fromFile(f.File, b); err != nil {
			return c, err
		}
	}
	if c.Now, err = a.clock(f.At); err != nil {
		return c, err
	}
	if f.TrustedRoot != "" {
		if c.TrustedRoot, err = a.read(f.TrustedRoot); err != nil {
			return c, err
		}
	}
	if err := a.provenanceKeys(f, &c); err != nil {
		return c, err
	}
	c.TimestampOnly, c.WithoutSCT, c.PredicateType, c.Package, c.Version = f.TimestampOnly, f.WithoutSCT, f.Predicate, f.Package, f.Version
	c.Identity = sigstore.Identity{Issuer: f.Issuer, IssuerRegexp: f.IssuerRegexp, SAN: f.Identity, SANRegexp: f.IdentityRegexp}
	c.Build = slsa.Expectation{Source: f.Source, Builder: f.Builder, Tag: f.Tag, VersionedTag: f.VersionedTag, Branch: f.Branch, Inputs: f.Inputs, Hosted: f.Hosted}
	for _, in := range f.inputs {
		k, v, ok := strings.Cut(in, "=")
		if !ok {
			return c, fault.New(fault.Usage, "--build-workflow-input %q is not KEY=VALUE", in)
		}
		if c.Build.Inputs == nil {
			c.Build.Inputs = map[string]string{}
		}
		c.Build.Inputs[k] = v
	}
	c.MinLevel, c.Levels = f.MinLevel, f.BuilderLevels
	if f.MaxAge != "" {
		if c.MaxAge, err = time.ParseDuration(f.MaxAge); err != nil || c.MaxAge <= 0 {
			return c, fault.New(fault.Usage, "--max-age %q is not a duration such as 720h", f.MaxAge)
		}
	}
	if f.Verifier == "" {
		return c, nil
	}
	c.Summary = &vsa.Expectation{Verifier: f.Verifier, Resource: f.Resource, Levels: f.Levels, NotOlder: c.MaxAge, Now: c.Now}
	c.MaxAge = 0 // the summary's own time is what has an age
	for _, s := range f.SubjectDigests {
		d, err := intoto.ParseDigest(s)
		if err != nil {
			return c, err
		}
		c.Summary.Subjects = append(c.Summary.Subjects, d)
	}
	return c, nil
}

func (a *app) provenanceKeys(f expectFlags, c *check.Config) error {
	enc := dsse.DER
	switch f.KeyEncoding {
	case "", "der":
	case "p1363":
		enc = dsse.P1363
	default:
		return fault.New(fault.Usage, "--key-encoding %q: der or p1363", f.KeyEncoding)
	}
	for _, name := range f.Keys {
		k, err := a.provenanceKey(name)
		if err != nil {
			return err
		}
		k.ID, k.Require, k.Encoding = f.KeyID, f.KeyID != "", enc
		c.Keys = append(c.Keys, k)
	}
	for _, s := range f.GCBKeys {
		name, file, ok := strings.Cut(s, "=")
		if !ok {
			return fault.New(fault.Usage, "--gcb-key %q is not NAME=FILE", s)
		}
		k, err := a.provenanceKey(file)
		if err != nil {
			return err
		}
		k.Name, k.ID = "Cloud Build "+name, gcb.KeyID(name)
		c.GCBKeys = append(c.GCBKeys, gcb.Key{ID: k.ID, Key: k})
	}
	return nil
}

func (a *app) provenanceKey(name string) (dsse.Key, error) {
	b, err := a.read(name)
	if err != nil {
		return dsse.Key{}, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return dsse.Key{}, fault.New(fault.Malformed, "%s: one PEM block with a PUBLIC KEY is expected", name)
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return dsse.Key{}, fault.New(fault.Malformed, "%s: %w", name, err)
	}
	return dsse.Key{Name: filepath.Base(name), Public: pub}, nil
}
