package jwe

import (
	"slices"
	"strings"

	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/jsonx"
)

// reserialise writes a header the way the Rust clients do after parsing it: alg, enc, then all other members sorted,
// nested ones too (kbs-types ProtectedHeader::generate_aad).
func reserialise(alg, enc string, rest []jsonx.Member) ([]byte, error) {
	out := append([]byte(`{"alg":`), jcs.AppendString(nil, alg)...)
	out = append(append(out, `,"enc":`...), jcs.AppendString(nil, enc)...)
	slices.SortFunc(rest, func(a, b jsonx.Member) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range rest {
		out = append(jcs.AppendString(append(out, ','), m.Name), ':')
		v, err := jcs.Transform(m.Raw)
		if err != nil {
			return nil, err
		}
		out = append(out, v...)
	}
	return append(out, '}'), nil
}
