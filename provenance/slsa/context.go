package slsa

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// github returns one value of the GitHub context as the build's version writes it, by its name in GITHUB_… form.
func (p *Provenance) github(name string) json.RawMessage {
	if p.v02 != nil {
		for _, k := range []string{"github_" + strings.ToLower(name), "GITHUB_" + name} {
			if v, ok := p.env[k]; ok {
				return v
			}
		}
		return nil
	}
	if v, ok := p.internal["GITHUB_"+name]; ok {
		return v
	}
	var gh map[string]json.RawMessage
	if json.Unmarshal(p.internal["github"], &gh) != nil {
		return nil
	}
	return gh[strings.ToLower(name)]
}

// ref is the git ref that the build ran for, and its kind: "tag" or "branch".
func (p *Provenance) ref() (ref, kind string) {
	ref = text(p.github("REF"))
	kind = text(p.github("REF_TYPE"))
	if ref == "" {
		_, ref = splitRef(p.TriggerURI)
	}
	if kind == "" {
		switch {
		case strings.HasPrefix(ref, "refs/tags/"):
			kind = "tag"
		case strings.HasPrefix(ref, "refs/heads/"):
			kind = "branch"
		}
	}
	return ref, kind
}

// Tag is the tag that the build ran for, without "refs/tags/". Class policy when it ran for something else.
func (p *Provenance) Tag() (string, error) {
	ref, kind := p.ref()
	tag, ok := strings.CutPrefix(ref, "refs/tags/")
	if kind != "tag" || !ok || tag == "" {
		return "", fault.New(fault.Policy, "built for %q, which is no tag", ref)
	}
	return tag, nil
}

// Branch is the branch that the build ran for; of a tag the branch that GitHub's event names.
func (p *Provenance) Branch() (string, error) {
	ref, kind := p.ref()
	if kind == "tag" {
		var event struct {
			BaseRef *string `json:"base_ref"`
			Release *struct {
				Target string `json:"target_commitish"`
			} `json:"release"`
		}
		if raw := p.github("EVENT_PAYLOAD"); len(raw) > 0 {
			if err := jsonx.Unmarshal(raw, &event, false); err != nil {
				return "", err
			}
		}
		switch {
		case text(p.github("EVENT_NAME")) == "release" && event.Release != nil:
			ref = "refs/heads/" + strings.TrimPrefix(event.Release.Target, "refs/heads/")
		case event.BaseRef != nil:
			ref = *event.BaseRef
		default:
			ref = text(p.github("BASE_REF"))
		}
	}
	b, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok || b == "" {
		return "", fault.New(fault.Policy, "the statement names no branch")
	}
	return b, nil
}

// inputs are the workflow's inputs; only a manual start has any.
func (p *Provenance) inputs() (map[string]string, error) {
	if text(p.github("EVENT_NAME")) != "workflow_dispatch" {
		return nil, fault.New(fault.Policy, "started by %q; only a manual start (workflow_dispatch) has inputs", text(p.github("EVENT_NAME")))
	}
	var event struct {
		Inputs map[string]json.RawMessage `json:"inputs"`
	}
	raw := p.github("EVENT_PAYLOAD")
	if len(raw) == 0 {
		raw = []byte("{}")
		if in, ok := p.external["inputs"]; ok {
			raw = append(append([]byte(`{"inputs":`), in...), '}')
		}
	}
	if err := jsonx.Unmarshal(raw, &event, false); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for k, v := range event.Inputs {
		if out[k] = text(v); out[k] == "" {
			out[k] = strings.TrimSpace(string(v))
		}
	}
	return out, nil
}

// version is vMAJOR[.MINOR[.PATCH]] with a prerelease and a build part.
type version struct {
	parts      []uint64
	pre, build string
}

func parseVersion(s string) (v version, ok bool) {
	rest, ok := strings.CutPrefix(s, "v")
	if !ok {
		return v, false
	}
	rest, v.build, _ = strings.Cut(rest, "+")
	rest, v.pre, _ = strings.Cut(rest, "-")
	for _, p := range strings.Split(rest, ".") {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil || strconv.FormatUint(n, 10) != p || len(v.parts) == 3 {
			return v, false
		}
		v.parts = append(v.parts, n)
	}
	return v, true
}

// covers reports whether tag is of the version that want names, as far as want goes: v1.2 covers v1.2.x.
func (want version) covers(tag version) bool {
	if len(tag.parts) < len(want.parts) && !allZero(want.parts[len(tag.parts):]) {
		return false
	}
	for i := range min(len(want.parts), len(tag.parts)) {
		if want.parts[i] != tag.parts[i] {
			return false
		}
	}
	return want.pre == tag.pre
}

func allZero(l []uint64) bool {
	for _, n := range l {
		if n != 0 {
			return false
		}
	}
	return true
}

// isRelease reports whether ref is refs/tags/vX.Y.Z without prerelease or build part; suffix names one that is allowed.
func isRelease(ref, suffix string) bool {
	tag, ok := strings.CutPrefix(ref, "refs/tags/")
	if !ok {
		return false
	}
	if suffix != "" {
		tag = strings.TrimSuffix(tag, suffix)
	}
	v, ok := parseVersion(tag)
	return ok && len(v.parts) == 3 && v.pre == "" && v.build == "" && !strings.ContainsAny(tag, "-+")
}
