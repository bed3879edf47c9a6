package bundle

import (
	"encoding/base64"
	"strings"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// eatSubmods is the claim of an EAT that holds the tokens of other attesters (RFC 9711 section 4.2.18).
const eatSubmods = 266

// submods reads the nested tokens out of an unsecured EAT claims set (application/eat-ucs+cbor or +json, RFC 9711). The
// set itself is nobody's word: nothing of it but the tokens is used, and each of them proves itself or is refused. Whole
// claims sets in place of a token, and digests of tokens that travel elsewhere, make the bundle incomplete.
func submods(b []byte, asJSON bool, depth int) (tokens [][]byte, incomplete bool, err error) {
	if depth > maxDepth {
		return nil, false, fault.New(fault.Malformed, "submods deeper than %d", maxDepth)
	}
	if asJSON {
		return jsonSubmods(b, depth)
	}
	r := cborx.NewReader(b, cborx.Limits{Size: maxSize, Depth: 16, Items: 256, Bytes: maxSize})
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if k := r.Kind(); k != cborx.Uint || r.Uint() != eatSubmods {
			if k != cborx.Uint {
				r.Skip()
			}
			r.Skip()
			continue
		}
		for m := r.Map(); m > 0 && r.OK(); m-- {
			r.Text()
			switch r.Kind() {
			case cborx.Bytes: // a CBOR token inside a CBOR token
				tokens = append(tokens, r.Bytes())
			case cborx.Array: // [type, value]
				t, more := nested(r)
				tokens = append(tokens, t...)
				incomplete = incomplete || more
			case cborx.Map:
				t, more, err := submods(r.Raw(), false, depth+1)
				r.FailErr(err)
				tokens, incomplete = append(tokens, t...), incomplete || more || len(t) == 0
			default:
				r.Skip()
				incomplete = true
			}
		}
	}
	if len(tokens) > maxItems {
		r.Fail("more than %d tokens", maxItems)
	}
	return tokens, incomplete, r.Done()
}

// nested reads ["JWT", text]; anything else is a digest or of a type that is not known.
func nested(r *cborx.Reader) (tokens [][]byte, incomplete bool) {
	n := r.Array()
	kind := ""
	if n == 2 && r.Kind() == cborx.Text {
		if kind = r.Text(); r.Kind() == cborx.Text && kind == "JWT" {
			return [][]byte{[]byte(r.Text())}, false
		}
		n--
	}
	for ; n > 0 && r.OK(); n-- {
		r.Skip()
	}
	return nil, true
}

func jsonSubmods(b []byte, depth int) (tokens [][]byte, incomplete bool, err error) {
	list, err := jsonx.Object(b)
	if err != nil {
		return nil, false, err
	}
	for _, c := range list {
		if c.Name != "submods" {
			continue
		}
		mods, err := jsonx.Object(c.Raw)
		if err != nil {
			return nil, false, fault.Wrap(err, "submods")
		}
		for _, m := range mods {
			if strings.HasPrefix(strings.TrimSpace(string(m.Raw)), "{") {
				t, more, err := submods(m.Raw, true, depth+1)
				if err != nil {
					return nil, false, err
				}
				tokens, incomplete = append(tokens, t...), incomplete || more || len(t) == 0
				continue
			}
			pair, err := jsonx.Array(m.Raw)
			if err != nil {
				return nil, false, fault.Wrap(err, "submods")
			}
			t, ok := jsonToken(pair)
			if !ok {
				incomplete = true
				continue
			}
			tokens = append(tokens, t)
		}
	}
	if len(tokens) > maxItems {
		return nil, false, fault.New(fault.Malformed, "more than %d tokens", maxItems)
	}
	return tokens, incomplete, nil
}

// jsonToken reads ["JWT", text] and ["CBOR", base64url].
func jsonToken(pair [][]byte) ([]byte, bool) {
	if len(pair) != 2 {
		return nil, false
	}
	kind, err := jsonx.String(pair[0])
	if err != nil {
		return nil, false
	}
	text, err := jsonx.String(pair[1])
	if err != nil {
		return nil, false
	}
	switch kind {
	case "JWT":
		return []byte(text), true
	case "CBOR":
		b, err := base64.RawURLEncoding.Strict().DecodeString(text)
		return b, err == nil
	}
	return nil, false
}
