package cborx

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Diag writes a checked item in diagnostic notation (RFC 8949 section 8), byte strings of more than short bytes
// abbreviated with their length; short 0 abbreviates none. Text is quoted so that it cannot steer a terminal.
func Diag(item []byte, short int) string {
	var b strings.Builder
	diag(&b, Checked(item), short)
	return b.String()
}

func diag(b *strings.Builder, r *Reader, short int) {
	switch r.Kind() {
	case Uint, Nint:
		neg, mag := r.Int()
		switch {
		case !neg:
			b.WriteString(strconv.FormatUint(mag, 10))
		case mag == 1<<64-1:
			b.WriteString("-18446744073709551616")
		default:
			b.WriteString("-" + strconv.FormatUint(mag+1, 10))
		}
	case Bytes:
		b.WriteString("h'" + ShortHex(r.Bytes(), short) + "'")
	case Text:
		b.WriteString(strconv.QuoteToGraphic(r.Text()))
	case Array:
		b.WriteByte('[')
		for i, n := 0, r.Array(); i < n && r.OK(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			diag(b, r, short)
		}
		b.WriteByte(']')
	case Map:
		b.WriteByte('{')
		for i, n := 0, r.Map(); i < n && r.OK(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			diag(b, r, short)
			b.WriteString(": ")
			diag(b, r, short)
		}
		b.WriteByte('}')
	case Tag:
		b.WriteString(strconv.FormatUint(r.Tag(), 10) + "(")
		diag(b, r, short)
		b.WriteByte(')')
	case Bool:
		b.WriteString(strconv.FormatBool(r.Bool()))
	case Float:
		s := strconv.FormatFloat(r.Float(), 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		b.WriteString(s)
	default:
		r.Skip()
		b.WriteString("null")
	}
}

// ShortHex is the hex of v, of more than short bytes only the beginning and the length; short 0 keeps all.
func ShortHex(v []byte, short int) string {
	if short <= 0 || len(v) <= short {
		return hex.EncodeToString(v)
	}
	return hex.EncodeToString(v[:short]) + "… (" + strconv.Itoa(len(v)) + " bytes)"
}
