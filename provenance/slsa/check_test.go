package slsa

import (
	"fmt"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/fulcio"
	"github.com/assay-tee/assay/provenance/internal/seal"
	"github.com/assay-tee/assay/provenance/intoto"
)

const (
	generic = generatorPath + "generator_generic_slsa3.yml"
	release = "@refs/tags/v2.1.0"
	org     = "https://github.com/org/firmware"
	sha1hex = "4d329c75e7ec1725f7c9ce917a8799d408d06be3"
	low     = generatorPath + "delegator_lowperms-generic_slsa3.yml"
)

// build is one statement with its signer, before anything is broken.
type build struct {
	builder, buildType, trigger, source, commit string
	extra                                       string // further members of the v1 external parameters
	v1                                          bool
	cert                                        fulcio.Certificate
	expect                                      Expectation
}

func good() build {
	return build{builder: generic + release, buildType: buildGeneric, trigger: "git+" + org + "@refs/tags/v1.2.3", source: "git+" + org + "@refs/tags/v1.2.3", commit: sha1hex,
		cert: fulcio.Certificate{SAN: generic + release, SANKind: "uri", Issuer: githubIssuer, SourceURI: org, SourceSHA: sha1hex, SourceRef: "refs/tags/v1.2.3",
			Trigger: "push", Runner: "github-hosted"},
		expect: Expectation{Source: "github.com/org/firmware"}}
}

// delegated is a build by a builder that a delegator speaks for.
func delegated() build {
	b := good()
	b.v1, b.buildType, b.cert.SAN = true, buildDelegator, low+release
	b.builder = generatorPath + "builder_maven_slsa3.yml@refs/tags/v2.1.0"
	return b
}

func (b build) check() (*Build, error) {
	predicate := fmt.Sprintf(`{"builder":{"id":%q},"buildType":%q,"invocation":{"configSource":{"uri":%q,"digest":{"sha1":%q},"entryPoint":"w.yml"},
"environment":{"github_event_name":"push","github_ref":"refs/tags/v1.2.3","github_ref_type":"tag","github_event_payload":{"base_ref":"refs/heads/main"}}},
"materials":[{"uri":%q,"digest":{"sha1":%q}}]}`, b.builder, b.buildType, b.trigger, b.commit, b.source, b.commit)
	typ := PredicateV02
	if b.v1 {
		typ = PredicateV1
		_, ref := splitRef(b.trigger)
		predicate = fmt.Sprintf(`{"buildDefinition":{"buildType":%q,"externalParameters":{"inputs":{}%s},"internalParameters":{"GITHUB_EVENT_NAME":"push",
"GITHUB_REF":%q,"GITHUB_REF_TYPE":"tag","GITHUB_WORKFLOW_REF":"org/firmware/.github/workflows/w.yml@%s"},"resolvedDependencies":[{"uri":%q,"digest":{"gitCommit":%q}}]},
"runDetails":{"builder":{"id":%q}}}`, b.buildType, b.extra, ref, ref, b.source, b.commit, b.builder)
	}
	p, err := Parse(&intoto.Statement{PredicateType: typ, Predicate: []byte(predicate)})
	if err != nil {
		return nil, err
	}
	return Check(seal.New(seal.Data{Signer: seal.Signer{Certificate: &b.cert}}), p, b.expect)
}

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		name   string
		start  func() build
		change func(*build)
		class  fault.Class
		ok     bool
	}{
		{"as it must be", good, func(*build) {}, 0, true},
		{"builder named without version", good, func(b *build) { b.expect.Builder = generic }, 0, true},
		{"builder named with its version, short", good, func(b *build) { b.expect.Builder = generic + "@v2.1.0" }, 0, true},
		{"statement's version, short", good, func(b *build) { b.builder = generic + "@v2.1.0" }, 0, true},
		{"builder named with another version", good, func(b *build) { b.expect.Builder = generic + "@v2.1.1" }, fault.Policy, false},
		{"another issuer", good, func(b *build) { b.cert.Issuer = "https://accounts.google.com" }, fault.Policy, false},
		{"signed from a branch", good, func(b *build) { b.cert.SAN = generic + "@refs/heads/main"; b.builder = b.cert.SAN }, fault.Policy, false},
		{"a prerelease of the builder", good, func(b *build) { b.cert.SAN = generic + "@refs/tags/v2.1.0-rc.1"; b.builder = b.cert.SAN }, fault.Policy, false},
		{"a build part", good, func(b *build) { b.cert.SAN = generic + "@refs/tags/v2.1.0+x"; b.builder = b.cert.SAN }, fault.Policy, false},
		{"no whole version", good, func(b *build) { b.cert.SAN = generic + "@refs/tags/v2"; b.builder = b.cert.SAN }, fault.Policy, false},
		{"two refs", good, func(b *build) { b.cert.SAN = generic + "@x@refs/tags/v2.1.0"; b.builder = b.cert.SAN }, fault.Malformed, false},
		{"an e-mail address", good, func(b *build) { b.cert.SAN, b.cert.SANKind = "a@example.com", "email" }, fault.Policy, false},
		{"a workflow that nobody knows", good, func(b *build) { b.cert.SAN = org + "/.github/workflows/w.yml" + release; b.builder = b.cert.SAN }, fault.Policy, false},
		{"the same, named", good, func(b *build) {
			b.cert.SAN = org + "/.github/workflows/w.yml" + release
			b.builder, b.expect.Builder = b.cert.SAN, org+"/.github/workflows/w.yml"
		}, 0, true},
		{"statement names another builder", good, func(b *build) { b.builder = generatorPath + "builder_go_slsa3.yml" + release }, fault.Policy, false},
		{"statement names another version", good, func(b *build) { b.builder = generic + "@refs/tags/v2.0.0" }, fault.Policy, false},
		{"build type of another builder", good, func(b *build) { b.buildType = buildGo }, fault.Policy, false},
		{"certificate of another source", good, func(b *build) { b.cert.SourceURI = org + "2" }, fault.Policy, false},
		{"certificate without source", good, func(b *build) { b.cert.SourceURI = "" }, fault.Policy, false},
		{"started from another repository", good, func(b *build) { b.trigger = "git+https://github.com/x/y@refs/tags/v1.2.3" }, fault.Policy, false},
		{"built from another repository", good, func(b *build) { b.source = "git+https://github.com/x/y@refs/tags/v1.2.3" }, fault.Policy, false},
		{"trigger without ref", good, func(b *build) { b.trigger = "git+" + org }, fault.Policy, false},
		{"source of another ref", good, func(b *build) { b.source = "git+" + org + "@refs/tags/v1.2.4" }, fault.Policy, false},
		{"source without ref", good, func(b *build) { b.source = "git+" + org }, fault.Policy, false},
		{"another commit than the certificate's", good, func(b *build) { b.commit = strings.Repeat("0", 40) }, fault.Policy, false},
		{"another event than the certificate's", good, func(b *build) { b.cert.Trigger = "pull_request" }, fault.Policy, false},
		{"self-hosted where GitHub's is demanded", good, func(b *build) { b.cert.Runner = "self-hosted"; b.expect.Hosted = true }, fault.Policy, false},
		{"GitHub's, as demanded", good, func(b *build) { b.expect.Hosted = true }, 0, true},
		{"branch of the tag", good, func(b *build) { b.expect.Branch = "main" }, 0, true},
		{"another branch", good, func(b *build) { b.expect.Branch = "main2" }, fault.Policy, false},
		{"tag", good, func(b *build) { b.expect.Tag = "v1.2.3" }, 0, true},
		{"another tag", good, func(b *build) { b.expect.Tag = "v1.2" }, fault.Policy, false},
		{"version", good, func(b *build) { b.expect.VersionedTag = "v1.2" }, 0, true},
		{"version that only begins alike", good, func(b *build) { b.expect.VersionedTag = "v1.20" }, fault.Policy, false},
		{"prerelease of the version", good, func(b *build) { b.expect.VersionedTag = "v1.2.3-rc.1" }, fault.Policy, false},
		{"not a version", good, func(b *build) { b.expect.VersionedTag = "1.2" }, fault.Usage, false},
		{"delegated", delegated, func(*build) {}, 0, true},
		{"delegated, source without ref", delegated, func(b *build) { b.source = "git+" + org }, 0, true},
		{"delegated to somebody that nobody named", delegated, func(b *build) { b.builder = "https://github.com/x/y/.github/workflows/b.yml@refs/tags/v1.0.0" }, fault.Policy, false},
		{"the same, named", delegated, func(b *build) {
			b.builder = "https://github.com/x/y/.github/workflows/b.yml@refs/tags/v1.0.0"
			b.expect.Builder = "https://github.com/x/y/.github/workflows/b.yml"
		}, 0, true},
		{"delegated to a branch", delegated, func(b *build) { b.builder = generatorPath + "builder_maven_slsa3.yml@refs/heads/main" }, fault.Policy, false},
		{"the delegator named instead of the builder", delegated, func(b *build) { b.expect.Builder = low }, fault.Policy, false},
		{"an unknown external parameter", delegated, func(b *build) { b.extra = `,"secret":"x"` }, fault.Policy, false},
	} {
		b := tc.start()
		tc.change(&b)
		got, err := b.check()
		if tc.ok != (err == nil) || !tc.ok && fault.ClassOf(err) != tc.class {
			t.Errorf("%s: class %s, want %s: %v", tc.name, fault.ClassOf(err), tc.class, err)
		}
		if err == nil && (got.Commit != sha1hex || got.Source != "git+"+org) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func TestUnknownMembersAreRefused(t *testing.T) {
	for _, text := range []string{`{"builder":{"id":"x"},"buildType":"y","surprise":1}`, `{"builder":{"id":"x","more":1},"buildType":"y"}`} {
		if _, err := Parse(&intoto.Statement{PredicateType: PredicateV02, Predicate: []byte(text)}); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(PredicateV02, []byte(`{"builder":{"id":"x"},"buildType":"y"}`))
	f.Add(PredicateV1, []byte(`{"buildDefinition":{"buildType":"y","externalParameters":{}},"runDetails":{"builder":{"id":"x"}}}`))
	f.Fuzz(func(t *testing.T, typ string, b []byte) {
		p, err := Parse(&intoto.Statement{PredicateType: typ, Predicate: b})
		if err != nil {
			return
		}
		_, _ = p.Tag()
		_, _ = p.Branch()
		if _, err := Check(seal.New(seal.Data{Signer: seal.Signer{Certificate: &fulcio.Certificate{Issuer: githubIssuer}}}), p, Expectation{Source: "github.com/a/b"}); err == nil {
			t.Error("accepted for a certificate without a name")
		}
	})
}
