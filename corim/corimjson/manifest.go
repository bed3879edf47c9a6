package corimjson

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
)

type entity struct {
	Name  string   `json:"name"`
	RegID string   `json:"regid,omitempty"`
	Roles []string `json:"roles"`
}

// Role names are those of cocli; other roles are their numbers.
var (
	manifestRoles = map[string]int64{"manifestCreator": 1, "manifestSigner": 2}
	comidRoles    = map[string]int64{"tagCreator": 0, "creator": 1, "maintainer": 2}
)

func entitiesIn(js []entity, roles map[string]int64) (out []corim.Entity, err error) {
	for _, j := range js {
		e := corim.Entity{Name: j.Name, RegID: j.RegID}
		for _, name := range j.Roles {
			role, ok := roles[name]
			if !ok {
				if role, err = strconv.ParseInt(name, 10, 64); err != nil {
					return nil, bad("entity %q: %q is no role here", j.Name, name)
				}
			}
			e.Roles = append(e.Roles, role)
		}
		out = append(out, e)
	}
	return out, nil
}

func entitiesOut(es []corim.Entity, roles map[string]int64) (out []entity) {
	for _, e := range es {
		j := entity{Name: e.Name, RegID: e.RegID, Roles: []string{}}
		for _, role := range e.Roles {
			name := strconv.FormatInt(role, 10)
			for n, r := range roles {
				if r == role {
					name = n
				}
			}
			j.Roles = append(j.Roles, name)
		}
		out = append(out, j)
	}
	return out
}

type validity struct {
	NotBefore *time.Time `json:"not-before,omitempty"`
	NotAfter  time.Time  `json:"not-after"`
}

func (j *validity) in() (*corim.Validity, error) {
	if j == nil {
		return nil, nil
	}
	if j.NotAfter.IsZero() {
		return nil, bad("validity lacks not-after")
	}
	return &corim.Validity{NotBefore: j.NotBefore, NotAfter: j.NotAfter}, nil
}

func validityOut(v *corim.Validity) *validity {
	if v == nil {
		return nil
	}
	return &validity{v.NotBefore, v.NotAfter}
}

// locator is one href with at most one thumbprint, or lists of them.
type locator struct {
	HRef        string            `json:"href,omitempty"`
	HRefs       []string          `json:"hrefs,omitempty"`
	Thumbprint  json.RawMessage   `json:"thumbprint,omitempty"`
	Thumbprints []json.RawMessage `json:"thumbprints,omitempty"`
}

func (j locator) in() (l corim.Locator, err error) {
	l.HRefs, l.HRefList = j.HRefs, len(j.HRefs) > 0
	if j.HRef != "" {
		if l.HRefList {
			return l, bad("a locator has href or hrefs, not both")
		}
		l.HRefs = []string{j.HRef}
	}
	if l.Thumbprints, err = digests(j.Thumbprints); err != nil {
		return l, err
	}
	l.ThumbprintList = len(j.Thumbprints) > 0
	if j.Thumbprint != nil {
		if l.ThumbprintList {
			return l, bad("a locator has thumbprint or thumbprints, not both")
		}
		d, err := digest(j.Thumbprint)
		if err != nil {
			return l, err
		}
		l.Thumbprints = []claim.Digest{d}
	}
	return l, nil
}

func locatorOut(l corim.Locator) (j locator) {
	if len(l.HRefs) == 1 && !l.HRefList {
		j.HRef = l.HRefs[0]
	} else {
		j.HRefs = l.HRefs
	}
	if len(l.Thumbprints) == 1 && !l.ThumbprintList {
		j.Thumbprint = digestOut(l.Thumbprints[0])
	} else {
		j.Thumbprints = digestsOut(l.Thumbprints)
	}
	return j
}

type identity struct {
	ID      json.RawMessage `json:"id"`
	Version *uint64         `json:"version,omitempty"`
}

func (j identity) in() (t corim.TagIdentity, err error) {
	t.TagID, err = tagID(j.ID)
	if j.Version != nil {
		t.TagVersion, t.ExplicitZero = *j.Version, *j.Version == 0
	}
	return t, err
}

func identityOut(t corim.TagIdentity) identity {
	j := identity{ID: tagIDOut(t.TagID)}
	if t.TagVersion != 0 || t.ExplicitZero {
		j.Version = &t.TagVersion
	}
	return j
}

type linkedTag struct {
	Target json.RawMessage `json:"target"`
	Rel    string          `json:"rel"`
}

type comid struct {
	Lang     string                     `json:"lang,omitempty"`
	Identity identity                   `json:"tag-identity"`
	Entities []entity                   `json:"entities,omitempty"`
	Linked   []linkedTag                `json:"linked-tags,omitempty"`
	Triples  triples                    `json:"triples"`
	Ext      map[string]json.RawMessage `json:"extensions,omitempty"`
}

func (j comid) in() (c corim.CoMID, err error) {
	c.Language = j.Lang
	if c.TagIdentity, err = j.Identity.in(); err != nil {
		return c, bad("tag-identity: %w", err)
	}
	if c.Entities, err = entitiesIn(j.Entities, comidRoles); err != nil {
		return c, err
	}
	for _, l := range j.Linked {
		t := corim.LinkedTag{Rel: corim.RelReplaces}
		if t.TagID, err = tagID(l.Target); err != nil {
			return c, err
		}
		if l.Rel == "supplements" {
			t.Rel = corim.RelSupplements
		} else if l.Rel != "replaces" {
			return c, bad("linked-tags: %q is none of supplements and replaces", l.Rel)
		}
		c.Linked = append(c.Linked, t)
	}
	if c.Triples, err = j.Triples.in(); err != nil {
		return c, err
	}
	c.Ext, err = extIn(j.Ext)
	return c, err
}

func comidOut(c *corim.CoMID) (comid, error) {
	j := comid{Lang: c.Language, Identity: identityOut(c.TagIdentity), Entities: entitiesOut(c.Entities, comidRoles), Ext: extOut(c.Ext)}
	for _, l := range c.Linked {
		rel := "supplements"
		if l.Rel == corim.RelReplaces {
			rel = "replaces"
		}
		j.Linked = append(j.Linked, linkedTag{tagIDOut(l.TagID), rel})
	}
	j.Triples = triplesOut(c.Triples)
	return j, nil
}

func extIn(m map[string]json.RawMessage) (out []claim.Extension, err error) {
	for name, v := range m {
		k, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return nil, bad("extensions: %q is no key", name)
		}
		enc, err := toCBOR(nil, v)
		if err != nil {
			return nil, err
		}
		out = append(out, claim.Extension{Key: k, CBOR: enc})
	}
	return out, nil
}

func extOut(ext []claim.Extension) map[string]json.RawMessage {
	if len(ext) == 0 {
		return nil
	}
	m := map[string]json.RawMessage{}
	for _, x := range ext {
		m[strconv.FormatInt(x.Key, 10)] = fromCBOR(cborx.Checked(x.CBOR))
	}
	return m
}

type cotl struct {
	Identity identity   `json:"tag-identity"`
	Tags     []identity `json:"tags-list"`
	Validity *validity  `json:"validity"`
}

// manifest is corim-map. CoSWID and CoTS tags are carried as base64 of their CBOR.
type manifest struct {
	ID            json.RawMessage            `json:"corim-id"`
	Profile       string                     `json:"profile,omitempty"`
	Validity      *validity                  `json:"validity,omitempty"`
	Entities      []entity                   `json:"entities,omitempty"`
	DependentRIMs []locator                  `json:"dependent-rims,omitempty"`
	CoMIDs        []comid                    `json:"comids,omitempty"`
	CoSWIDs       []string                   `json:"coswids,omitempty"`
	CoTSs         []string                   `json:"cots,omitempty"`
	CoTLs         []cotl                     `json:"cotls,omitempty"`
	TagOrder      []uint64                   `json:"tag-order,omitempty"`
	Ext           map[string]json.RawMessage `json:"extensions,omitempty"`
}

func (j manifest) in() (m *corim.Manifest, err error) {
	m = &corim.Manifest{Profile: j.Profile, TagOrder: j.TagOrder}
	if m.ID, err = tagID(j.ID); err != nil {
		return nil, bad("corim-id: %w", err)
	}
	if m.Validity, err = j.Validity.in(); err != nil {
		return nil, err
	}
	if m.Entities, err = entitiesIn(j.Entities, manifestRoles); err != nil {
		return nil, err
	}
	if m.DependentRIMs, err = each(j.DependentRIMs, locator.in); err != nil {
		return nil, bad("dependent-rims: %w", err)
	}
	if m.CoMIDs, err = each(j.CoMIDs, comid.in); err != nil {
		return nil, err
	}
	for _, s := range j.CoSWIDs {
		b, err := binary(s)
		if err != nil {
			return nil, bad("coswids: %w", err)
		}
		m.CoSWIDs = append(m.CoSWIDs, corim.CoSWID{Raw: b})
	}
	for _, s := range j.CoTSs {
		b, err := binary(s)
		if err != nil {
			return nil, bad("cots: %w", err)
		}
		m.CoTSs = append(m.CoTSs, corim.CoTS{Raw: b})
	}
	for _, t := range j.CoTLs {
		var c corim.CoTL
		if c.TagIdentity, err = t.Identity.in(); err != nil {
			return nil, bad("cotls: %w", err)
		}
		if c.Tags, err = each(t.Tags, identity.in); err != nil {
			return nil, bad("cotls: %w", err)
		}
		v, err := t.Validity.in()
		if err != nil || v == nil {
			return nil, bad("cotls: a tag list needs a validity")
		}
		c.Validity = *v
		m.CoTLs = append(m.CoTLs, c)
	}
	m.Ext, err = extIn(j.Ext)
	return m, err
}

func manifestOut(m *corim.Manifest) (*manifest, error) {
	j := &manifest{ID: tagIDOut(m.ID), Profile: m.Profile, Validity: validityOut(m.Validity), Entities: entitiesOut(m.Entities, manifestRoles),
		DependentRIMs: mapped(m.DependentRIMs, locatorOut), Ext: extOut(m.Ext)}
	if len(m.TagOrder) > 1 {
		j.TagOrder = m.TagOrder
	}
	for i := range m.CoMIDs {
		c, err := comidOut(&m.CoMIDs[i])
		if err != nil {
			return nil, err
		}
		j.CoMIDs = append(j.CoMIDs, c)
	}
	for _, c := range m.CoSWIDs {
		b, err := corim.EncodeCoSWID(&c)
		if err != nil {
			return nil, err
		}
		j.CoSWIDs = append(j.CoSWIDs, b64(b))
	}
	for _, c := range m.CoTSs {
		b, err := corim.EncodeCoTS(&c)
		if err != nil {
			return nil, err
		}
		j.CoTSs = append(j.CoTSs, b64(b))
	}
	for _, c := range m.CoTLs {
		j.CoTLs = append(j.CoTLs, cotl{identityOut(c.TagIdentity), mapped(c.Tags, identityOut), validityOut(&c.Validity)})
	}
	return j, nil
}
