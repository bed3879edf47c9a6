// Package npm verifies the attestations that the npm registry keeps of a package version: its own, that it has
// published the version, and the provenance that the build has signed (specs transparency.md section 6).
package npm

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/internal/seal"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/sigstore"
	"github.com/assay-tee/assay/provenance/slsa"
)

// PublishPredicate is the registry's own predicate type.
const PublishPredicate = "https://github.com/npm/attestation/tree/main/specs/publish/v0.1"

const maxAttestations = 16

// RegistryKeys are the keys that registry.npmjs.org signs with (usage npm:attestations), as its key endpoint
// /-/npm/v1/keys and Sigstore's TUF target registry.npmjs.org/keys.json state them. A key's id is the digest of the key
// itself, which a test compares.
func RegistryKeys() []sigstore.Key {
	var out []sigstore.Key
	for _, k := range []struct{ id, spki, end string }{
		{"SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg==", "2025-01-29T00:00:00Z"},
	} {
		der, err := base64.StdEncoding.DecodeString(k.spki)
		if err != nil {
			continue
		}
		pub, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			continue
		}
		end, _ := time.Parse(time.RFC3339, k.end)
		out = append(out, sigstore.Key{Hint: k.id, Name: "registry.npmjs.org", Public: pub, NotAfter: end})
	}
	return out
}

// Expectation is what the package must be.
type Expectation struct {
	Name, Version string
	SHA512        string // of the tarball, hex
	slsa.Expectation
}

// Is reports whether b looks like an attestation document of the registry.
func Is(b []byte) bool {
	var d struct {
		A []json.RawMessage `json:"attestations"`
	}
	return json.Unmarshal(b, &d) == nil && len(d.A) > 0
}

// Verify demands both attestations and that they agree. root is the trusted root, keys those of the registry.
func Verify(file, root []byte, keys []sigstore.Key, e Expectation) (*seal.Attestation, *slsa.Build, error) {
	var d struct {
		Attestations []struct {
			PredicateType string          `json:"predicateType"`
			Bundle        json.RawMessage `json:"bundle"`
		} `json:"attestations"`
	}
	if err := jsonx.Unmarshal(file, &d, false); err != nil {
		return nil, nil, fault.Wrap(err, "npm attestations")
	}
	if e.SHA512 == "" {
		return nil, nil, fault.New(fault.Usage, "npm attestations are about the sha512 of the tarball; it is needed")
	}
	if len(d.Attestations) > maxAttestations {
		return nil, nil, fault.New(fault.Malformed, "%d npm attestations; at most %d are read", len(d.Attestations), maxAttestations)
	}
	artefact := &sigstore.Artefact{Digests: intoto.Digests{"sha512": strings.ToLower(e.SHA512)}}
	var publish, build *seal.Attestation
	for _, a := range d.Attestations {
		into, cfg := &build, sigstore.Config{TrustedRoot: root}
		switch {
		case a.PredicateType == PublishPredicate:
			into, cfg.Keys = &publish, keys
		case !slsa.IsPredicate(a.PredicateType):
			continue
		}
		if *into != nil {
			return nil, nil, fault.New(fault.Malformed, "npm attestations: two of type %s", a.PredicateType)
		}
		v, err := sigstore.New(cfg)
		if err != nil {
			return nil, nil, err
		}
		if *into, err = v.Verify(a.Bundle, artefact); err != nil {
			return nil, nil, fault.Wrap(err, "npm attestation %s", a.PredicateType)
		}
	}
	if publish == nil || build == nil {
		return nil, nil, fault.New(fault.Unavailable, "npm attestations: both the registry's and the build's are needed")
	}
	b, err := judge(publish, build, e)
	return build, b, fault.Wrap(err, "npm attestations")
}

func judge(publish, build *seal.Attestation, e Expectation) (*slsa.Build, error) {
	ps, err := intoto.Parse(publish.Payload())
	if err != nil {
		return nil, err
	}
	bs, err := intoto.Parse(build.Payload())
	if err != nil {
		return nil, err
	}
	var pub struct{ Name, Version, Registry string }
	if ps.PredicateType != PublishPredicate {
		return nil, fault.New(fault.Malformed, "listed as %s, but the statement is %s", PublishPredicate, ps.PredicateType)
	}
	if err := jsonx.Unmarshal(ps.Predicate, &pub, false); err != nil {
		return nil, err
	}
	if len(ps.Subjects) != 1 || len(bs.Subjects) != 1 || ps.Subjects[0].Name != bs.Subjects[0].Name || ps.Subjects[0].Digest["sha512"] != bs.Subjects[0].Digest["sha512"] {
		return nil, fault.New(fault.Binding, "the registry and the build speak about different packages")
	}
	name, version, err := purl(ps.Subjects[0].Name)
	if err != nil {
		return nil, err
	}
	if pub.Name != name || pub.Version != version || pub.Registry != "https://registry.npmjs.org" {
		return nil, fault.New(fault.Binding, "the registry says %s@%s at %q about %s", pub.Name, pub.Version, pub.Registry, ps.Subjects[0].Name)
	}
	if e.Name != "" && e.Name != name || e.Version != "" && e.Version != version {
		return nil, fault.New(fault.Policy, "the package is %s@%s, expected is %s@%s", name, version, e.Name, e.Version)
	}
	p, err := slsa.Parse(bs)
	if err != nil {
		return nil, err
	}
	return slsa.Check(build, p, e.Expectation)
}

// purl reads pkg:npm/%40scope/name@version.
func purl(s string) (name, version string, err error) {
	rest, ok := strings.CutPrefix(s, "pkg:npm/")
	i := strings.LastIndexByte(rest, '@')
	if !ok || i < 1 {
		return "", "", fault.New(fault.Malformed, "subject %q is no npm package", s)
	}
	name, err = url.PathUnescape(rest[:i])
	if err != nil {
		return "", "", fault.New(fault.Malformed, "subject %q: %w", s, err)
	}
	return name, rest[i+1:], nil
}
