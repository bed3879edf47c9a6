package slsa

import (
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/fulcio"
	"github.com/assay-tee/assay/provenance/internal/seal"
)

// Expectation is what a build must be, in the terms of slsa-verifier's flags. Empty fields demand nothing, but a source
// is always needed: a good build of something else is no answer.
type Expectation struct {
	Source       string            // repository, "github.com/org/repo"
	Builder      string            // builder id; without "@version" any release of it
	Tag          string            // exact tag
	VersionedTag string            // "v1.2" accepts v1.2.x
	Branch       string            // branch
	Inputs       map[string]string // workflow inputs, each equal
	Hosted       bool              // the runner must be one of GitHub's
}

// Build is what a statement says and a rule has tied to its signer.
type Build struct {
	Builder  string // id with version
	Source   string // repository URI without ref
	Ref      string
	Commit   string
	Workflow string // that ran, where known
	Run      string
	Runner   string // "github-hosted", "self-hosted", ""
	Finished time.Time
}

const githubIssuer = "https://token.actions.githubusercontent.com"

// trusted are the workflows whose statements are their own and not those of whom they build for.
var trusted = map[string]rule{
	generatorPath + "generator_generic_slsa3.yml":                                     {types: []string{buildGeneric, buildLegacy}},
	generatorPath + "builder_go_slsa3.yml":                                            {types: []string{buildGo, buildLegacyGo}},
	generatorPath + "builder_container-based_slsa3.yml":                               {types: []string{buildContainerBased}},
	generatorPath + "generator_container_slsa3.yml":                                   {types: []string{buildContainer}},
	generatorPath + "delegator_generic_slsa3.yml":                                     {types: []string{buildDelegator}, delegator: true},
	generatorPath + "delegator_lowperms-generic_slsa3.yml":                            {types: []string{buildDelegator}, delegator: true},
	bazelContrib + ".github/.github/workflows/release_ruleset.yaml":                   {types: []string{buildWorkflowV1}},
	bazelContrib + "publish-to-bcr/.github/workflows/publish.yaml":                    {types: []string{buildWorkflowV1}},
	"https://github.com/jreleaser/release-action/.github/workflows/builder_slsa3.yml": {types: []string{buildDelegator}, suffix: "-java"},
}

const bazelContrib = "https://github.com/bazel-contrib/"

type rule struct {
	types     []string
	delegator bool
	suffix    string // of the release tags
}

// Check ties p to the signer of a, and compares it with e. Its classes: policy (well signed, but not what is expected, or
// the signer may not speak for the builder that is named), scope (a signer who is no builder).
func Check(a *seal.Attestation, p *Provenance, e Expectation) (*Build, error) {
	if e.Source == "" {
		return nil, fault.New(fault.Usage, "name the source that is expected: --source-uri REPOSITORY")
	}
	s := a.Signer()
	if s.Certificate == nil {
		return checkKey(p, e)
	}
	c := s.Certificate
	if c.Issuer != githubIssuer {
		return nil, fault.New(fault.Policy, "the certificate was issued on the word of %q; builders are known on that of %q", c.Issuer, githubIssuer)
	}
	if isNPM(p) {
		return checkNPM(p, c, e)
	}
	if err := checkBuilder(p, c, e); err != nil {
		return nil, err
	}
	if err := checkSource(p, c, e, p.BuildType == buildDelegator); err != nil {
		return nil, err
	}
	if err := checkCertificate(p, c); err != nil {
		return nil, err
	}
	return finish(p, c, e)
}

// checkKey is for statements that a configured key has signed: the key stands for the builder.
func checkKey(p *Provenance, e Expectation) (*Build, error) {
	if e.Builder == "" {
		return nil, fault.New(fault.Usage, "a statement signed by a key needs the builder that the key is of: --builder-id ID")
	}
	if !sameBuilder(e.Builder, p.Builder) {
		return nil, fault.New(fault.Policy, "built by %q, expected is %q", p.Builder, e.Builder)
	}
	repo, _ := splitRef(p.SourceURI)
	want := gitURI(e.Source)
	if gitURI(repo) != want {
		return nil, fault.New(fault.Policy, "built from %q, expected is %q", p.SourceURI, want)
	}
	if p.TriggerURI != "" {
		if t, _ := splitRef(p.TriggerURI); gitURI(t) != want {
			return nil, fault.New(fault.Policy, "started by %q, expected is %q", p.TriggerURI, want)
		}
	}
	return finish(p, nil, e)
}

// checkBuilder is rules 1 to 4 of specs transparency.md section 5.
func checkBuilder(p *Provenance, c *fulcio.Certificate, e Expectation) error {
	if c.SANKind != "uri" || !strings.HasPrefix(c.SAN, "https://github.com/") {
		return fault.New(fault.Policy, "signed by %q, which is no workflow of GitHub", c.SAN)
	}
	name, ref := splitRef(c.SAN)
	if strings.Contains(name, "@") {
		return fault.New(fault.Malformed, "the signer %q has two refs", c.SAN)
	}
	r, known := trusted[name]
	if !known {
		if e.Builder == "" || builderName(e.Builder) != name {
			return fault.New(fault.Policy, "signed by the workflow %q, which is no builder that is known, nor the one that is expected (%q)", name, e.Builder)
		}
		r = rule{types: []string{buildWorkflowV1, buildGeneric, buildGo, buildContainerBased, buildDelegator}}
	}
	if !isRelease(ref, r.suffix) {
		return fault.New(fault.Policy, "the builder ran at %q; only releases (refs/tags/vX.Y.Z) are builders", ref)
	}
	if !contains(r.types, p.BuildType) {
		return fault.New(fault.Policy, "the builder %q does not make builds of type %q", name, p.BuildType)
	}
	if !r.delegator {
		if canonicalBuilder(p.Builder) != c.SAN {
			return fault.New(fault.Policy, "the statement names the builder %q, but %q has signed it", p.Builder, c.SAN)
		}
		if e.Builder != "" && !sameBuilder(e.Builder, c.SAN) {
			return fault.New(fault.Policy, "built by %q, expected is %q", c.SAN, e.Builder)
		}
		return nil
	}
	dname, dref := splitRef(p.Builder)
	if strings.Contains(dname, "@") || !isRelease(canonicalRef(dref), "") && !isRelease(canonicalRef(dref), "-java") {
		return fault.New(fault.Policy, "the delegated builder %q is not at a release", p.Builder)
	}
	if e.Builder == "" {
		if !strings.HasPrefix(dname, generatorPath) {
			return fault.New(fault.Policy, "built by %q, which nobody named: --builder-id %s", p.Builder, dname)
		}
		return nil
	}
	if !sameBuilder(e.Builder, p.Builder) {
		return fault.New(fault.Policy, "built by %q, expected is %q", p.Builder, e.Builder)
	}
	return nil
}

func builderName(id string) string { n, _ := splitRef(id); return n }

// canonicalRef turns v1.2.3 into refs/tags/v1.2.3.
func canonicalRef(ref string) string {
	if ref != "" && !strings.HasPrefix(ref, "refs/") {
		return "refs/tags/" + ref
	}
	return ref
}

func canonicalBuilder(id string) string {
	n, r := splitRef(id)
	if r == "" {
		return n
	}
	return n + "@" + canonicalRef(r)
}

// sameBuilder compares what a user names with what was found: a name without version means any version.
func sameBuilder(want, have string) bool {
	wn, wr := splitRef(want)
	hn, hr := splitRef(have)
	return wn == hn && (wr == "" || canonicalRef(wr) == canonicalRef(hr))
}

// checkSource is rule 5: certificate, trigger and source agree with the expectation and with each other.
func checkSource(p *Provenance, c *fulcio.Certificate, e Expectation, refMayMiss bool) error {
	want := gitURI(e.Source)
	if c.SourceURI == "" || gitURI(c.SourceURI) != want {
		return fault.New(fault.Policy, "the certificate was issued to a build of %q, expected is %q", c.SourceURI, want)
	}
	trigger, tref := splitRef(p.TriggerURI)
	if trigger != want {
		return fault.New(fault.Policy, "started from %q, expected is %q", p.TriggerURI, want)
	}
	if tref == "" {
		return fault.New(fault.Policy, "the trigger %q names no ref", p.TriggerURI)
	}
	source, sref := splitRef(p.SourceURI)
	if source != want {
		return fault.New(fault.Policy, "built from %q, expected is %q", p.SourceURI, want)
	}
	if sref != tref && !(sref == "" && refMayMiss) {
		return fault.New(fault.Policy, "started for %q, but built from %q", tref, sref)
	}
	return nil
}

// checkCertificate holds the rest of the statement against the certificate: what both say must be equal.
func checkCertificate(p *Provenance, c *fulcio.Certificate) error {
	_, ref := splitRef(p.TriggerURI)
	run := strings.TrimPrefix(p.Run, "https://github.com/")
	certRun := strings.TrimPrefix(c.RunURI, "https://github.com/")
	for _, x := range []struct{ what, statement, certificate string }{
		{"commit", p.Commit, c.SourceSHA},
		{"ref", ref, c.SourceRef},
		{"event", text(p.github("EVENT_NAME")), c.Trigger},
		{"repository id", text(p.github("REPOSITORY_ID")), c.SourceID},
		{"owner id", text(p.github("REPOSITORY_OWNER_ID")), c.SourceOwnerID},
		{"runner", text(p.github("RUNNER_ENVIRONMENT")), c.Runner},
	} {
		if x.statement != "" && x.certificate != "" && x.statement != x.certificate {
			return fault.New(fault.Policy, "the statement's %s is %q, the certificate's %q", x.what, x.statement, x.certificate)
		}
	}
	if strings.Contains(run, "/actions/runs/") && certRun != "" && run != certRun {
		return fault.New(fault.Policy, "the statement is of run %q, the certificate of %q", p.Run, c.RunURI)
	}
	if p.Commit == "" {
		return fault.New(fault.Policy, "the statement names no commit")
	}
	if c.BuildConfigURI != "" && p.BuildType == buildWorkflowV1 {
		repo, _ := splitRef(p.TriggerURI)
		want := strings.TrimPrefix(repo, "git+") + "/" + p.EntryPoint + "@" + ref
		if c.BuildConfigURI != want {
			return fault.New(fault.Policy, "the statement names the workflow %q, the certificate %q", want, c.BuildConfigURI)
		}
	}
	return nil
}

// finish compares what remains of the expectation and puts the build together.
func finish(p *Provenance, c *fulcio.Certificate, e Expectation) (*Build, error) {
	if e.Tag != "" {
		tag, err := p.Tag()
		if err != nil {
			return nil, err
		}
		if tag != e.Tag {
			return nil, fault.New(fault.Policy, "built for tag %q, expected is %q", tag, e.Tag)
		}
	}
	if e.VersionedTag != "" {
		want, ok := parseVersion(e.VersionedTag)
		if !ok {
			return nil, fault.New(fault.Usage, "%q is no version like v1.2", e.VersionedTag)
		}
		tag, err := p.Tag()
		if err != nil {
			return nil, err
		}
		have, ok := parseVersion(tag)
		if !ok || !want.covers(have) {
			return nil, fault.New(fault.Policy, "built for tag %q, expected is a version of %q", tag, e.VersionedTag)
		}
	}
	if e.Branch != "" {
		branch, err := p.Branch()
		if err != nil {
			return nil, err
		}
		if branch != e.Branch {
			return nil, fault.New(fault.Policy, "built for branch %q, expected is %q", branch, e.Branch)
		}
	}
	if len(e.Inputs) > 0 {
		have, err := p.inputs()
		if err != nil {
			return nil, err
		}
		for k, v := range e.Inputs {
			if got, ok := have[k]; !ok || got != v {
				return nil, fault.New(fault.Policy, "workflow input %q is %q, expected is %q", k, got, v)
			}
		}
	}
	repo, ref := splitRef(p.SourceURI)
	if ref == "" {
		_, ref = splitRef(p.TriggerURI)
	}
	b := &Build{Builder: p.Builder, Source: repo, Ref: ref, Commit: p.Commit, Workflow: p.EntryPoint, Run: p.Run, Finished: p.Finished}
	if c != nil {
		b.Runner = c.Runner
		if c.RunURI != "" {
			b.Run = c.RunURI
		}
	}
	if e.Hosted && b.Runner != "github-hosted" {
		return nil, fault.New(fault.Policy, "ran on a %q runner; one of GitHub's is demanded", b.Runner)
	}
	return b, nil
}
