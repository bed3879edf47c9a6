package corimjson

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/cborx"
)

// fromCBOR writes any CBOR item as JSON: text, booleans, null, arrays and numbers as themselves (a float always with a
// point or exponent), everything else as {"type": "bytes" | "tag" | "map", …}.
func fromCBOR(r *cborx.Reader) json.RawMessage {
	switch r.Kind() {
	case cborx.Text:
		return raw(r.Text())
	case cborx.Bytes:
		return raw(typed{"bytes", raw(b64(r.Bytes()))})
	case cborx.Bool:
		return raw(r.Bool())
	case cborx.Float:
		return floatOut(r.Float())
	case cborx.Uint, cborx.Nint:
		neg, mag := r.Int()
		return intOut(neg, mag)
	case cborx.Array:
		out := []json.RawMessage{}
		for n := r.Array(); n > 0 && r.OK(); n-- {
			out = append(out, fromCBOR(r))
		}
		return raw(out)
	case cborx.Map:
		pairs := [][2]json.RawMessage{}
		for n := r.Map(); n > 0 && r.OK(); n-- {
			k := fromCBOR(r)
			pairs = append(pairs, [2]json.RawMessage{k, fromCBOR(r)})
		}
		return raw(typed{"map", raw(pairs)})
	case cborx.Tag:
		t := r.Tag()
		return raw(tagged{"tag", t, fromCBOR(r)})
	}
	r.Skip()
	return json.RawMessage("null")
}

type tagged struct {
	Type  string          `json:"type"`
	Tag   uint64          `json:"tag"`
	Value json.RawMessage `json:"value"`
}

// toCBOR is the inverse of fromCBOR, core deterministic.
func toCBOR(b []byte, j json.RawMessage) ([]byte, error) {
	s := strings.TrimSpace(string(j))
	switch {
	case s == "":
		return nil, bad("a value is missing")
	case s == "null":
		return cborx.AppendNull(b), nil
	case s == "true", s == "false":
		return cborx.AppendBool(b, s == "true"), nil
	case s[0] == '"':
		t, err := str(j)
		return cborx.AppendText(b, t), err
	case s[0] == '[':
		var list []json.RawMessage
		if err := decode(j, &list); err != nil {
			return nil, err
		}
		b = cborx.AppendArray(b, len(list))
		for _, x := range list {
			var err error
			if b, err = toCBOR(b, x); err != nil {
				return nil, err
			}
		}
		return b, nil
	case s[0] == '{':
		return objectToCBOR(b, j)
	case strings.ContainsAny(s, ".eE"):
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, bad("%s is no number", s)
		}
		return cborx.AppendFloat(b, f), nil
	}
	neg, mag, err := intIn(s)
	if err != nil {
		return nil, err
	}
	if neg {
		return cborx.AppendNeg(b, mag), nil
	}
	return cborx.AppendUint(b, mag), nil
}

func objectToCBOR(b []byte, j json.RawMessage) ([]byte, error) {
	var t struct {
		Type  string          `json:"type"`
		Tag   *uint64         `json:"tag"`
		Value json.RawMessage `json:"value"`
	}
	if err := decode(j, &t); err != nil {
		return nil, err
	}
	switch t.Type {
	case "bytes":
		v, err := rawBinary(t.Value)
		return cborx.AppendBytes(b, v), err
	case "tag":
		if t.Tag == nil {
			return nil, bad("a tag without its number")
		}
		return toCBOR(cborx.AppendTag(b, *t.Tag), t.Value)
	case "map":
		var pairs [][]json.RawMessage
		if err := decode(t.Value, &pairs); err != nil {
			return nil, err
		}
		var m cborx.MapEncoder
		for _, p := range pairs {
			if len(p) != 2 {
				return nil, bad("a map is a list of [key, value]")
			}
			k, err := toCBOR(nil, p[0])
			if err != nil {
				return nil, err
			}
			v, err := toCBOR(nil, p[1])
			if err != nil {
				return nil, err
			}
			m.PutRaw(k, v)
		}
		return m.Append(b), nil
	}
	return nil, bad("the type %q is none of bytes, tag and map", t.Type)
}

// intIn reads an integer of CBOR's full range.
func intIn(s string) (neg bool, mag uint64, err error) {
	digits, neg := strings.CutPrefix(s, "-")
	if neg && digits == "18446744073709551616" {
		return true, math.MaxUint64, nil
	}
	mag, err = strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return false, 0, bad("%s is no integer", s)
	}
	if neg && mag == 0 {
		return false, 0, nil
	}
	if neg {
		return true, mag - 1, nil
	}
	return false, mag, nil
}

func intOut(neg bool, mag uint64) json.RawMessage {
	switch {
	case !neg:
		return json.RawMessage(strconv.FormatUint(mag, 10))
	case mag == math.MaxUint64:
		return json.RawMessage("-18446744073709551616")
	}
	return json.RawMessage("-" + strconv.FormatUint(mag+1, 10))
}

func floatOut(f float64) json.RawMessage {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.RawMessage(s)
}
