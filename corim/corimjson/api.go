// Package corimjson is the JSON form of CoRIM, in both directions, in the style that users of cocli know: templates in,
// CBOR out, and the other way round. docs/corim-json.md describes it member by member. It is a form for people and
// build scripts; nothing in it is ever signed or compared.
package corimjson

import (
	"bytes"
	"encoding/json"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// MaxSize bounds a template, in bytes.
const MaxSize = 16 << 20

// Manifest reads a CoRIM template. Further CoMID templates, one document each, are added to those in it. Errors are
// malformed and name the member; what the result says is checked when it is encoded.
func Manifest(doc []byte, comids ...[]byte) (*corim.Manifest, error) {
	var j manifest
	if err := decode(doc, &j); err != nil {
		return nil, fault.Wrap(err, "CoRIM template")
	}
	for i, c := range comids {
		var t comid
		if err := decode(c, &t); err != nil {
			return nil, fault.Wrap(err, "CoMID template %d", i+1)
		}
		j.CoMIDs = append(j.CoMIDs, t)
	}
	m, err := j.in()
	return m, fault.Wrap(err, "CoRIM template")
}

// CoMID reads a CoMID template.
func CoMID(doc []byte) (*corim.CoMID, error) {
	var j comid
	if err := decode(doc, &j); err != nil {
		return nil, fault.Wrap(err, "CoMID template")
	}
	c, err := j.in()
	if err != nil {
		return nil, fault.Wrap(err, "CoMID template")
	}
	return &c, nil
}

// FromManifest writes m as a template with everything in one document, indented. Read again, it gives the same CBOR.
func FromManifest(m *corim.Manifest) ([]byte, error) {
	j, err := manifestOut(m)
	if err != nil {
		return nil, err
	}
	return encode(j)
}

// FromCoMID writes c as a template, indented.
func FromCoMID(c *corim.CoMID) ([]byte, error) {
	j, err := comidOut(c)
	if err != nil {
		return nil, err
	}
	return encode(j)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fault.New(fault.Internal, "JSON: %w", err)
	}
	return b.Bytes(), nil
}

// decode reads strict JSON into v: no member twice, none unknown, nothing after the value.
func decode(data []byte, v any) error {
	if len(data) > MaxSize {
		return fault.New(fault.Malformed, "%d bytes; at most %d are read", len(data), MaxSize)
	}
	if err := jsonx.Check(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fault.New(fault.Malformed, "%w", err)
	}
	return nil
}

// raw encodes what cannot fail to encode.
func raw(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSpace(b.Bytes())
}

func bad(format string, args ...any) error { return fault.New(fault.Malformed, format, args...) }
