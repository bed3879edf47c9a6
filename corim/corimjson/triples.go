package corimjson

import (
	"encoding/json"
	"strconv"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
)

type class struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Vendor *string         `json:"vendor,omitempty"`
	Model  *string         `json:"model,omitempty"`
	Layer  *uint64         `json:"layer,omitempty"`
	Index  *uint64         `json:"index,omitempty"`
}

type environment struct {
	Class    *class          `json:"class,omitempty"`
	Instance json.RawMessage `json:"instance,omitempty"`
	Group    json.RawMessage `json:"group,omitempty"`
}

func optIn[T comparable](p *T) claim.Opt[T] {
	if p == nil {
		return claim.Opt[T]{}
	}
	return claim.Some(*p)
}

func optOut[T comparable](o claim.Opt[T]) *T {
	if !o.Set {
		return nil
	}
	return &o.V
}

func optID(r json.RawMessage) (claim.ID, error) {
	if r == nil {
		return claim.ID{}, nil
	}
	return id(r)
}

func optIDOut(v claim.ID) json.RawMessage {
	if v.IsZero() {
		return nil
	}
	return idOut(v)
}

func (j environment) in() (e claim.Environment, err error) {
	if c := j.Class; c != nil {
		if e.Class.ID, err = optID(c.ID); err != nil {
			return e, err
		}
		e.Class.Vendor, e.Class.Model, e.Class.Layer, e.Class.Index = optIn(c.Vendor), optIn(c.Model), optIn(c.Layer), optIn(c.Index)
	}
	if e.Instance, err = optID(j.Instance); err != nil {
		return e, err
	}
	e.Group, err = optID(j.Group)
	return e, err
}

func environmentOut(e claim.Environment) environment {
	j := environment{Instance: optIDOut(e.Instance), Group: optIDOut(e.Group)}
	if e.Class != (claim.Class{}) {
		j.Class = &class{optIDOut(e.Class.ID), optOut(e.Class.Vendor), optOut(e.Class.Model), optOut(e.Class.Layer), optOut(e.Class.Index)}
	}
	return j
}

type measurement struct {
	Key          json.RawMessage   `json:"key,omitempty"`
	Value        *values           `json:"value"`
	AuthorizedBy []json.RawMessage `json:"authorized-by,omitempty"`
}

func elementsIn(js []measurement) (out []claim.Element, err error) {
	for i, j := range js {
		var e claim.Element
		if e.Key, err = optID(j.Key); err != nil {
			return nil, bad("measurement %d: %w", i, err)
		}
		if j.Value == nil {
			return nil, bad("measurement %d has no value", i)
		}
		if e.Values, err = j.Value.in(); err != nil {
			return nil, bad("measurement %d: %w", i, err)
		}
		if e.AuthorizedBy, err = ids(j.AuthorizedBy); err != nil {
			return nil, bad("measurement %d: %w", i, err)
		}
		out = append(out, e)
	}
	return out, nil
}

func elementsOut(es []claim.Element) []measurement {
	out := []measurement{}
	for _, e := range es {
		out = append(out, measurement{optIDOut(e.Key), valuesOut(e.Values), idsOut(e.AuthorizedBy)})
	}
	return out
}

type valueTriple struct {
	Environment  environment   `json:"environment"`
	Measurements []measurement `json:"measurements"`
}

func (j valueTriple) in() (v corim.ValueTriple, err error) {
	if v.Environment, err = j.Environment.in(); err != nil {
		return v, err
	}
	v.Elements, err = elementsIn(j.Measurements)
	return v, err
}

func valueTripleOut(v corim.ValueTriple) valueTriple {
	return valueTriple{environmentOut(v.Environment), elementsOut(v.Elements)}
}

type keyTriple struct {
	Environment  environment       `json:"environment"`
	Keys         []json.RawMessage `json:"verification-keys"`
	MKey         json.RawMessage   `json:"key,omitempty"`
	AuthorizedBy []json.RawMessage `json:"authorized-by,omitempty"`
}

func (j keyTriple) in() (k corim.KeyTriple, err error) {
	if k.Environment, err = j.Environment.in(); err != nil {
		return k, err
	}
	if k.Keys, err = ids(j.Keys); err != nil {
		return k, err
	}
	if k.MKey, err = optID(j.MKey); err != nil {
		return k, err
	}
	k.AuthorizedBy, err = ids(j.AuthorizedBy)
	return k, err
}

func keyTripleOut(k corim.KeyTriple) keyTriple {
	return keyTriple{environmentOut(k.Environment), idsOut(k.Keys), optIDOut(k.MKey), idsOut(k.AuthorizedBy)}
}

// domainTriple has trustees in a dependency triple, members in a membership triple.
type domainTriple struct {
	Domain   environment   `json:"domain-id"`
	Trustees []environment `json:"trustees,omitempty"`
	Members  []environment `json:"members,omitempty"`
}

func (j domainTriple) in() (t corim.DomainTriple, err error) {
	if t.Domain, err = j.Domain.in(); err != nil {
		return t, err
	}
	for _, m := range append(j.Trustees[:len(j.Trustees):len(j.Trustees)], j.Members...) {
		e, err := m.in()
		if err != nil {
			return t, err
		}
		t.Members = append(t.Members, e)
	}
	return t, nil
}

func environmentsOut(es []claim.Environment) (out []environment) {
	for _, e := range es {
		out = append(out, environmentOut(e))
	}
	return out
}

type coswidTriple struct {
	Environment environment       `json:"environment"`
	TagIDs      []json.RawMessage `json:"tag-ids"`
}

func (j coswidTriple) in() (t corim.CoSWIDTriple, err error) {
	if t.Environment, err = j.Environment.in(); err != nil {
		return t, err
	}
	for _, r := range j.TagIDs {
		v, err := tagID(r)
		if err != nil {
			return t, err
		}
		t.TagIDs = append(t.TagIDs, v)
	}
	return t, nil
}

type stateful struct {
	Environment  environment       `json:"environment"`
	Measurements []measurement     `json:"measurements,omitempty"`
	AuthorizedBy []json.RawMessage `json:"authorized-by,omitempty"`
}

type seriesItem struct {
	Selection []measurement `json:"selection"`
	Addition  []measurement `json:"addition"`
}

type series struct {
	Stateful stateful     `json:"statefulenv"`
	Series   []seriesItem `json:"series"`
}

func (j series) in() (s corim.SeriesTriple, err error) {
	if s.Environment, err = j.Stateful.Environment.in(); err != nil {
		return s, err
	}
	if s.Common, err = elementsIn(j.Stateful.Measurements); err != nil {
		return s, err
	}
	if s.AuthorizedBy, err = ids(j.Stateful.AuthorizedBy); err != nil {
		return s, err
	}
	for _, x := range j.Series {
		var item corim.SeriesItem
		if item.Condition, err = elementsIn(x.Selection); err != nil {
			return s, err
		}
		if item.Addition, err = elementsIn(x.Addition); err != nil {
			return s, err
		}
		s.Items = append(s.Items, item)
	}
	return s, nil
}

func seriesOut(s corim.SeriesTriple) series {
	j := series{Stateful: stateful{environmentOut(s.Environment), elementsOut(s.Common), idsOut(s.AuthorizedBy)}}
	for _, i := range s.Items {
		j.Series = append(j.Series, seriesItem{elementsOut(i.Condition), elementsOut(i.Addition)})
	}
	return j
}

type conditional struct {
	Conditions   []valueTriple `json:"conditions"`
	Endorsements []valueTriple `json:"endorsements"`
}

func (j conditional) in() (c corim.ConditionalTriple, err error) {
	if c.Conditions, err = each(j.Conditions, valueTriple.in); err != nil {
		return c, err
	}
	c.Endorsements, err = each(j.Endorsements, valueTriple.in)
	return c, err
}

func conditionalOut(c corim.ConditionalTriple) conditional {
	return conditional{mapped(c.Conditions, valueTripleOut), mapped(c.Endorsements, valueTripleOut)}
}

// triples is triples-map; the names are those of cocli, Extensions holds other categories by key.
type triples struct {
	Reference   []valueTriple              `json:"reference-values,omitempty"`
	Endorsed    []valueTriple              `json:"endorsed-values,omitempty"`
	Identity    []keyTriple                `json:"dev-identity-keys,omitempty"`
	AttestKey   []keyTriple                `json:"attester-verification-keys,omitempty"`
	Dependency  []domainTriple             `json:"dependency-triples,omitempty"`
	Membership  []domainTriple             `json:"membership-triples,omitempty"`
	CoSWID      []coswidTriple             `json:"coswid-triples,omitempty"`
	Series      []series                   `json:"conditional-endorsement-series,omitempty"`
	Conditional []conditional              `json:"conditional-endorsements,omitempty"`
	Extensions  map[string]json.RawMessage `json:"extensions,omitempty"`
}

func each[J, T any](js []J, one func(J) (T, error)) (out []T, err error) {
	for _, j := range js {
		v, err := one(j)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func mapped[T, J any](vs []T, one func(T) J) (out []J) {
	for _, v := range vs {
		out = append(out, one(v))
	}
	return out
}

func (j triples) in() (t corim.Triples, err error) {
	steps := []struct {
		name string
		do   func() error
	}{
		{"reference-values", func() (err error) { t.Reference, err = each(j.Reference, valueTriple.in); return }},
		{"endorsed-values", func() (err error) { t.Endorsed, err = each(j.Endorsed, valueTriple.in); return }},
		{"dev-identity-keys", func() (err error) { t.Identity, err = each(j.Identity, keyTriple.in); return }},
		{"attester-verification-keys", func() (err error) { t.AttestKey, err = each(j.AttestKey, keyTriple.in); return }},
		{"dependency-triples", func() (err error) { t.Dependency, err = each(j.Dependency, domainTriple.in); return }},
		{"membership-triples", func() (err error) { t.Membership, err = each(j.Membership, domainTriple.in); return }},
		{"coswid-triples", func() (err error) { t.CoSWID, err = each(j.CoSWID, coswidTriple.in); return }},
		{"conditional-endorsement-series", func() (err error) { t.Series, err = each(j.Series, series.in); return }},
		{"conditional-endorsements", func() (err error) { t.Conditional, err = each(j.Conditional, conditional.in); return }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			return t, bad("%s: %w", s.name, err)
		}
	}
	for name, v := range j.Extensions {
		k, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return t, bad("triples: %q is no category", name)
		}
		enc, err := toCBOR(nil, v)
		if err != nil {
			return t, err
		}
		t.Unknown = append(t.Unknown, corim.UnknownTriple{Key: k, Raw: enc})
	}
	return t, nil
}

func triplesOut(t corim.Triples) (j triples) {
	j.Reference, j.Endorsed = mapped(t.Reference, valueTripleOut), mapped(t.Endorsed, valueTripleOut)
	j.Identity, j.AttestKey = mapped(t.Identity, keyTripleOut), mapped(t.AttestKey, keyTripleOut)
	j.Dependency = mapped(t.Dependency, func(d corim.DomainTriple) domainTriple {
		return domainTriple{Domain: environmentOut(d.Domain), Trustees: environmentsOut(d.Members)}
	})
	j.Membership = mapped(t.Membership, func(d corim.DomainTriple) domainTriple {
		return domainTriple{Domain: environmentOut(d.Domain), Members: environmentsOut(d.Members)}
	})
	j.CoSWID = mapped(t.CoSWID, func(c corim.CoSWIDTriple) coswidTriple {
		return coswidTriple{environmentOut(c.Environment), mapped(c.TagIDs, tagIDOut)}
	})
	j.Series, j.Conditional = mapped(t.Series, seriesOut), mapped(t.Conditional, conditionalOut)
	for _, u := range t.Unknown {
		if j.Extensions == nil {
			j.Extensions = map[string]json.RawMessage{}
		}
		j.Extensions[strconv.FormatInt(u.Key, 10)] = fromCBOR(cborx.Checked(u.Raw))
	}
	return j
}
