package rcar

import (
	"encoding/json"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// InitDocument is a parsed init-data document (section 8).
type InitDocument struct {
	Algorithm Hash
	Digest    []byte          // over the whole text, byte for byte
	Claims    json.RawMessage // init_data_claims; they mean something only once hardware is found to bind Digest
}

// maxInnerTOML bounds the inner documents that are taken apart, in bytes; longer ones stay text. Real ones have a few KiB;
// reading and writing keys nested by the hundred thousand takes time that grows with the square of their depth.
const maxInnerTOML = 64 << 10

// policyMarker begins the data of an agent policy.
const policyMarker = "policy_data := "

// Parse reads the document. Its errors are of class malformed.
func (d InitData) Parse() (*InitDocument, error) {
	bad := func(what string) error { return fault.New(fault.Malformed, "init-data: %s", what) }
	if len(d.Body) > MaxInitData {
		return nil, bad("the document is too long")
	}
	var doc struct {
		Version   string            `toml:"version"`
		Algorithm string            `toml:"algorithm"`
		Data      map[string]string `toml:"data"`
	}
	if err := toml.Unmarshal([]byte(d.Body), &doc); err != nil {
		return nil, fault.New(fault.Malformed, "init-data is not the TOML that is expected: %w", err)
	}
	h, ok := ParseHash(doc.Algorithm)
	switch {
	case !ok:
		return nil, bad("algorithm is not one of sha256, sha384, sha512, sm3")
	case doc.Version == "":
		return nil, bad("version is missing")
	case doc.Data == nil:
		return nil, bad("the table data is missing")
	}
	claims := map[string]any{}
	for name, text := range doc.Data {
		claims[name] = text
		switch name {
		case "aa.toml", "cdh.toml":
			var inner map[string]any
			if len(text) <= maxInnerTOML && toml.Unmarshal([]byte(text), &inner) == nil {
				claims[name] = inner
			}
		case "policy.rego":
			if data, ok := agentPolicy(text); ok {
				delete(claims, name)
				claims["agent_policy_claims"] = data
			}
		}
	}
	out, err := json.Marshal(claims)
	if err != nil {
		return nil, bad("a value has no JSON form")
	}
	return &InitDocument{Algorithm: h, Digest: h.Sum([]byte(d.Body)), Claims: out}, nil
}

// agentPolicy returns what follows the first marker when that, up to the end of the text, is one JSON object.
func agentPolicy(text string) (json.RawMessage, bool) {
	_, rest, ok := strings.Cut(text, policyMarker)
	if !ok {
		return nil, false
	}
	if _, err := jsonx.Object([]byte(rest)); err != nil {
		return nil, false
	}
	return json.RawMessage(strings.TrimSpace(rest)), true
}
