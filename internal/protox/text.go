package protox

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
)

// Type is the type of a field in a [Schema].
type Type struct {
	Num  uint32
	Sub  Schema            // of messages
	Enum map[string]uint64 // names of an enumeration
	Text bool              // a string or bytes; else a number or boolean
}

// Schema names the fields of a message.
type Schema map[string]Type

const maxTextDepth = 16

// FromText encodes a message in protobuf's text format (protobuf.dev, "Text Format Language"), in the order of the text.
// What the schema does not name is class malformed.
func FromText(s Schema, text []byte) ([]byte, error) {
	if len(text) > MaxSize {
		return nil, fault.New(fault.Malformed, "text format: %d bytes; at most %d are read", len(text), MaxSize)
	}
	p := &textParser{in: string(text)}
	b := p.message(s, 0, 0)
	if p.err == nil && p.pos < len(p.in) {
		p.fail("something follows the message")
	}
	return b, p.err
}

type textParser struct {
	in  string
	pos int
	err error
}

func (p *textParser) fail(what string) {
	if p.err == nil {
		p.err = fault.New(fault.Malformed, "text format, line %d: %s", 1+strings.Count(p.in[:p.pos], "\n"), what)
	}
	p.pos = len(p.in)
}

// space skips blanks and comments and returns the next byte, 0 at the end.
func (p *textParser) space() byte {
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; c {
		case ' ', '\t', '\r', '\n':
			p.pos++
		case '#':
			if i := strings.IndexByte(p.in[p.pos:], '\n'); i >= 0 {
				p.pos += i
			} else {
				p.pos = len(p.in)
			}
		default:
			return c
		}
	}
	return 0
}

func (p *textParser) word() string {
	p.space()
	i := p.pos
	for i < len(p.in) && (p.in[i] == '_' || p.in[i] == '-' || p.in[i] >= '0' && p.in[i] <= '9' || p.in[i]|0x20 >= 'a' && p.in[i]|0x20 <= 'z') {
		i++
	}
	w := p.in[p.pos:i]
	p.pos = i
	return w
}

func (p *textParser) message(s Schema, end byte, depth int) (b []byte) {
	if depth > maxTextDepth {
		p.fail("nested too deep")
	}
	for p.err == nil {
		c := p.space()
		if c == end {
			if end != 0 {
				p.pos++
			}
			return b
		}
		name := p.word()
		t, ok := s[name]
		if !ok {
			p.fail("no field " + strconv.Quote(name) + " here")
			return nil
		}
		if c = p.space(); c == ':' {
			p.pos++
			c = p.space()
		}
		if c == '[' {
			p.pos++
			for p.err == nil && p.space() != ']' {
				b = p.value(b, t, depth)
				if p.space() == ',' {
					p.pos++
				}
			}
			p.pos = min(p.pos+1, len(p.in))
		} else {
			b = p.value(b, t, depth)
		}
		if c = p.space(); c == ',' || c == ';' {
			p.pos++
		}
	}
	return nil
}

func (p *textParser) value(b []byte, t Type, depth int) []byte {
	switch c := p.space(); {
	case t.Sub != nil && (c == '{' || c == '<'):
		p.pos++
		return AppendBytes(b, t.Num, p.message(t.Sub, map[byte]byte{'{': '}', '<': '>'}[c], depth+1))
	case t.Text && (c == '"' || c == '\''):
		var s []byte
		for c = p.space(); p.err == nil && (c == '"' || c == '\''); c = p.space() {
			p.pos++
			s = p.quoted(s, c)
		}
		return AppendBytes(b, t.Num, s)
	case t.Sub == nil && !t.Text:
		w := p.word()
		v, ok := t.Enum[w]
		if !ok {
			switch w {
			case "true":
				v = 1
			case "false":
				v = 0
			default:
				n, err := strconv.ParseInt(w, 0, 64)
				u, uerr := strconv.ParseUint(w, 0, 64)
				if err != nil && uerr != nil {
					p.fail(strconv.Quote(w) + " is no number")
				}
				if v = uint64(n); err != nil {
					v = u
				}
			}
		}
		if v == 0 {
			return b // proto3 does not write defaults
		}
		return AppendUint(b, t.Num, v)
	}
	p.fail("a value of another type")
	return b
}

var escapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'a': 7, 'b': 8, 'f': 12, 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?'}

// quoted reads up to the closing quote. Bytes fields mix escapes, octal, \x and raw UTF-8.
func (p *textParser) quoted(s []byte, quote byte) []byte {
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		p.pos++
		switch {
		case c == quote:
			return s
		case c == '\n':
			p.fail("a text over the end of the line")
			return s
		case c != '\\':
			s = append(s, c)
			continue
		}
		if p.pos == len(p.in) {
			break
		}
		c = p.in[p.pos]
		p.pos++
		digits := func(most int, ok string) string {
			i := p.pos
			for i < len(p.in) && i < p.pos+most && strings.IndexByte(ok, p.in[i]) >= 0 {
				i++
			}
			d := p.in[p.pos:i]
			p.pos = i
			return d
		}
		const hexDigits = "0123456789abcdefABCDEF"
		switch {
		case c >= '0' && c <= '7':
			n, err := strconv.ParseUint(string(c)+digits(2, "01234567"), 8, 8)
			if err != nil {
				p.fail("an octal escape beyond a byte")
			}
			s = append(s, byte(n))
		case c == 'x' || c == 'X':
			d := digits(2, hexDigits)
			if len(d) == 1 {
				d = "0" + d
			}
			v, err := hex.DecodeString(d)
			if err != nil || len(v) != 1 {
				p.fail("a hexadecimal escape without digits")
			}
			s = append(s, v...)
		case c == 'u' || c == 'U':
			n := map[byte]int{'u': 4, 'U': 8}[c]
			v, err := strconv.ParseUint(digits(n, hexDigits), 16, 32)
			if err != nil || !utf8.ValidRune(rune(v)) {
				p.fail("no character")
			}
			s = utf8.AppendRune(s, rune(v))
		default:
			e, ok := escapes[c]
			if !ok {
				p.fail("an unknown escape")
			}
			s = append(s, e)
		}
	}
	p.fail("a text without end")
	return s
}
