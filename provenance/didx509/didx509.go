// Package didx509 resolves did:x509 identifiers (microsoft/did-x509) against a certificate chain. That a chain and an
// identifier fit proves nothing by itself; trust is that the identifier was configured.
package didx509

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	maxLength = 8 << 10 // bytes of an identifier
	maxChain  = 16
)

// DID is a parsed identifier.
type DID struct {
	Text        string // without fragment
	alg         string
	fingerprint []byte
	predicates  []predicate
}

type predicate struct {
	name string
	args []string // decoded
}

// Parse reads an identifier. Errors are malformed, or unsupported for algorithms and predicates that are not known.
func Parse(s string) (*DID, error) {
	if len(s) > maxLength {
		return nil, fault.New(fault.Malformed, "did:x509 of %d bytes", len(s))
	}
	s, _, _ = strings.Cut(s, "#")
	if strings.ContainsAny(s, "/?") {
		return nil, fault.New(fault.Malformed, "did:x509 with a path or query")
	}
	rest, ok := strings.CutPrefix(s, "did:x509:0:")
	if !ok {
		return nil, fault.New(fault.Malformed, "%q does not begin with did:x509:0:", s)
	}
	parts := strings.Split(rest, "::")
	alg, fp, ok := strings.Cut(parts[0], ":")
	if !ok || strings.Contains(fp, ":") {
		return nil, fault.New(fault.Malformed, "did:x509 without algorithm and fingerprint")
	}
	if len(parts) < 2 {
		return nil, fault.New(fault.Malformed, "did:x509 without a predicate")
	}
	d := &DID{Text: s, alg: alg}
	if len(digest(alg, nil)) == 0 {
		return nil, fault.New(fault.Unsupported, "did:x509 fingerprint algorithm %q", alg)
	}
	var err error
	if d.fingerprint, err = base64.RawURLEncoding.Strict().DecodeString(fp); err != nil || len(d.fingerprint) != len(digest(alg, nil)) {
		return nil, fault.New(fault.Malformed, "did:x509 fingerprint %q", fp)
	}
	for _, p := range parts[1:] {
		q, err := parsePredicate(p)
		if err != nil {
			return nil, err
		}
		d.predicates = append(d.predicates, q)
	}
	return d, nil
}

func digest(alg string, b []byte) []byte {
	switch alg {
	case "sha256":
		s := sha256.Sum256(b)
		return s[:]
	case "sha384":
		s := sha512.Sum384(b)
		return s[:]
	case "sha512":
		s := sha512.Sum512(b)
		return s[:]
	}
	return nil
}

func parsePredicate(s string) (p predicate, err error) {
	parts := strings.Split(s, ":")
	p.name = parts[0]
	for _, a := range parts[1:] {
		v, err := decode(a)
		if err != nil {
			return p, err
		}
		p.args = append(p.args, v)
	}
	n := len(p.args)
	bad := func(why string) (predicate, error) {
		return p, fault.New(fault.Malformed, "did:x509 predicate %q: %s", s, why)
	}
	switch p.name {
	case "subject":
		if n == 0 || n%2 != 0 {
			return bad("key and value pairs are expected")
		}
		for i := 0; i < n; i += 2 {
			if subjectOID(p.args[i]) == nil {
				return bad("an unknown key")
			}
			for j := 0; j < i; j += 2 {
				if subjectOID(p.args[j]).Equal(subjectOID(p.args[i])) {
					return bad("a key occurs twice")
				}
			}
		}
	case "san":
		if n != 2 || !slices.Contains([]string{"email", "dns", "uri"}, p.args[0]) {
			return bad("a type (email, dns, uri) and a value are expected")
		}
	case "eku", "fulcio-issuer":
		if n != 1 || p.args[0] == "" {
			return bad("one value is expected")
		}
	default:
		return p, fault.New(fault.Unsupported, "did:x509 predicate %q", p.name)
	}
	return p, nil
}

// decode undoes percent-encoding; only letters, digits, "-", "." and "_" stand for themselves.
func decode(s string) (string, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			out = append(out, c)
		case c == '%' && i+2 < len(s):
			b, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return "", fault.New(fault.Malformed, "did:x509: %q is no percent-encoding", s)
			}
			out = append(out, b[0])
			i += 2
		default:
			return "", fault.New(fault.Malformed, "did:x509: %q holds a character that must be percent-encoded", s)
		}
	}
	if !utf8.Valid(out) {
		return "", fault.New(fault.Malformed, "did:x509: %q is not UTF-8", s)
	}
	return string(out), nil
}

var subjectKeys = map[string]asn1.ObjectIdentifier{"CN": {2, 5, 4, 3}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8}, "O": {2, 5, 4, 10},
	"OU": {2, 5, 4, 11}, "C": {2, 5, 4, 6}, "STREET": {2, 5, 4, 9}}

func subjectOID(key string) asn1.ObjectIdentifier {
	if id, ok := subjectKeys[key]; ok {
		return id
	}
	o, err := x509.ParseOID(key)
	if err != nil || !strings.Contains(key, ".") {
		return nil
	}
	var id asn1.ObjectIdentifier
	der, err := o.MarshalBinary()
	if err != nil {
		return nil
	}
	b := append([]byte{asn1.TagOID, byte(len(der))}, der...)
	if len(der) > 127 {
		return nil
	}
	if _, err := asn1.Unmarshal(b, &id); err != nil {
		return nil
	}
	return id
}

// Resolve checks that chain (leaf first, at least two certificates) is valid and that d describes it, and returns the
// leaf's key. Validity times are the caller's to judge. Classes: malformed, signature (the chain does not hold), policy
// (the chain is another's).
func Resolve(did string, chain []*x509.Certificate) (crypto.PublicKey, error) {
	d, err := Parse(did)
	if err != nil {
		return nil, err
	}
	if len(chain) < 2 || len(chain) > maxChain {
		return nil, fault.New(fault.Malformed, "did:x509: a chain of %d certificates; 2 to %d are expected", len(chain), maxChain)
	}
	if err := validate(chain); err != nil {
		return nil, fault.Wrap(err, "did:x509")
	}
	if !slices.ContainsFunc(chain[1:], func(c *x509.Certificate) bool { return string(digest(d.alg, c.Raw)) == string(d.fingerprint) }) {
		return nil, fault.New(fault.Policy, "did:x509: no authority in the chain has that fingerprint")
	}
	for _, p := range d.predicates {
		if !p.holds(chain[0]) {
			return nil, fault.New(fault.Policy, "did:x509: the certificate does not meet %s:%s", p.name, strings.Join(p.args, ":"))
		}
	}
	return chain[0].PublicKey, nil
}

func (p predicate) holds(c *x509.Certificate) bool {
	switch p.name {
	case "subject":
		for i := 0; i < len(p.args); i += 2 {
			id := subjectOID(p.args[i])
			if !slices.ContainsFunc(c.Subject.Names, func(n attribute) bool { v, ok := n.Value.(string); return ok && n.Type.Equal(id) && v == p.args[i+1] }) {
				return false
			}
		}
		return true
	case "san":
		switch p.args[0] {
		case "email":
			return slices.Contains(c.EmailAddresses, p.args[1])
		case "dns":
			return slices.Contains(c.DNSNames, p.args[1])
		}
		for _, u := range c.URIs {
			if u.String() == p.args[1] {
				return true
			}
		}
		return false
	case "eku":
		for _, e := range c.Extensions {
			var ids []asn1.ObjectIdentifier
			if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) {
				if _, err := asn1.Unmarshal(e.Value, &ids); err == nil {
					return slices.ContainsFunc(ids, func(id asn1.ObjectIdentifier) bool { return id.String() == p.args[0] })
				}
			}
		}
		return false
	case "fulcio-issuer":
		for _, e := range c.Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}) {
				return string(e.Value) == "https://"+p.args[0]
			}
		}
	}
	return false
}
