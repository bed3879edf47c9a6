package slsa

import (
	"encoding/json"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/fulcio"
)

// The statement of npm's command line is the word of the workflow that it runs in, and not of a builder: whatever it
// says must be in the certificate too, or be left out (specs transparency.md section 5, "Forgeable statements").

const (
	runnerID       = "https://github.com/actions/runner"
	runnerHostedID = runnerID + "/github-hosted"
)

func isNPM(p *Provenance) bool {
	return p.BuildType == buildNPMCLI1 || p.BuildType == buildNPMCLI2 || p.BuildType == buildNPMWorkflowV1
}

func npmBuilder(id string) bool {
	n, _ := splitRef(id)
	return n == runnerID || n == runnerHostedID
}

func checkNPM(p *Provenance, c *fulcio.Certificate, e Expectation) (*Build, error) {
	if !npmBuilder(p.Builder) {
		return nil, fault.New(fault.Policy, "the statement names the builder %q; npm's are run by %s", p.Builder, runnerHostedID)
	}
	if e.Builder != "" && !npmBuilder(e.Builder) {
		return nil, fault.New(fault.Policy, "built by %q, expected is %q", p.Builder, e.Builder)
	}
	if c.Runner != "github-hosted" {
		return nil, fault.New(fault.Policy, "the certificate says that the build ran on a %q runner", c.Runner)
	}
	if err := checkSource(p, c, e, p.v1 != nil); err != nil {
		return nil, err
	}
	if len(p.Subjects) != 1 || p.Subjects[0].Digest["sha512"] == "" {
		return nil, fault.New(fault.Policy, "an npm statement has exactly one subject, with a sha512 digest")
	}
	if !p.Started.IsZero() || !p.Finished.IsZero() {
		return nil, fault.New(fault.Policy, "the statement gives times of the build, which nothing vouches for")
	}
	var err error
	if p.v1 != nil {
		err = npmV1(p, c)
	} else {
		err = npmV02(p, c)
	}
	if err != nil {
		return nil, err
	}
	if err := checkCertificate(p, c); err != nil {
		return nil, err
	}
	return finish(p, c, e)
}

// runOf is "…/actions/runs/ID/attempts/N" of the certificate, taken apart.
func runOf(c *fulcio.Certificate) (id, attempt string) {
	_, rest, _ := strings.Cut(c.RunURI, "/actions/runs/")
	id, attempt, _ = strings.Cut(rest, "/attempts/")
	return id, attempt
}

func npmV1(p *Provenance, c *fulcio.Certificate) error {
	if len(p.v1.BuildDefinition.ResolvedDependencies) != 1 {
		return fault.New(fault.Policy, "an npm statement has exactly one dependency, this one has %d", len(p.v1.BuildDefinition.ResolvedDependencies))
	}
	if len(p.v1.RunDetails.Byproducts) > 0 || len(p.v1.RunDetails.Builder.BuilderDependencies) > 0 {
		return fault.New(fault.Policy, "the statement names byproducts or dependencies of the builder, which nothing vouches for")
	}
	if p.Run != c.RunURI {
		return fault.New(fault.Policy, "the statement is of run %q, the certificate of %q", p.Run, c.RunURI)
	}
	for k := range p.internal {
		if k != "github" {
			return fault.New(fault.Policy, "internal parameter %q is not one that npm writes", k)
		}
	}
	var gh map[string]json.RawMessage
	if err := json.Unmarshal(p.internal["github"], &gh); err != nil {
		return fault.New(fault.Malformed, "internalParameters.github: %w", err)
	}
	return equalKeys(gh, map[string]string{"event_name": c.Trigger, "repository_id": c.SourceID, "repository_owner_id": c.SourceOwnerID})
}

func npmV02(p *Provenance, c *fulcio.Certificate) error {
	if len(p.v02.Materials) != 1 {
		return fault.New(fault.Policy, "an npm statement has exactly one material, this one has %d", len(p.v02.Materials))
	}
	if m := p.v02.Metadata; m != nil && (m.Reproducible || m.Completeness.Environment || m.Completeness.Materials || m.Completeness.Parameters) {
		return fault.New(fault.Policy, "the statement claims to be complete or reproducible, which nothing vouches for")
	}
	for what, raw := range map[string]json.RawMessage{"parameters": p.v02.Invocation.Parameters, "buildConfig": p.v02.BuildConfig} {
		if s := strings.TrimSpace(string(raw)); s != "" && s != "null" && s != "{}" {
			return fault.New(fault.Policy, "the statement has %s, which nothing vouches for", what)
		}
	}
	id, attempt := runOf(c)
	_, certWorkflowRef := splitRef(c.BuildConfigURI)
	return equalKeys(p.env, map[string]string{
		"GITHUB_EVENT_NAME": c.Trigger, "GITHUB_REF": c.SourceRef, "GITHUB_REPOSITORY": strings.TrimPrefix(c.SourceURI, "https://github.com/"),
		"GITHUB_REPOSITORY_ID": c.SourceID, "GITHUB_REPOSITORY_OWNER_ID": c.SourceOwnerID, "GITHUB_RUN_ID": id, "GITHUB_RUN_ATTEMPT": attempt,
		"GITHUB_SHA": c.SourceSHA, "GITHUB_WORKFLOW_REF": strings.TrimPrefix(c.BuildConfigURI, "https://github.com/"),
		"GITHUB_WORKFLOW_SHA": c.BuildConfigSHA, "GITHUB_REF_NAME": strings.TrimPrefix(strings.TrimPrefix(certWorkflowRef, "refs/tags/"), "refs/heads/"),
	})
}

// equalKeys demands that every member of have is named in want and equal to it.
func equalKeys(have map[string]json.RawMessage, want map[string]string) error {
	for k, raw := range have {
		w, known := want[k]
		if !known {
			return fault.New(fault.Policy, "the statement says %q, for which the certificate has no value", k)
		}
		if text(raw) != w {
			return fault.New(fault.Policy, "the statement's %s is %s, the certificate's %q", k, raw, w)
		}
	}
	return nil
}
