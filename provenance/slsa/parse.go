// Package slsa reads SLSA provenance (v0.1 as Cloud Build writes it, v0.2, v1) into one form, and holds it against who
// signed it and against what is expected: builder, source, tag, branch (specs transparency.md sections 4 to 6).
package slsa

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/intoto"
)

// Predicate types.
const (
	PredicateV01 = "https://slsa.dev/provenance/v0.1"
	PredicateV02 = "https://slsa.dev/provenance/v0.2"
	PredicateV1  = "https://slsa.dev/provenance/v1"
)

// IsPredicate reports whether t is a provenance that [Parse] reads.
func IsPredicate(t string) bool { return t == PredicateV02 || t == PredicateV1 }

// Provenance is one statement's word about a build, whatever its version. Nothing in it is tied to anybody before a
// rule has compared it with the signer.
type Provenance struct {
	Predicate  string
	Builder    string // builder.id
	BuildType  string
	TriggerURI string // what started the build: "git+https://…" with ref
	SourceURI  string // what was built
	Commit     string // of the source, hex; "" when not stated
	EntryPoint string
	Run        string // invocation id
	Started    time.Time
	Finished   time.Time
	Subjects   []intoto.Resource

	external map[string]json.RawMessage // v1 externalParameters
	internal map[string]json.RawMessage // v1 internalParameters
	env      map[string]json.RawMessage // v0.2 invocation.environment
	v02      *predicateV02
	v1       *predicateV1
}

type descriptor struct {
	URI              string          `json:"uri"`
	Digest           intoto.Digests  `json:"digest"`
	Name             string          `json:"name"`
	DownloadLocation string          `json:"downloadLocation"`
	MediaType        string          `json:"mediaType"`
	Content          string          `json:"content"`
	Annotations      json.RawMessage `json:"annotations"`
}

func (d descriptor) commit() string {
	for _, alg := range []string{"gitCommit", "sha1"} {
		if v := d.Digest[alg]; v != "" {
			return v
		}
	}
	return ""
}

type predicateV02 struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	BuildType  string `json:"buildType"`
	Invocation struct {
		ConfigSource struct {
			URI        string         `json:"uri"`
			Digest     intoto.Digests `json:"digest"`
			EntryPoint string         `json:"entryPoint"`
		} `json:"configSource"`
		Parameters  json.RawMessage            `json:"parameters"`
		Environment map[string]json.RawMessage `json:"environment"`
	} `json:"invocation"`
	BuildConfig json.RawMessage `json:"buildConfig"`
	Metadata    *struct {
		BuildInvocationID string     `json:"buildInvocationID"`
		BuildInvocationId string     `json:"buildInvocationId"`
		BuildStartedOn    *time.Time `json:"buildStartedOn"`
		BuildFinishedOn   *time.Time `json:"buildFinishedOn"`
		Completeness      struct {
			Parameters  bool `json:"parameters"`
			Environment bool `json:"environment"`
			Materials   bool `json:"materials"`
		} `json:"completeness"`
		Reproducible bool `json:"reproducible"`
	} `json:"metadata"`
	Materials []descriptor `json:"materials"`
}

type predicateV1 struct {
	BuildDefinition struct {
		BuildType            string                     `json:"buildType"`
		ExternalParameters   map[string]json.RawMessage `json:"externalParameters"`
		InternalParameters   map[string]json.RawMessage `json:"internalParameters"`
		ResolvedDependencies []descriptor               `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID                  string            `json:"id"`
			Version             map[string]string `json:"version"`
			BuilderDependencies []descriptor      `json:"builderDependencies"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string     `json:"invocationId"`
			AltID        string     `json:"invocationID"`
			StartedOn    *time.Time `json:"startedOn"`
			FinishedOn   *time.Time `json:"finishedOn"`
		} `json:"metadata"`
		Byproducts []descriptor `json:"byproducts"`
	} `json:"runDetails"`
}

// Parse reads the provenance in a statement. It decodes strictly: a member that the version does not define, outside
// its free-form objects, is malformed, because nobody can say whether leaving it out changes the meaning.
func Parse(s *intoto.Statement) (*Provenance, error) {
	p := &Provenance{Predicate: s.PredicateType, Subjects: s.Subjects}
	var err error
	switch s.PredicateType {
	case PredicateV02:
		err = p.readV02(s.Predicate)
	case PredicateV1:
		err = p.readV1(s.Predicate)
	default:
		return nil, fault.New(fault.Unsupported, "predicate type %q is not provenance that is read here", s.PredicateType)
	}
	if err == nil && (p.Builder == "" || p.BuildType == "") {
		err = fault.New(fault.Malformed, "no builder id or no build type")
	}
	return p, fault.Wrap(err, "SLSA provenance")
}

func (p *Provenance) readV02(raw []byte) error {
	var v predicateV02
	if err := jsonx.Unmarshal(raw, &v, true); err != nil {
		return err
	}
	p.v02, p.env = &v, v.Invocation.Environment
	p.Builder, p.BuildType = v.Builder.ID, v.BuildType
	p.TriggerURI, p.EntryPoint = v.Invocation.ConfigSource.URI, v.Invocation.ConfigSource.EntryPoint
	p.Commit = descriptor{Digest: v.Invocation.ConfigSource.Digest}.commit()
	if len(v.Materials) > 0 {
		p.SourceURI = v.Materials[0].URI
		if c := v.Materials[0].commit(); c != p.Commit {
			return fault.New(fault.Malformed, "the configuration is of commit %q, the first material of %q", p.Commit, c)
		}
	}
	if m := v.Metadata; m != nil {
		p.Run = m.BuildInvocationID
		if p.Run == "" {
			p.Run = m.BuildInvocationId
		}
		p.times(m.BuildStartedOn, m.BuildFinishedOn)
	}
	return nil
}

func (p *Provenance) times(from, to *time.Time) {
	if from != nil {
		p.Started = *from
	}
	if to != nil {
		p.Finished = *to
	}
}

func (p *Provenance) readV1(raw []byte) error {
	var v predicateV1
	if err := jsonx.Unmarshal(raw, &v, true); err != nil {
		return err
	}
	p.v1, p.external, p.internal = &v, v.BuildDefinition.ExternalParameters, v.BuildDefinition.InternalParameters
	p.Builder, p.BuildType = v.RunDetails.Builder.ID, v.BuildDefinition.BuildType
	p.Run = v.RunDetails.Metadata.InvocationID
	if p.Run == "" {
		p.Run = v.RunDetails.Metadata.AltID
	}
	p.times(v.RunDetails.Metadata.StartedOn, v.RunDetails.Metadata.FinishedOn)
	if d := v.BuildDefinition.ResolvedDependencies; len(d) > 0 {
		p.SourceURI, p.Commit = d[0].URI, d[0].commit()
	}
	return p.trigger()
}

// workflow is externalParameters.workflow of GitHub's build types.
type workflow struct {
	Ref        string `json:"ref"`
	Repository string `json:"repository"`
	Path       string `json:"path"`
}

// parametersOf are the external parameters that each build type defines; any other is refused (SLSA v1.0, "Verifying
// artifacts", step 2: unrecognized parameters).
var parametersOf = map[string][]string{
	buildWorkflowV1:     {"workflow", "inputs", "vars"},
	buildNPMWorkflowV1:  {"workflow", "inputs", "vars"},
	buildContainerBased: {"source", "builderImage", "configPath", "buildConfig"},
	buildDelegator:      {"inputs", "vars"},
}

// Build types of GitHub Actions.
const (
	buildWorkflowV1     = "https://actions.github.io/buildtypes/workflow/v1"
	buildNPMWorkflowV1  = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1"
	buildContainerBased = "https://slsa.dev/container-based-build/v0.1?draft"
	buildDelegator      = generatorRepo + "/delegator-generic@v0"
	buildGeneric        = generatorRepo + "/generic@v1"
	buildGo             = generatorRepo + "/go@v1"
	buildContainer      = generatorRepo + "/container@v1"
	buildLegacy         = generatorRepo + "@v1"
	buildLegacyGo       = generatorRepo + "-go@v1"
	buildNPMCLI1        = "https://github.com/npm/cli/gha@v1"
	buildNPMCLI2        = "https://github.com/npm/cli/gha/v2"
	generatorRepo       = "https://github.com/slsa-framework/slsa-github-generator"
	generatorPath       = generatorRepo + "/.github/workflows/"
)

// trigger finds what started a v1 build.
func (p *Provenance) trigger() error {
	known, ok := parametersOf[p.BuildType]
	if !ok {
		return nil // kept and shown; no rule accepts it by itself
	}
	for name := range p.external {
		if !contains(known, name) {
			return fault.New(fault.Policy, "external parameter %q is not one of build type %s; whether it may be ignored is not known", name, p.BuildType)
		}
	}
	switch p.BuildType {
	case buildWorkflowV1, buildNPMWorkflowV1:
		var w workflow
		if err := jsonx.Unmarshal(p.external["workflow"], &w, true); err != nil {
			return fault.Wrap(err, "externalParameters.workflow")
		}
		p.TriggerURI, p.EntryPoint = gitURI(w.Repository)+"@"+w.Ref, w.Path
	case buildContainerBased:
		var d descriptor
		if err := jsonx.Unmarshal(p.external["source"], &d, true); err != nil {
			return fault.Wrap(err, "externalParameters.source")
		}
		if c := d.commit(); d.URI != p.SourceURI || c != p.Commit {
			return fault.New(fault.Malformed, "externalParameters.source is %q at %q, the first dependency %q at %q", d.URI, c, p.SourceURI, p.Commit)
		}
		p.githubTrigger()
	case buildDelegator:
		p.githubTrigger()
	}
	return nil
}

// githubTrigger takes the trigger from the GITHUB_… values in internalParameters: "org/repo/path@ref".
func (p *Provenance) githubTrigger() {
	full := text(p.internal["GITHUB_WORKFLOW_REF"])
	at := strings.LastIndexByte(full, '@')
	if at < 0 {
		return
	}
	parts := strings.SplitN(full[:at], "/", 3)
	if len(parts) < 3 {
		return
	}
	p.TriggerURI = "git+https://github.com/" + parts[0] + "/" + parts[1] + "@" + full[at+1:]
	p.EntryPoint = parts[2]
}

// text decodes a JSON string or number as text; "" for anything else.
func text(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	if s, err := jsonx.String(raw); err == nil {
		return s
	}
	if b := bytes.TrimSpace(raw); len(b) > 0 && b[0] >= '0' && b[0] <= '9' {
		return string(b)
	}
	return ""
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}

// gitURI adds "git+https://" or "git+" to a repository that lacks it; nothing else is changed.
func gitURI(s string) string {
	switch {
	case s == "" || strings.HasPrefix(s, "git+"):
		return s
	case strings.HasPrefix(s, "https://"):
		return "git+" + s
	case strings.Contains(s, "://"):
		return s
	}
	return "git+https://" + s
}

// splitRef splits at the last "@".
func splitRef(uri string) (repo, ref string) {
	if i := strings.LastIndexByte(uri, '@'); i >= 0 {
		return uri[:i], uri[i+1:]
	}
	return uri, ""
}
