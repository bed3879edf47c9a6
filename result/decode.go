package result

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// decodeJSON reads a claims set. It takes the profiles in accept and no other; unknown claims are ignored (section 1 of
// the draft: receivers must), unknown members of the vector only where the dialect leaves the vector open.
func decodeJSON(b []byte, accept []Profile) (*document, error) {
	if depth(b) > maxDepth {
		return nil, fault.New(fault.Malformed, "claims nested deeper than %d", maxDepth)
	}
	if err := jsonx.Check(b); err != nil {
		return nil, err
	}
	top, err := jsonx.Object(b)
	if err != nil {
		return nil, err
	}
	d := &document{}
	profile, err := textMember(top, "eat_profile")
	if err != nil {
		return nil, err
	}
	if d.profile = Profile(profile); !slices.Contains(accept, d.profile) {
		return nil, fault.New(fault.Unsupported, "eat_profile %q is not accepted here", profile)
	}
	n, err := d.profile.names()
	if err != nil {
		return nil, err
	}
	seenIAT := false
	for _, m := range top {
		var err error
		switch m.Name {
		case "":
			continue // a dialect without some claim has "" for its name
		case "iss":
			d.issuer, err = text(m)
		case "aud":
			d.audience, err = audience(m)
		case "iat":
			seenIAT = true
			d.issuedAt, err = seconds(m)
		case "exp":
			d.expires, err = someSeconds(m)
		case "nbf":
			d.notBefore, err = someSeconds(m)
		case "eat_nonce":
			d.nonce, err = nonce(m)
		case "cnf":
			d.confirmation, err = objectNode(m)
		case "submods":
			err = d.decodeSubmods(m, n)
		case n.verifierID:
			d.developer, d.build, err = verifierID(m)
		case n.status:
			d.status.Set = true
			d.status.V, err = tier(m, n.intStatus)
		case n.basis:
			d.basis, err = objectNode(m)
		case n.mode:
			d.mode, err = objectNode(m)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case !seenIAT:
		return nil, missing("iat")
	case d.developer == "" && d.build == "":
		return nil, missing(n.verifierID)
	case len(d.submods) == 0:
		return nil, missing("submods")
	}
	return d, nil
}

func missing(name string) error {
	return fault.New(fault.Malformed, "the required claim %s is missing or empty", name)
}

func (d *document) decodeSubmods(m jsonx.Member, n *names) error {
	list, err := jsonx.Object(m.Raw)
	if err != nil {
		return fault.Wrap(err, "submods")
	}
	if len(list) > maxSubmods {
		return fault.New(fault.Malformed, "%d submodules, at most %d are read", len(list), maxSubmods)
	}
	for _, e := range list {
		s, err := decodeSubmod(e, n)
		if err != nil {
			return fault.Wrap(err, "submodule %q", e.Name)
		}
		d.submods = append(d.submods, s)
	}
	return nil
}

func decodeSubmod(e jsonx.Member, n *names) (s submod, err error) {
	s.label = e.Name
	members, err := jsonx.Object(e.Raw)
	if err != nil {
		return s, err
	}
	seenStatus := false
	for _, m := range members {
		switch m.Name {
		case "":
			continue // a dialect without some claim has "" for its name
		case n.subStatus:
			seenStatus = true
			s.status, err = tier(m, n.intStatus)
		case n.vector:
			err = s.decodeVector(m, n)
		case n.policyIDs:
			s.policyIDs, err = texts(m, maxPolicies)
		case n.policyID:
			var id string
			if id, err = text(m); err == nil {
				s.policyIDs = []string{id}
			}
		case n.subNonce:
			s.nonce, err = nonce(m)
		case n.keyAttestation:
			s.akpub, err = akpub(m)
		case n.annotated:
			s.annotated, err = objectNode(m)
		case n.policyClaims:
			s.policyClaims, err = objectNode(m)
		case n.trail:
			s.trail, err = objectNode(m)
		case n.fault:
			s.fault, err = objectNode(m)
		}
		if err != nil {
			return s, err
		}
	}
	if !seenStatus {
		return s, missing(n.subStatus)
	}
	return s, nil
}

func (s *submod) decodeVector(m jsonx.Member, n *names) error {
	members, err := jsonx.Object(m.Raw)
	if err != nil {
		return fault.Wrap(err, "%s", m.Name)
	}
	if len(members) == 0 && n.closedVector {
		return fault.New(fault.Malformed, "%s is empty", m.Name)
	}
	for _, e := range members {
		i, err := integer(e)
		if err != nil {
			return err
		}
		if i < math.MinInt8 || i > math.MaxInt8 {
			return fault.New(fault.Malformed, "%s is %d, outside of -128 to 127", e.Name, i)
		}
		k, known := claim.VectorMemberByName(e.Name)
		if !known {
			if n.closedVector {
				return fault.New(fault.Malformed, "%q is no member of the trust vector", e.Name)
			}
			continue
		}
		s.vector[k] = claim.Some(claim.TrustClaim(i))
	}
	return nil
}

// tier reads a status; some dialects also have numbers.
func tier(m jsonx.Member, ints bool) (claim.Tier, error) {
	if ints && len(m.Raw) > 0 && m.Raw[0] != '"' {
		i, err := integer(m)
		if err != nil {
			return claim.TierNone, err
		}
		return tierByNumber(i)
	}
	s, err := text(m)
	if err != nil {
		return claim.TierNone, err
	}
	t, ok := claim.TierByName(s)
	if !ok {
		return claim.TierNone, fault.New(fault.Malformed, "%s: %q is no status", m.Name, s)
	}
	return t, nil
}

func tierByNumber(i int64) (claim.Tier, error) {
	switch t := claim.Tier(i & 0x7f); {
	case i == int64(t) && (t == claim.TierNone || t == claim.TierAffirming || t == claim.TierWarning || t == claim.TierContraindicated):
		return t, nil
	}
	return claim.TierNone, fault.New(fault.Malformed, "%d is no status", i)
}

func verifierID(m jsonx.Member) (developer, build string, err error) {
	members, err := jsonx.Object(m.Raw)
	if err != nil {
		return "", "", fault.Wrap(err, "%s", m.Name)
	}
	if developer, err = textMember(members, "developer"); err != nil {
		return "", "", err
	}
	build, err = textMember(members, "build")
	return developer, build, err
}

func akpub(m jsonx.Member) ([]byte, error) {
	members, err := jsonx.Object(m.Raw)
	if err != nil {
		return nil, fault.Wrap(err, "%s", m.Name)
	}
	s, err := textMember(members, "akpub")
	if err != nil {
		return nil, err
	}
	b, err := unbase64(s)
	if err != nil || len(b) == 0 {
		return nil, fault.New(fault.Malformed, "akpub is not base64url")
	}
	return b, nil
}

// nonce accepts base64 in either alphabet, padded or not, of 8 to 64 bytes (specs ear.md section 11). A list of nonces
// would leave open which of them answers the question, and is refused.
func nonce(m jsonx.Member) ([]byte, error) {
	s, err := text(m)
	if err != nil {
		return nil, err
	}
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	b, err := unbase64(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "%s is not base64", m.Name)
	}
	return b, checkNonce(b)
}

func checkNonce(b []byte) error {
	if len(b) < minNonce || len(b) > maxNonce {
		return fault.New(fault.Malformed, "a nonce of %d bytes; %d to %d are allowed", len(b), minNonce, maxNonce)
	}
	return nil
}

func audience(m jsonx.Member) ([]string, error) {
	if len(m.Raw) > 0 && m.Raw[0] == '[' {
		return texts(m, maxAudiences)
	}
	s, err := text(m)
	return []string{s}, err
}

func text(m jsonx.Member) (string, error) {
	s, err := jsonx.String(m.Raw)
	return s, fault.Wrap(err, "%s", m.Name)
}

func textMember(members []jsonx.Member, name string) (string, error) {
	for _, m := range members {
		if m.Name == name {
			return text(m)
		}
	}
	return "", missing(name)
}

func texts(m jsonx.Member, most int) ([]string, error) {
	list, err := jsonx.Array(m.Raw)
	if err != nil {
		return nil, fault.Wrap(err, "%s", m.Name)
	}
	if len(list) == 0 || len(list) > most {
		return nil, fault.New(fault.Malformed, "%s has %d entries; 1 to %d are allowed", m.Name, len(list), most)
	}
	out := make([]string, len(list))
	for i, raw := range list {
		if out[i], err = jsonx.String(raw); err != nil {
			return nil, fault.Wrap(err, "%s", m.Name)
		}
	}
	return out, nil
}

// integer reads a number without fraction and exponent (specs ear.md section 10, step 5).
func integer(m jsonx.Member) (int64, error) {
	s := string(bytes.TrimSpace(m.Raw))
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil || s == "-0" || s[0] == '+' {
		return 0, fault.New(fault.Malformed, "%s is no integer", m.Name)
	}
	return i, nil
}

func seconds(m jsonx.Member) (int64, error) {
	i, err := integer(m)
	if err == nil && (i < 0 || i > maxSeconds) {
		err = fault.New(fault.Malformed, "%s is no time", m.Name)
	}
	return i, err
}

// maxSeconds is the year 9999; beyond, sums with ages could overflow.
const maxSeconds = 253402300799

func someSeconds(m jsonx.Member) (claim.Opt[int64], error) {
	i, err := seconds(m)
	return claim.Some(i), err
}

func objectNode(m jsonx.Member) (claim.Object, error) {
	n, err := node(m.Raw)
	if err == nil && n.Kind != claim.NodeObject {
		err = fault.New(fault.Malformed, "%s is no object", m.Name)
	}
	return n.Object(), err
}

// node reads any checked JSON value. Numbers that are no integers of 64 bits stay the text that they are.
func node(raw []byte) (claim.Node, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return claim.Null(), fault.New(fault.Malformed, "an empty JSON value")
	case raw[0] == '{':
		members, err := jsonx.Object(raw)
		if err != nil {
			return claim.Null(), err
		}
		out := make([]claim.Member, len(members))
		for i, m := range members {
			out[i].Name = m.Name
			if out[i].Value, err = node(m.Raw); err != nil {
				return claim.Null(), err
			}
		}
		return claim.O(out...), nil
	case raw[0] == '[':
		list, err := jsonx.Array(raw)
		if err != nil {
			return claim.Null(), err
		}
		out := make([]claim.Node, len(list))
		for i, e := range list {
			if out[i], err = node(e); err != nil {
				return claim.Null(), err
			}
		}
		return claim.L(out...), nil
	case raw[0] == '"':
		s, err := jsonx.String(raw)
		return claim.S(s), err
	case string(raw) == "true" || string(raw) == "false":
		return claim.B(raw[0] == 't'), nil
	case string(raw) == "null":
		return claim.Null(), nil
	}
	if u, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return claim.U(u), nil
	}
	if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return claim.I(i), nil
	}
	return claim.S(string(raw)), nil
}

// depth is the deepest nesting of arrays and objects, whatever else is wrong with b.
func depth(b []byte) int {
	d, most, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			d++
			most = max(most, d)
		case c == '}' || c == ']':
			d--
		}
	}
	return most
}
