// Package jsonx reads JSON of strangers strictly: valid UTF-8, no member name twice, bounded depth, nothing after the
// value. It hands out raw slices of the input, so that it never allocates beyond the input's own size, and so that
// bytes can be hashed as carried.
package jsonx

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
)

// MaxDepth bounds the nesting of arrays and objects.
const MaxDepth = 64

// Member is one member of an object: the decoded name and the bytes of the value as carried.
type Member struct {
	Name string
	Raw  []byte
}

// Check reports whether data is one strict JSON value. Its errors are of class malformed.
func Check(data []byte) error {
	s := scanner{b: data}
	if err := s.value(0); err != nil {
		return err
	}
	s.space()
	if s.i != len(s.b) {
		return s.bad("more bytes follow the JSON value")
	}
	return nil
}

// Object splits a checked object into its members, in the order of the text.
func Object(data []byte) ([]Member, error) {
	s := scanner{b: data}
	s.space()
	if s.i == len(s.b) || s.b[s.i] != '{' {
		return nil, s.bad("a JSON object is expected")
	}
	var out []Member
	if err := s.object(0, func(name string, raw []byte) { out = append(out, Member{name, raw}) }); err != nil {
		return nil, err
	}
	s.space()
	if s.i != len(s.b) {
		return nil, s.bad("more bytes follow the JSON object")
	}
	return out, nil
}

// Array splits an array into the bytes of its elements.
func Array(data []byte) ([][]byte, error) {
	s := scanner{b: data}
	s.space()
	if s.i == len(s.b) || s.b[s.i] != '[' {
		return nil, s.bad("a JSON array is expected")
	}
	var out [][]byte
	if err := s.array(0, func(raw []byte) { out = append(out, raw) }); err != nil {
		return nil, err
	}
	s.space()
	if s.i != len(s.b) {
		return nil, s.bad("more bytes follow the JSON array")
	}
	return out, nil
}

// String decodes a JSON string.
func String(raw []byte) (string, error) {
	s := scanner{b: raw}
	s.space()
	if s.i == len(s.b) || s.b[s.i] != '"' {
		return "", s.bad("a JSON string is expected")
	}
	out, err := s.str()
	if err != nil {
		return "", err
	}
	s.space()
	if s.i != len(s.b) {
		return "", s.bad("more bytes follow the JSON string")
	}
	return out, nil
}

// IsNull reports whether raw is the literal null.
func IsNull(raw []byte) bool { return string(bytes.TrimSpace(raw)) == "null" }

// Unmarshal checks data strictly, then decodes it with encoding/json. Unknown members are ignored unless closed is set.
func Unmarshal(data []byte, into any, closed bool) error {
	if err := Check(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if closed {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		return fault.New(fault.Malformed, "JSON: %w", err)
	}
	return nil
}

type scanner struct {
	b []byte
	i int
}

func (s *scanner) bad(what string) error {
	return fault.New(fault.Malformed, "JSON at byte %d: %s", s.i, what)
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\t' || s.b[s.i] == '\n' || s.b[s.i] == '\r') {
		s.i++
	}
}

func (s *scanner) value(depth int) error {
	s.space()
	if s.i >= len(s.b) {
		return s.bad("the text ends where a value is expected")
	}
	switch c := s.b[s.i]; {
	case c == '{':
		return s.object(depth, nil)
	case c == '[':
		return s.array(depth, nil)
	case c == '"':
		return s.skipStr()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, lit := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.b[s.i:], []byte(lit)) {
			s.i += len(lit)
			return nil
		}
	}
	return s.bad("not a JSON value")
}

func (s *scanner) object(depth int, visit func(string, []byte)) error {
	if depth >= MaxDepth {
		return s.bad("nested too deeply")
	}
	s.i++
	seen := names{}
	for first := true; ; first = false {
		s.space()
		if s.i < len(s.b) && s.b[s.i] == '}' && first {
			s.i++
			return nil
		}
		if s.i >= len(s.b) || s.b[s.i] != '"' {
			return s.bad("a member name is expected")
		}
		name, err := s.str()
		if err != nil {
			return err
		}
		if seen.add(name) {
			return s.bad("a member name occurs twice")
		}
		s.space()
		if s.i >= len(s.b) || s.b[s.i] != ':' {
			return s.bad("a colon is expected")
		}
		s.i++
		s.space()
		start := s.i
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(name, s.b[start:s.i])
		}
		s.space()
		if s.i >= len(s.b) {
			return s.bad("the object does not end")
		}
		s.i++
		switch s.b[s.i-1] {
		case ',':
		case '}':
			return nil
		default:
			return s.bad("a comma or the end of the object is expected")
		}
	}
}

func (s *scanner) array(depth int, visit func([]byte)) error {
	if depth >= MaxDepth {
		return s.bad("nested too deeply")
	}
	s.i++
	for first := true; ; first = false {
		s.space()
		if s.i < len(s.b) && s.b[s.i] == ']' && first {
			s.i++
			return nil
		}
		start := s.i
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			visit(s.b[start:s.i])
		}
		s.space()
		if s.i >= len(s.b) {
			return s.bad("the array does not end")
		}
		s.i++
		switch s.b[s.i-1] {
		case ',':
		case ']':
			return nil
		default:
			return s.bad("a comma or the end of the array is expected")
		}
	}
}

func (s *scanner) number() error {
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
			s.i++
		}
		return s.i > from
	}
	if s.b[s.i] == '-' {
		s.i++
	}
	switch {
	case s.i < len(s.b) && s.b[s.i] == '0':
		s.i++
	case !digits():
		return s.bad("a digit is expected")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !digits() {
			return s.bad("a digit is expected after the point")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !digits() {
			return s.bad("a digit is expected in the exponent")
		}
	}
	return nil
}

// skipStr passes over a string and checks it without building it.
func (s *scanner) skipStr() error {
	plainEnd := bytes.IndexByte(s.b[s.i+1:], '"')
	if plainEnd >= 0 {
		body := s.b[s.i+1 : s.i+1+plainEnd]
		if isPlain(body) {
			s.i += plainEnd + 2
			return nil
		}
	}
	_, err := s.scanStr(nil)
	return err
}

func isPlain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c >= 0x80 || c == '\\' {
			return false
		}
	}
	return true
}

func (s *scanner) str() (string, error) {
	if end := bytes.IndexByte(s.b[s.i+1:], '"'); end >= 0 {
		if body := s.b[s.i+1 : s.i+1+end]; isPlain(body) {
			s.i += end + 2
			return string(body), nil
		}
	}
	buf, err := s.scanStr([]byte{})
	return string(buf), err
}

// scanStr reads a string; with a nil buf it only checks. Lone surrogates are refused: they have no UTF-8 form, so two
// readers could take them for different names.
func (s *scanner) scanStr(buf []byte) ([]byte, error) {
	build := buf != nil
	put := func(r rune) {
		if build {
			buf = utf8.AppendRune(buf, r)
		}
	}
	s.i++
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			return buf, nil
		case c < 0x20:
			return nil, s.bad("a control character inside a string")
		case c == '\\':
			if s.i+1 >= len(s.b) {
				return nil, s.bad("the text ends inside an escape")
			}
			e := s.b[s.i+1]
			if e == 'u' {
				r, err := s.unicode()
				if err != nil {
					return nil, err
				}
				put(r)
				continue
			}
			k := bytes.IndexByte([]byte(`"\/bfnrt`), e)
			if k < 0 {
				return nil, s.bad("an unknown escape")
			}
			put(rune("\"\\/\b\f\n\r\t"[k]))
			s.i += 2
		default:
			r, n := utf8.DecodeRune(s.b[s.i:])
			if r == utf8.RuneError && n <= 1 {
				return nil, s.bad("invalid UTF-8")
			}
			put(r)
			s.i += n
		}
	}
	return nil, s.bad("the text ends inside a string")
}

func (s *scanner) unicode() (rune, error) {
	hex4 := func(at int) (rune, bool) {
		if at+6 > len(s.b) || s.b[at] != '\\' || s.b[at+1] != 'u' {
			return 0, false
		}
		var r rune
		for _, c := range s.b[at+2 : at+6] {
			switch {
			case c >= '0' && c <= '9':
				c -= '0'
			case c >= 'a' && c <= 'f':
				c -= 'a' - 10
			case c >= 'A' && c <= 'F':
				c -= 'A' - 10
			default:
				return 0, false
			}
			r = r<<4 | rune(c)
		}
		return r, true
	}
	r, ok := hex4(s.i)
	if !ok {
		return 0, s.bad("an incomplete \\u escape")
	}
	if !utf16.IsSurrogate(r) {
		s.i += 6
		return r, nil
	}
	low, ok := hex4(s.i + 6)
	if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
		s.i += 12
		return pair, nil
	}
	return 0, s.bad("a lone surrogate")
}

// names remembers member names; the first few without a map.
type names struct {
	few  []string
	many map[string]struct{}
}

// add reports whether name was there before.
func (n *names) add(name string) bool {
	if n.many != nil {
		_, dup := n.many[name]
		n.many[name] = struct{}{}
		return dup
	}
	for _, f := range n.few {
		if f == name {
			return true
		}
	}
	n.few = append(n.few, name)
	if len(n.few) > 16 {
		n.many = make(map[string]struct{}, 2*len(n.few))
		for _, f := range n.few {
			n.many[f] = struct{}{}
		}
	}
	return false
}
