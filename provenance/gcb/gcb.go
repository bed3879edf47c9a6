// Package gcb verifies what Google Cloud Build says about the images that it has built, as
// "gcloud artifacts docker images describe --show-provenance --format json" prints it (specs transparency.md section 8).
package gcb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/internal/seal"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/slsa"
)

const (
	maxSize    = 16 << 20
	maxEntries = 64
	builder    = "https://cloudbuild.googleapis.com/GoogleHostedWorker"
	typeBuild  = "type.googleapis.com/google.devtools.cloudbuild.v1.Build"
	typeV1     = "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1"
)

// Key is a configured attestor key. Its ID is the whole resource name of the key version.
type Key struct {
	ID string
	dsse.Key
}

// keyForm are the key ids that Cloud Build uses. The region is one word and selects among configured keys; it is never
// a path.
var keyForm = regexp.MustCompile(`^projects/verified-builder/locations/([a-z0-9-]+)/keyRings/attestor/cryptoKeys/(builtByGCB|provenanceSigner|google-hosted-worker)/cryptoKeyVersions/1$`)

// KeyID is the key id of a name in short form: "global" or a region for builtByGCB, "provenanceSigner" or
// "google-hosted-worker" for the global keys that sign the pre-authentication encoding.
func KeyID(name string) string {
	switch name {
	case "provenanceSigner", "google-hosted-worker":
		return "projects/verified-builder/locations/global/keyRings/attestor/cryptoKeys/" + name + "/cryptoKeyVersions/1"
	}
	return "projects/verified-builder/locations/" + name + "/keyRings/attestor/cryptoKeys/builtByGCB/cryptoKeyVersions/1"
}

// Expectation is what the image must be.
type Expectation struct {
	Image   intoto.Digests // sha256 of the image manifest
	Source  string
	Builder string // "" or GoogleHostedWorker with or without version
	Tag     string
	Branch  string
}

type document struct {
	Image struct {
		Digest string `json:"digest"`
		Full   string `json:"fully_qualified_digest"`
	} `json:"image_summary"`
	Summary struct {
		Provenance []entry `json:"provenance"`
	} `json:"provenance_summary"`
}

type entry struct {
	Kind     string          `json:"kind"`
	Resource string          `json:"resourceUri"`
	Envelope json.RawMessage `json:"envelope"`
	Build    struct {
		V01 json.RawMessage `json:"intotoStatement"`
		V1  json.RawMessage `json:"inTotoSlsaProvenanceV1"`
	} `json:"build"`
}

// Is reports whether b looks like such a document.
func Is(b []byte) bool {
	var d struct {
		S json.RawMessage `json:"provenance_summary"`
	}
	return json.Unmarshal(b, &d) == nil && len(d.S) > 0
}

// Verify takes the first entry that a configured key has signed and holds it against e. Classes: malformed, signature
// (no entry is signed by a configured key), binding (another image, or a readable copy that says something else),
// policy.
func Verify(file []byte, keys []Key, e Expectation) (*seal.Attestation, *slsa.Build, error) {
	if len(file) > maxSize {
		return nil, nil, fault.New(fault.Malformed, "Cloud Build provenance of %d bytes; at most %d are read", len(file), maxSize)
	}
	var d document
	if err := jsonx.Unmarshal(file, &d, false); err != nil {
		return nil, nil, fault.Wrap(err, "Cloud Build provenance")
	}
	want := e.Image["sha256"]
	if want == "" || e.Source == "" {
		return nil, nil, fault.New(fault.Usage, "Cloud Build provenance needs the image's sha256 and the source that is expected")
	}
	if n := len(d.Summary.Provenance); n == 0 || n > maxEntries {
		return nil, nil, fault.New(fault.Malformed, "Cloud Build provenance with %d entries; 1 to %d are read", n, maxEntries)
	}
	var last error
	for i := range d.Summary.Provenance {
		x := &d.Summary.Provenance[i]
		env, key, err := x.signed(keys)
		if err != nil {
			last = err
			continue
		}
		sha := sha256.Sum256(file)
		a := seal.New(seal.Data{Form: "gcb", SHA256: hex.EncodeToString(sha[:]), PayloadType: env.PayloadType, Payload: env.Payload,
			Signer: seal.Signer{Name: key.Name, KeyID: key.ID, KeySHA256: key.SPKI()}})
		b, err := x.judge(&d, env.Payload, e, want)
		return a, b, fault.Wrap(err, "Cloud Build provenance")
	}
	return nil, nil, fault.Wrap(last, "Cloud Build provenance")
}

// signed finds a signature that holds.
func (x *entry) signed(keys []Key) (*dsse.Envelope, *Key, error) {
	env, err := dsse.Parse(x.Envelope)
	if err != nil {
		return nil, nil, err
	}
	if env.PayloadType != dsse.PayloadInToto {
		return nil, nil, fault.New(fault.Unsupported, "payload type %q", env.PayloadType)
	}
	for _, s := range env.Signatures {
		m := keyForm.FindStringSubmatch(s.KeyID)
		if m == nil {
			continue
		}
		for i := range keys {
			if keys[i].ID != s.KeyID {
				continue
			}
			message := dsse.PAE(env.PayloadType, env.Payload)
			if m[2] == "builtByGCB" {
				message = env.Payload // the regional keys sign the payload itself
			}
			if keys[i].Check(message, s.Sig) == nil {
				return env, &keys[i], nil
			}
		}
	}
	return nil, nil, fault.New(fault.Signature, "no signature holds under a key that is configured")
}

func (x *entry) judge(d *document, payload []byte, e Expectation, want string) (*slsa.Build, error) {
	copied := x.Build.V01
	if len(x.Build.V1) > 0 {
		copied = x.Build.V1
	}
	if err := sameData(copied, payload); err != nil {
		return nil, err
	}
	if x.Kind != "BUILD" {
		return nil, fault.New(fault.Policy, "an entry of kind %q", x.Kind)
	}
	for what, v := range map[string]string{"the resource": x.Resource, "the summary": d.Image.Digest, "the summary's full name": d.Image.Full} {
		if what == "the summary" && v != "sha256:"+want || what != "the summary" && !strings.HasSuffix(v, "@sha256:"+want) {
			return nil, fault.New(fault.Binding, "%s is about %q, the image is sha256:%s", what, v, want)
		}
	}
	s, err := intoto.Parse(payload)
	if err != nil {
		return nil, err
	}
	if _, err := s.Find(intoto.Digests{"sha256": want}); err != nil {
		return nil, err
	}
	if e.Branch != "" {
		return nil, fault.New(fault.Unsupported, "Cloud Build names no branch")
	}
	if s.PredicateType == slsa.PredicateV1 {
		return judgeV1(s, e)
	}
	return judgeV01(s, e)
}

// sameData compares the readable copy with what was signed. definedInMaterial is left aside: the copy has a string where
// the statement has a number.
func sameData(readable, signed []byte) error {
	var a, b any
	if len(readable) == 0 {
		return fault.New(fault.Malformed, "no readable copy of the statement")
	}
	if err := jsonx.Unmarshal(signed, &b, false); err != nil {
		return fault.Wrap(err, "signed statement")
	}
	if err := jsonx.Unmarshal(readable, &a, false); err != nil {
		return fault.Wrap(err, "readable copy")
	}
	s, ok := b.(map[string]any)
	c, cok := a.(map[string]any)
	if !ok || !cok {
		return fault.New(fault.Malformed, "a statement that is no object")
	}
	// The signed statement of v0.1 holds its predicate twice, under "predicate" and "slsaProvenance"; the copy has one.
	if _, twice := s["slsaProvenance"]; twice {
		if _, has := c["predicate"]; !has {
			if p := s["predicate"]; p != nil && !reflect.DeepEqual(p, s["slsaProvenance"]) {
				return fault.New(fault.Binding, "the signed statement holds two different predicates")
			}
			delete(s, "predicate")
		}
	} else if p, has := c["slsaProvenance"]; has && c["predicate"] == nil {
		c["predicate"] = p
		delete(c, "slsaProvenance")
	}
	strip(a)
	strip(b)
	if !reflect.DeepEqual(a, b) {
		return fault.New(fault.Binding, "the readable copy says something else than the signed statement")
	}
	return nil
}

func strip(v any) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for _, k := range []string{"predicate", "slsaProvenance"} {
		if p, ok := m[k].(map[string]any); ok {
			if r, ok := p["recipe"].(map[string]any); ok {
				delete(r, "definedInMaterial")
			}
		}
	}
}

type predicateV01 struct {
	Builder struct {
		ID string `json:"id"`
	} `json:"builder"`
	Recipe struct {
		Type       string          `json:"type"`
		Defined    json.RawMessage `json:"definedInMaterial"`
		EntryPoint string          `json:"entryPoint"`
		Arguments  struct {
			Type          string            `json:"@type"`
			Substitutions map[string]string `json:"substitutions"`
		} `json:"arguments"`
	} `json:"recipe"`
	Metadata struct {
		Run      string    `json:"buildInvocationId"`
		Finished time.Time `json:"buildFinishedOn"`
	} `json:"metadata"`
	Materials []struct {
		URI    string         `json:"uri"`
		Digest intoto.Digests `json:"digest"`
	} `json:"materials"`
}

func judgeV01(s *intoto.Statement, e Expectation) (*slsa.Build, error) {
	if s.PredicateType != slsa.PredicateV01 {
		return nil, fault.New(fault.Unsupported, "predicate type %q is not one of Cloud Build", s.PredicateType)
	}
	var p predicateV01
	if err := jsonx.Unmarshal(s.Predicate, &p, false); err != nil {
		return nil, err
	}
	version, ok := strings.CutPrefix(p.Builder.ID, builder+"@")
	if !ok || version != "v0.2" && version != "v0.3" {
		return nil, fault.New(fault.Policy, "built by %q, which is not Cloud Build", p.Builder.ID)
	}
	if err := expectedBuilder(e.Builder, p.Builder.ID); err != nil {
		return nil, err
	}
	t := p.Recipe.Type
	if version == "v0.2" && t != p.Builder.ID ||
		version == "v0.3" && !strings.HasPrefix(t, "https://cloudbuild.googleapis.com/CloudBuildYaml@") && !strings.HasPrefix(t, "https://cloudbuild.googleapis.com/CloudBuildSteps@") {
		return nil, fault.New(fault.Policy, "recipe type %q is not one of builder %s", t, version)
	}
	if p.Recipe.Arguments.Type != typeBuild {
		return nil, fault.New(fault.Policy, "recipe arguments of type %q", p.Recipe.Arguments.Type)
	}
	if len(p.Materials) == 0 {
		return nil, fault.New(fault.Policy, "the statement names no source")
	}
	uri := strings.TrimPrefix(p.Materials[0].URI, "git+")
	repo, commit, ok := sourceV01(uri, version, e.Source)
	if !ok {
		return nil, fault.New(fault.Policy, "built from %q, expected is %q", p.Materials[0].URI, e.Source)
	}
	if commit == "" {
		commit = p.Materials[0].Digest["sha1"]
	}
	b := &slsa.Build{Builder: p.Builder.ID, Source: repo, Commit: commit, Workflow: p.Recipe.EntryPoint, Run: p.Metadata.Run, Finished: p.Metadata.Finished}
	if e.Tag != "" {
		tag := p.Recipe.Arguments.Substitutions["TAG_NAME"]
		if tag != e.Tag {
			return nil, fault.New(fault.Policy, "built for tag %q, expected is %q", tag, e.Tag)
		}
		b.Ref = "refs/tags/" + tag
	}
	return b, nil
}

// sourceV01 compares the first material: v0.2 writes REPO/commit/C or REPO#…, v0.3 the repository, or with a fragment.
func sourceV01(uri, version, expected string) (repo, commit string, ok bool) {
	want := web(expected)
	rest, found := strings.CutPrefix(uri, want)
	switch {
	case !found:
		return "", "", false
	case version == "v0.2" && strings.HasPrefix(rest, "/commit/"):
		return want, rest[len("/commit/"):], true
	case strings.HasPrefix(rest, "#"):
		return want, rest[1:], true
	case version == "v0.3" && rest == "":
		return want, "", true
	}
	return "", "", false
}

// web adds https:// to a bare repository.
func web(s string) string {
	s = strings.TrimPrefix(s, "git+")
	if !strings.Contains(s, "://") {
		return "https://" + s
	}
	return s
}

func expectedBuilder(want, have string) error {
	if want == "" {
		return nil
	}
	name, _, versioned := strings.Cut(want, "@")
	if h, _, _ := strings.Cut(have, "@"); name != h || versioned && want != have {
		return fault.New(fault.Policy, "built by %q, expected is %q", have, want)
	}
	return nil
}

func judgeV1(s *intoto.Statement, e Expectation) (*slsa.Build, error) {
	var p struct {
		Definition struct {
			Type     string `json:"buildType"`
			External struct {
				Config struct {
					Repository string `json:"repository"`
					Ref        string `json:"ref"`
					Path       string `json:"path"`
				} `json:"buildConfigSource"`
				Substitutions map[string]string `json:"substitutions"`
			} `json:"externalParameters"`
			Dependencies []struct {
				URI    string         `json:"uri"`
				Digest intoto.Digests `json:"digest"`
			} `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		Run struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
			Metadata struct {
				ID       string    `json:"invocationId"`
				Finished time.Time `json:"finishedOn"`
			} `json:"metadata"`
		} `json:"runDetails"`
	}
	if err := jsonx.Unmarshal(s.Predicate, &p, false); err != nil {
		return nil, err
	}
	if p.Run.Builder.ID != builder {
		return nil, fault.New(fault.Policy, "built by %q, which is not Cloud Build", p.Run.Builder.ID)
	}
	if err := expectedBuilder(e.Builder, p.Run.Builder.ID); err != nil {
		return nil, err
	}
	if p.Definition.Type != typeV1 {
		return nil, fault.New(fault.Policy, "build type %q", p.Definition.Type)
	}
	c := p.Definition.External.Config
	repo, _, _ := strings.Cut(strings.TrimPrefix(c.Repository, "git+"), "@")
	if repo == "" || repo != web(e.Source) {
		return nil, fault.New(fault.Policy, "built from %q, expected is %q", c.Repository, e.Source)
	}
	b := &slsa.Build{Builder: p.Run.Builder.ID, Source: repo, Ref: c.Ref, Workflow: c.Path, Run: p.Run.Metadata.ID, Finished: p.Run.Metadata.Finished}
	for _, d := range p.Definition.Dependencies {
		if u, _, _ := strings.Cut(strings.TrimPrefix(d.URI, "git+"), "@"); u == repo && b.Commit == "" {
			if b.Commit = d.Digest["gitCommit"]; b.Commit == "" {
				b.Commit = d.Digest["sha1"]
			}
		}
	}
	if e.Tag != "" {
		tag := p.Definition.External.Substitutions["TAG_NAME"]
		if tag != e.Tag || c.Ref != "refs/tags/"+tag && c.Ref != tag {
			return nil, fault.New(fault.Policy, "built for tag %q (ref %q), expected is %q", tag, c.Ref, e.Tag)
		}
	}
	return b, nil
}
