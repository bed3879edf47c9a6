// Package jcs gives the canonical form of JSON of RFC 8785.
package jcs

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Transform returns the canonical form of one JSON value.
func Transform(data []byte) ([]byte, error) {
	if err := jsonx.Check(data); err != nil {
		return nil, err
	}
	return appendValue(make([]byte, 0, len(data)), trim(data))
}

// AppendString appends s as a canonical JSON string: shortest escapes, and no others than RFC 8785 section 3.2.2.2 asks
// for. Invalid UTF-8 becomes U+FFFD; callers pass strings that were decoded from JSON.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\b':
			dst = append(dst, `\b`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

func appendValue(dst, raw []byte) ([]byte, error) {
	switch raw[0] {
	case '{':
		members, err := jsonx.Object(raw)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(members, func(a, b jsonx.Member) int { return CompareNames(a.Name, b.Name) })
		dst = append(dst, '{')
		for i, m := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, m.Name), ':')
			if dst, err = appendValue(dst, trim(m.Raw)); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case '[':
		items, err := jsonx.Array(raw)
		if err != nil {
			return nil, err
		}
		dst = append(dst, '[')
		for i, it := range items {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendValue(dst, trim(it)); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case '"':
		s, err := jsonx.String(raw)
		if err != nil {
			return nil, err
		}
		return AppendString(dst, s), nil
	case 't', 'f', 'n':
		return append(dst, raw...), nil
	}
	return appendNumber(dst, raw)
}

// appendNumber writes a number as ECMAScript does (RFC 8785 section 3.2.2.3).
func appendNumber(dst, raw []byte) ([]byte, error) {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fault.New(fault.Malformed, "the JSON number %.40s has no IEEE 754 double form", raw)
	}
	if f == 0 {
		return append(dst, '0'), nil
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	n := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if k := len(dst); k-n >= 4 && dst[k-2] == '0' && (dst[k-3] == '-' || dst[k-3] == '+') {
		dst = append(dst[:k-2], dst[k-1])
	}
	return dst, nil
}

// CompareNames orders member names by their UTF-16 code units (RFC 8785 section 3.2.3).
func CompareNames(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func trim(raw []byte) []byte {
	space := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	for len(raw) > 0 && space(raw[0]) {
		raw = raw[1:]
	}
	for len(raw) > 0 && space(raw[len(raw)-1]) {
		raw = raw[:len(raw)-1]
	}
	return raw
}
