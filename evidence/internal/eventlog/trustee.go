package eventlog

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/jsonx"
)

func m(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

// TrusteeClaims is the claim uefi_event_logs of policies written for Trustee (kbs-evidence.md section 6): measured events
// only, digests of the replayed bank only, and with the hints where these policies look for them.
// digest_matches_event says, as there, whether the digest is that of the event data.
func (x *Explained) TrusteeClaims() claim.Node {
	out := make([]claim.Node, len(x.Events))
	for i := range x.Events {
		e := &x.Events[i]
		out[i] = claim.O(
			m("details", e.details()),
			m("digest_matches_event", claim.B(e.covers(e.Data))),
			m("digests", claim.L(claim.O(m("alg", claim.S(e.Alg.String())), m("digest", claim.H(e.Digest))))),
			m("event", claim.S(base64.StdEncoding.EncodeToString(e.Data))),
			m("index", claim.U(uint64(e.Index))),
			m("type_name", claim.S(e.Type.String())),
		)
	}
	return claim.L(out...)
}

func (e *Measured) details() claim.Node {
	text := func(s string) claim.Node { return claim.O(m("string", claim.S(s))) }
	switch e.Type {
	case EVPostCode, EVAction, EVCompactHash, EVOmitBootDeviceEvents, EVEFIAction, EVPlatformConfigFlags:
		return text(spacedText(e.Data))
	case EVIPL:
		return text(printable(e.Data))
	case EVEFIPlatformFirmwareBlob2, EVEFIHandoffTables2:
		if len(e.Data) > 0 && int(e.Data[0]) < len(e.Data) {
			return text(printable(e.Data[1 : 1+int(e.Data[0])]))
		}
	case EVEFIVariableDriverConfig, EVEFIVariableBoot, EVEFIVariableBoot2, EVEFIVariableAuthority:
		if v := parseVariable(e.Data); v != nil {
			return claim.O(m("unicode_name", claim.S(v.Name)), m("unicode_name_length", claim.U(uint64(len([]rune(v.Name))))),
				m("variable_data", claim.S(base64.StdEncoding.EncodeToString(v.Data))), m("variable_data_length", claim.U(uint64(len(v.Data)))),
				m("variable_name", claim.S(rawGUID(v.GUID))))
		}
	case EVEFIBootServicesApp:
		if p := devicePaths(e.Data); len(p) > 0 {
			return claim.O(m("device_paths", textList(p)))
		}
	case EVEventTag:
		return e.tagDetails()
	}
	return claim.O()
}

func (e *Measured) tagDetails() claim.Node {
	id, data, ok := taggedEvent(e.Data)
	if !ok {
		return claim.O()
	}
	s := m("string", claim.S(printable(data)))
	if id != tagAAEL {
		return claim.O(s)
	}
	a := parseAAEL(data)
	if a == nil {
		return claim.O(s)
	}
	return claim.O(m("data", a.node()), s, m("unicode_name", claim.S("AAEL")))
}

// node renders the event; content is JSON if it parses, else text.
func (a *AAEL) node() claim.Node {
	content := claim.S(a.Content)
	if n, ok := jsonNode([]byte(a.Content), 0); ok {
		content = n
	}
	return claim.O(m("content", content), m("domain", claim.S(a.Domain)), m("operation", claim.S(a.Operation)))
}

func textList(list []string) claim.Node {
	out := make([]claim.Node, len(list))
	for i, s := range list {
		out[i] = claim.S(s)
	}
	return claim.L(out...)
}

// spacedText is text whose runs of control characters are one blank each; "" for what is no text.
func spacedText(b []byte) string {
	if !utf8.Valid(b) {
		return ""
	}
	return strings.Join(strings.FieldsFunc(string(b), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}

// rawGUID renders a GUID in the order of its bytes, as Trustee does.
func rawGUID(g [16]byte) string {
	h := hex.EncodeToString(g[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// jsonNode turns strict JSON into claims. Numbers that are no integers of 64 bits stay text.
func jsonNode(raw []byte, depth int) (claim.Node, bool) {
	if depth == 0 && jsonx.Check(raw) != nil || depth > 32 {
		return claim.Node{}, false
	}
	t := strings.TrimSpace(string(raw))
	switch {
	case t == "":
		return claim.Node{}, false
	case t == "null":
		return claim.Null(), true
	case t == "true", t == "false":
		return claim.B(t == "true"), true
	case t[0] == '"':
		s, err := jsonx.String([]byte(t))
		return claim.S(s), err == nil
	case t[0] == '[':
		elems, err := jsonx.Array([]byte(t))
		out := make([]claim.Node, len(elems))
		for i, e := range elems {
			var ok bool
			if out[i], ok = jsonNode(e, depth+1); !ok || err != nil {
				return claim.Node{}, false
			}
		}
		return claim.L(out...), err == nil
	case t[0] == '{':
		members, err := jsonx.Object([]byte(t))
		out := make([]claim.Member, len(members))
		for i, mm := range members {
			v, ok := jsonNode(mm.Raw, depth+1)
			if !ok || err != nil {
				return claim.Node{}, false
			}
			out[i] = m(mm.Name, v)
		}
		return claim.O(out...), err == nil
	}
	if u, err := strconv.ParseUint(t, 10, 64); err == nil {
		return claim.U(u), true
	}
	if i, err := strconv.ParseInt(t, 10, 64); err == nil {
		return claim.I(i), true
	}
	return claim.S(t), true
}
