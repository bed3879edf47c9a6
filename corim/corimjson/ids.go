package corimjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
)

// typed is {"type": …, "value": …}, the form of every type choice.
type typed struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// binary reads base64 of any alphabet, padded or not, or hex after "hex:".
func binary(s string) ([]byte, error) {
	if h, ok := strings.CutPrefix(s, "hex:"); ok {
		b, err := hex.DecodeString(h)
		if err != nil {
			return nil, bad("%q is not hex", s)
		}
		return b, nil
	}
	t := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	b, err := base64.RawStdEncoding.DecodeString(t)
	if err != nil {
		return nil, bad("%q is neither base64 nor hex after \"hex:\"", s)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func str(r json.RawMessage) (string, error) {
	var s string
	if err := decode(r, &s); err != nil {
		return "", bad("a string is expected, found %.40s", r)
	}
	return s, nil
}

func rawBinary(r json.RawMessage) ([]byte, error) {
	s, err := str(r)
	if err != nil {
		return nil, err
	}
	return binary(s)
}

// uuid reads the text form of a UUID.
func uuid(s string) ([]byte, bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return nil, false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return b, err == nil && len(b) == 16
}

// tagID reads a corim-id or tag-id: a string, which is a UUID when it looks like one, or {"type": "string"} for text
// that looks like a UUID and is none.
func tagID(r json.RawMessage) (claim.ID, error) {
	if len(r) == 0 {
		return claim.ID{}, bad("an identifier is missing")
	}
	if r[0] == '{' {
		var t typed
		if err := decode(r, &t); err != nil {
			return claim.ID{}, err
		}
		s, err := str(t.Value)
		if t.Type != "string" || err != nil {
			return claim.ID{}, bad("an identifier is a string, or of type \"string\"")
		}
		return claim.Text(claim.TagNone, s), nil
	}
	s, err := str(r)
	if err != nil {
		return claim.ID{}, err
	}
	if b, ok := uuid(s); ok {
		return claim.Bytes(claim.TagNone, b), nil
	}
	return claim.Text(claim.TagNone, s), nil
}

func tagIDOut(id claim.ID) json.RawMessage {
	if id.Kind == claim.KindBytes {
		return raw(corim.UUIDText(id))
	}
	if _, ok := uuid(id.TextContent()); ok {
		return raw(typed{"string", raw(id.TextContent())})
	}
	return raw(id.TextContent())
}

// binaryTypes are the type choices whose value is base64, with their tags.
var binaryTypes = []struct {
	name string
	tag  uint64
}{{"bytes", claim.TagBytes}, {"ueid", claim.TagUEID}, {"pkix-asn1der-cert", claim.TagPKIXASN1DERCert}}

var textTypes = []struct {
	name string
	tag  uint64
}{{"pkix-base64-key", claim.TagPKIXBase64Key}, {"pkix-base64-cert", claim.TagPKIXBase64Cert}, {"pkix-base64-cert-path", claim.TagPKIXBase64Path}}

var digestTypes = []struct {
	name string
	tag  uint64
}{{"thumbprint", claim.TagKeyThumbprint}, {"cert-thumbprint", claim.TagCertThumbprint}, {"cert-path-thumbprint", claim.TagPathThumbprint}}

func id(r json.RawMessage) (claim.ID, error) {
	var t typed
	if err := decode(r, &t); err != nil {
		return claim.ID{}, err
	}
	v, err := idOf(t)
	if err != nil {
		return claim.ID{}, bad("value of type %q: %w", t.Type, err)
	}
	return v, nil
}

func idOf(t typed) (claim.ID, error) {
	for _, b := range binaryTypes {
		if b.name == t.Type {
			v, err := rawBinary(t.Value)
			return claim.Bytes(b.tag, v), err
		}
	}
	for _, x := range textTypes {
		if x.name == t.Type {
			s, err := str(t.Value)
			return claim.Text(x.tag, s), err
		}
	}
	for _, x := range digestTypes {
		if x.name == t.Type {
			d, err := digest(t.Value)
			return claim.DigestID(x.tag, d), err
		}
	}
	switch t.Type {
	case "uint":
		u, err := strconv.ParseUint(strings.Trim(string(t.Value), `"`), 10, 64)
		if err != nil {
			return claim.ID{}, bad("an unsigned integer is expected")
		}
		return claim.Uint(u), nil
	case "string":
		s, err := str(t.Value)
		return claim.Text(claim.TagNone, s), err
	case "oid":
		s, err := str(t.Value)
		if err != nil {
			return claim.ID{}, err
		}
		v, ok := corim.OID(s)
		if !ok {
			return claim.ID{}, bad("%q is no OID in dotted decimal", s)
		}
		return v, nil
	case "uuid":
		s, err := str(t.Value)
		if err != nil {
			return claim.ID{}, err
		}
		b, ok := uuid(s)
		if !ok {
			return claim.ID{}, bad("%q is no UUID", s)
		}
		return claim.Bytes(claim.TagUUID, b), nil
	case "cose-key":
		b, err := rawBinary(t.Value)
		if err != nil {
			return claim.ID{}, err
		}
		if err := cborx.Check(b, cborx.Limits{}); err != nil {
			return claim.ID{}, err
		}
		return claim.Encoded(claim.TagCOSEKey, cborx.Canonical(b)), nil
	}
	if n, ok := strings.CutPrefix(t.Type, "tag-"); ok {
		tag, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			return claim.ID{}, bad("%q is no tag", t.Type)
		}
		v, err := rawBinary(t.Value)
		return claim.Bytes(tag, v), err
	}
	return claim.ID{}, bad("the type is not known")
}

func idOut(v claim.ID) json.RawMessage { return raw(idTyped(v)) }

func idTyped(v claim.ID) typed {
	if u, ok := v.UintContent(); ok {
		return typed{"uint", raw(u)}
	}
	c := v.Content()
	switch {
	case v.Tag == claim.TagNone:
		return typed{"string", raw(string(c))}
	case v.Tag == claim.TagOID:
		return typed{"oid", oidOut(v)}
	case v.Tag == claim.TagUUID:
		return typed{"uuid", raw(corim.UUIDText(v))}
	case v.Tag == claim.TagCOSEKey:
		return typed{"cose-key", raw(b64(c))}
	}
	for _, b := range binaryTypes {
		if b.tag == v.Tag {
			return typed{b.name, raw(b64(c))}
		}
	}
	for _, x := range textTypes {
		if x.tag == v.Tag {
			return typed{x.name, raw(string(c))}
		}
	}
	for _, x := range digestTypes {
		if x.tag == v.Tag {
			r := cborx.Checked(c)
			r.Array()
			var d claim.Digest
			if r.Kind() == cborx.Text {
				d.AlgName = r.Text()
			} else {
				d.Alg = r.Int64()
			}
			d.Value = r.Bytes()
			return typed{x.name, digestOut(d)}
		}
	}
	return typed{"tag-" + strconv.FormatUint(v.Tag, 10), raw(b64(c))}
}

// oidOut writes an OID dotted, unless its arcs are beyond what reading takes.
func oidOut(v claim.ID) json.RawMessage {
	return raw(v.String())
}

// digest reads "alg;base64" or "alg:base64", whose algorithm is written as its integer, or [alg, "base64"], which is
// kept as it stands.
func digest(r json.RawMessage) (d claim.Digest, err error) {
	if len(r) > 0 && r[0] == '[' {
		var parts []json.RawMessage
		if err := decode(r, &parts); err != nil || len(parts) != 2 {
			return d, bad("a digest is [algorithm, base64]")
		}
		if d.Value, err = rawBinary(parts[1]); err != nil {
			return d, err
		}
		if parts[0][0] != '"' {
			d.Alg, err = strconv.ParseInt(string(parts[0]), 10, 64)
			if err != nil {
				return d, bad("%s is no algorithm", parts[0])
			}
			return d, nil
		}
		name, err := str(parts[0])
		if id, ok := claim.DigestAlgByName(name); ok {
			d.Alg, d.TextAlg = id, true
		} else {
			d.AlgName = name
		}
		return d, err
	}
	s, err := str(r)
	if err != nil {
		return d, err
	}
	name, value, ok := strings.Cut(s, ";")
	if !ok {
		name, value, ok = strings.Cut(s, ":")
	}
	if d.Alg, ok = algOf(name, ok); !ok {
		return d, bad("%q is no digest of the form algorithm;base64", s)
	}
	d.Value, err = binary(value)
	return d, err
}

func algOf(name string, ok bool) (int64, bool) {
	if !ok {
		return 0, false
	}
	return claim.DigestAlgByName(name)
}

func digestOut(d claim.Digest) json.RawMessage {
	switch _, known := claim.DigestSize(d.Alg); {
	case d.AlgName != "":
		return raw([]json.RawMessage{raw(d.AlgName), raw(b64(d.Value))})
	case d.TextAlg:
		return raw([]json.RawMessage{raw(d.AlgString()), raw(b64(d.Value))})
	case known:
		return raw(d.AlgString() + ";" + b64(d.Value))
	}
	return raw([]json.RawMessage{raw(d.Alg), raw(b64(d.Value))})
}

func digests(rs []json.RawMessage) (out []claim.Digest, err error) {
	for _, r := range rs {
		d, err := digest(r)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func digestsOut(ds []claim.Digest) (out []json.RawMessage) {
	for _, d := range ds {
		out = append(out, digestOut(d))
	}
	return out
}

func ids(rs []json.RawMessage) (out []claim.ID, err error) {
	for _, r := range rs {
		v, err := id(r)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func idsOut(vs []claim.ID) (out []json.RawMessage) {
	for _, v := range vs {
		out = append(out, idOut(v))
	}
	return out
}

func isObject(r json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(r), []byte("{")) }
