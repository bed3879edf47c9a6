package result

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/jcs"
)

// object writes one JSON object by appending: every verdict pays for it, and the order of members stays ours.
type object struct {
	b    []byte
	some bool
}

func (o *object) open() { o.b, o.some = append(o.b, '{'), false }

func (o *object) close() { o.b, o.some = append(o.b, '}'), true }

func (o *object) name(n string) {
	if o.some {
		o.b = append(o.b, ',')
	}
	o.some = true
	o.b = append(jcs.AppendString(o.b, n), ':')
}

func (o *object) text(n, s string) {
	if s != "" {
		o.name(n)
		o.b = jcs.AppendString(o.b, s)
	}
}

func (o *object) int(n string, i int64) {
	o.name(n)
	o.b = strconv.AppendInt(o.b, i, 10)
}

// bytes writes base64url without padding (specs ear.md section 2).
func (o *object) bytes(n string, v []byte) {
	if len(v) > 0 {
		o.name(n)
		o.b = append(o.b, '"')
		o.b = base64.RawURLEncoding.AppendEncode(o.b, v)
		o.b = append(o.b, '"')
	}
}

func (o *object) texts(n string, list []string) {
	o.name(n)
	o.b = append(o.b, '[')
	for i, s := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = jcs.AppendString(o.b, s)
	}
	o.b = append(o.b, ']')
}

// object writes a nested object; an empty one is left out (specs ear.md section 1, "not empty").
func (o *object) object(n string, m claim.Object) {
	if n != "" && len(m) > 0 {
		o.name(n)
		o.b = appendNode(o.b, claim.O(m...))
	}
}

// encodeJSON gives the claims set in the dialect of its profile.
func (d *document) encodeJSON() ([]byte, error) {
	n, err := d.profile.names()
	if err != nil {
		return nil, err
	}
	o := &object{b: make([]byte, 0, 2048)}
	o.open()
	o.text("eat_profile", string(d.profile))
	o.text("iss", d.issuer)
	switch len(d.audience) {
	case 0:
	case 1:
		o.text("aud", d.audience[0])
	default:
		o.texts("aud", d.audience)
	}
	o.int("iat", d.issuedAt)
	if d.notBefore.Set {
		o.int("nbf", d.notBefore.V)
	}
	if d.expires.Set {
		o.int("exp", d.expires.V)
	}
	o.bytes("eat_nonce", d.nonce)
	o.object(n.verifierID, claim.Object{{Name: "developer", Value: claim.S(d.developer)}, {Name: "build", Value: claim.S(d.build)}})
	if n.status != "" && d.status.Set {
		o.text(n.status, d.status.V.String())
	}
	o.object("cnf", d.confirmation)
	o.object(n.basis, d.basis)
	o.object(n.mode, d.mode)
	o.name("submods")
	o.open()
	for i := range d.submods {
		o.name(d.submods[i].label)
		d.submods[i].encodeJSON(o, n)
	}
	o.close()
	o.close()
	return o.b, nil
}

func (s *submod) encodeJSON(o *object, n *names) {
	o.open()
	o.text(n.subStatus, s.status.String())
	if n.allVectorMembers || s.hasVector() {
		o.name(n.vector)
		o.open()
		for i, m := range s.vector {
			if m.Set || n.allVectorMembers {
				o.int(claim.VectorMember(i).String(), int64(m.V))
			}
		}
		o.close()
	}
	switch {
	case n.policyIDs != "" && len(s.policyIDs) > 0:
		o.texts(n.policyIDs, s.policyIDs)
	case n.policyID != "" && len(s.policyIDs) > 0:
		o.text(n.policyID, s.policyIDs[0])
	}
	if n.subNonce != "" {
		o.bytes(n.subNonce, s.nonce)
	}
	if len(s.akpub) > 0 {
		o.object(n.keyAttestation, claim.Object{{Name: "akpub", Value: claim.S(base64.RawURLEncoding.EncodeToString(s.akpub))}})
	}
	o.object(n.annotated, s.annotated)
	o.object(n.policyClaims, s.policyClaims)
	o.object(n.trail, s.trail)
	o.object(n.fault, s.fault)
	o.close()
}

// appendNode is the JSON of a node; byte strings are lower-case hex.
func appendNode(b []byte, n claim.Node) []byte {
	switch n.Kind {
	case claim.NodeText:
		return jcs.AppendString(b, n.Text())
	case claim.NodeHex:
		b = append(b, '"')
		b = hex.AppendEncode(b, n.Bytes())
		return append(b, '"')
	case claim.NodeUint:
		return strconv.AppendUint(b, n.Uint(), 10)
	case claim.NodeInt:
		return strconv.AppendInt(b, n.Int(), 10)
	case claim.NodeBool:
		return strconv.AppendBool(b, n.Bool())
	case claim.NodeList:
		b = append(b, '[')
		for i, e := range n.List() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendNode(b, e)
		}
		return append(b, ']')
	case claim.NodeObject:
		b = append(b, '{')
		for i, m := range n.Object() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(jcs.AppendString(b, m.Name), ':')
			b = appendNode(b, m.Value)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}
