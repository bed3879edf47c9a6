package foreign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Kind is whose token it is.
type Kind string

// The kinds.
const (
	MAA               Kind = "maa"                // Microsoft Azure Attestation
	ConfidentialSpace Kind = "confidential-space" // Google
	TrustAuthority    Kind = "trust-authority"    // Intel
)

// algorithms are what each kind signs with, by its documentation.
var algorithms = map[Kind][]string{MAA: {"RS256"}, ConfidentialSpace: {"RS256"}, TrustAuthority: {"PS384", "RS256"}}

// Kinds lists the kinds.
func Kinds() []Kind { return []Kind{MAA, ConfidentialSpace, TrustAuthority} }

func kindNames() string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Config says which tokens a relying party accepts. There is no value that accepts everything.
type Config struct {
	Kind Kind
	// Keys are pinned keys of the verifier. Roots are roots to which the certificates in a token's header (x5c) may chain
	// instead, as those of Confidential Space's PKI tokens do. At least one of both.
	Keys  []Key
	Roots []*x509.Certificate
	// Time is the clock; zero is refused.
	Time time.Time
	// Issuer must equal iss; required, since services of one kind share their keys among tenants.
	Issuer string
	// Audience must be named by aud when it is not empty. A token with an aud is refused without it.
	Audience string
	// Nonce is the one that was asked with, as the token shows it; "" when none was.
	Nonce string
	// Skew is how far in the future iat and nbf may lie; 0 means one minute.
	Skew time.Duration
	// MaxAge bounds the age of a token beside its exp; 0 means no bound of our own.
	MaxAge time.Duration
}

// Token is a verified token: somebody else's word, with what is known of it in common terms.
type Token struct {
	Kind     Kind
	Issuer   string
	IssuedAt time.Time
	Expires  time.Time
	KeyID    string // kid of the key that verified it, or the subject of its certificate
	Bound    bool   // a nonce was asked for and found

	TEE         string // as the token names it
	Measurement string // what was launched, as the token writes it; "" when it does not say
	Debug       *bool  // nil when the token does not say
	SecureBoot  *bool
	Compliant   *bool // the service's own verdict; nil when it gives none

	Claims claim.Object
}

const (
	maxToken    = 256 << 10
	defaultSkew = time.Minute
	minNonce    = 8
	maxDepth    = 16
)

// Verify checks a token. Its errors have the classes malformed, unsupported, signature, expired, binding and usage.
func Verify(token []byte, cfg Config) (*Token, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if len(token) > maxToken {
		return nil, fault.New(fault.Malformed, "a token of %d bytes; at most %d are read", len(token), maxToken)
	}
	parts := bytes.Split(token, []byte("."))
	if len(parts) != 3 {
		return nil, fault.New(fault.Malformed, "not a JWT of three parts")
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(string(p))
		if err != nil {
			return nil, fault.New(fault.Malformed, "part %d of the token is not base64url: %w", i+1, err)
		}
		raw[i] = b
	}
	id, err := cfg.authenticate(raw[0], token[:len(parts[0])+1+len(parts[1])], raw[2])
	if err != nil {
		return nil, err
	}
	o, err := members(raw[1])
	if err != nil {
		return nil, fault.Wrap(err, "claims of the token")
	}
	t := &Token{Kind: cfg.Kind, KeyID: id}
	if err := t.standard(o, cfg); err != nil {
		return nil, err
	}
	if err := t.nonce(o, cfg); err != nil {
		return nil, err
	}
	n, err := node(raw[1], 0)
	if err != nil {
		return nil, err
	}
	t.Claims = n.Object()
	if err := t.facts(); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Config) check() error {
	switch {
	case algorithms[c.Kind] == nil:
		return fault.New(fault.Usage, "unknown kind of token %q; known are %s", c.Kind, kindNames())
	case len(c.Keys)+len(c.Roots) == 0:
		return fault.New(fault.Usage, "no key of the service; without one every token would be refused")
	case c.Time.IsZero():
		return fault.New(fault.Internal, "foreign.Verify without a clock")
	case c.Issuer == "":
		return fault.New(fault.Usage, "name the issuer that you expect (--issuer URL): keys of such services are shared among tenants")
	case c.Nonce != "" && len(c.Nonce) < minNonce:
		return fault.New(fault.Usage, "a nonce of %d characters; at least %d are needed", len(c.Nonce), minNonce)
	}
	if c.Skew <= 0 {
		c.Skew = defaultSkew
	}
	return nil
}

// authenticate verifies the signature over the bytes as carried, and names the key.
func (c *Config) authenticate(header, signed, sig []byte) (string, error) {
	h, err := members(header)
	if err != nil {
		return "", fault.Wrap(err, "header of the token")
	}
	if h["crit"] != nil || h["b64"] != nil {
		return "", fault.New(fault.Unsupported, "the token has critical extensions; none is known here")
	}
	alg, err := jsonx.String(h["alg"])
	if err != nil {
		return "", fault.Wrap(err, "alg")
	}
	if !slices.Contains(algorithms[c.Kind], alg) {
		return "", fault.New(fault.Unsupported, "signature algorithm %q; tokens of %s are signed with %v", alg, c.Kind, algorithms[c.Kind])
	}
	kid := ""
	if h["kid"] != nil {
		if kid, err = jsonx.String(h["kid"]); err != nil {
			return "", fault.Wrap(err, "kid")
		}
	}
	tried := 0
	for _, k := range c.Keys {
		if kid != "" && k.KID != "" && k.KID != kid {
			continue
		}
		if tried++; verify(k.Key, alg, signed, sig) {
			return k.KID, nil
		}
	}
	if len(c.Roots) > 0 && h["x5c"] != nil {
		return c.certified(h["x5c"], alg, signed, sig)
	}
	return "", fault.New(fault.Signature, "the token was signed by none of the pinned keys (%d tried, the token names %q)", tried, kid)
}

// certified verifies under the certificate in the header, which must chain to a pinned root.
func (c *Config) certified(x5c []byte, alg string, signed, sig []byte) (string, error) {
	list, err := jsonx.Array(x5c)
	if err != nil || len(list) == 0 || len(list) > 8 {
		return "", fault.New(fault.Malformed, "x5c is no list of one to eight certificates")
	}
	var certs []*x509.Certificate
	for _, raw := range list {
		s, err := jsonx.String(raw)
		if err != nil {
			return "", fault.Wrap(err, "x5c")
		}
		der, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return "", fault.New(fault.Malformed, "x5c: %w", err)
		}
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return "", fault.New(fault.Malformed, "x5c: %w", err)
		}
		certs = append(certs, x)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: c.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range c.Roots {
		opts.Roots.AddCert(r)
	}
	for _, x := range certs[1:] {
		opts.Intermediates.AddCert(x)
	}
	if _, err := certs[0].Verify(opts); err != nil {
		return "", fault.New(fault.Signature, "the certificate of the token leads to no pinned root: %w", err)
	}
	if !verify(certs[0].PublicKey, alg, signed, sig) {
		return "", fault.New(fault.Signature, "the token was not signed by the key of its certificate")
	}
	return certs[0].Subject.String(), nil
}

func verify(key crypto.PublicKey, alg string, msg, sig []byte) bool {
	h := crypto.SHA256
	if strings.HasSuffix(alg, "384") {
		h = crypto.SHA384
	}
	d := h.New()
	d.Write(msg)
	sum := d.Sum(nil)
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch {
		case k.N.BitLen() < 2048 || k.N.BitLen() > 8192:
			return false
		case alg[0] == 'P':
			return rsa.VerifyPSS(k, h, sum, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		case alg[0] == 'R':
			return rsa.VerifyPKCS1v15(k, h, sum, sig) == nil
		}
	case *ecdsa.PublicKey:
		n := len(sig) / 2
		return alg[0] == 'E' && len(sig) == 2*((k.Curve.Params().BitSize+7)/8) && ecdsa.Verify(k, sum, new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	}
	return false
}

// standard checks iss, exp, nbf, iat and aud (RFC 7519 section 4.1).
func (t *Token) standard(o object, cfg Config) error {
	var err error
	if t.Issuer, err = jsonx.String(o["iss"]); err != nil || t.Issuer != cfg.Issuer {
		return fault.New(fault.Binding, "the issuer is %q, %q is expected", t.Issuer, cfg.Issuer)
	}
	if t.Expires, err = date(o, "exp"); err != nil {
		return err
	}
	if t.Expires.IsZero() {
		return fault.New(fault.Malformed, "the token has no exp")
	}
	if t.IssuedAt, err = date(o, "iat"); err != nil {
		return err
	}
	nbf, err := date(o, "nbf")
	if err != nil {
		return err
	}
	switch latest := cfg.Time.Add(cfg.Skew); {
	case !cfg.Time.Before(t.Expires):
		return fault.New(fault.Expired, "the token held until %s", t.Expires.UTC().Format(time.RFC3339))
	case t.IssuedAt.After(latest) || nbf.After(latest):
		return fault.New(fault.Expired, "the token does not hold yet")
	case cfg.MaxAge > 0 && (t.IssuedAt.IsZero() || cfg.Time.Sub(t.IssuedAt) > cfg.MaxAge):
		return fault.New(fault.Expired, "the token is older than %s", cfg.MaxAge)
	}
	auds, err := stringOrList(o["aud"])
	switch {
	case err != nil:
		return fault.Wrap(err, "aud")
	case cfg.Audience == "" && len(auds) > 0:
		return fault.New(fault.Binding, "the token is for %q; say whom you expect it to be for", auds)
	case cfg.Audience != "" && !slices.Contains(auds, cfg.Audience):
		return fault.New(fault.Binding, "the token is for %q, not for %q", auds, cfg.Audience)
	}
	return nil
}

// date reads a NumericDate; zero when absent.
func date(o object, name string) (time.Time, error) {
	if o[name] == nil {
		return time.Time{}, nil
	}
	f, err := strconv.ParseFloat(string(bytes.TrimSpace(o[name])), 64)
	if err != nil || f < 0 || f > 1<<40 || math.IsNaN(f) {
		return time.Time{}, fault.New(fault.Malformed, "%s is no date", name)
	}
	return time.Unix(int64(f), 0), nil
}

func stringOrList(raw []byte) ([]string, error) {
	if raw == nil {
		return nil, nil
	}
	if s, err := jsonx.String(raw); err == nil {
		return []string{s}, nil
	}
	list, err := jsonx.Array(raw)
	if err != nil || len(list) > 64 {
		return nil, fault.New(fault.Malformed, "neither text nor a list of texts")
	}
	var out []string
	for _, x := range list {
		s, err := jsonx.String(x)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// nonce looks where the kind of token shows the nonce that it was asked with.
func (t *Token) nonce(o object, cfg Config) error {
	if cfg.Nonce == "" {
		return nil
	}
	var have []string
	take := func(raw []byte) {
		if list, err := stringOrList(raw); err == nil {
			have = append(have, list...)
		}
	}
	switch t.Kind {
	case ConfidentialSpace:
		take(o["eat_nonce"])
	case TrustAuthority:
		if v, err := members(o["verifier_nonce"]); err == nil {
			take(v["val"])
		}
		take(o["eat_nonce"])
	case MAA:
		take(o["nonce"])
		if rt, err := members(o["x-ms-runtime"]); err == nil {
			if p, err := members(rt["client-payload"]); err == nil {
				take(p["nonce"])
			}
		}
	}
	for _, h := range have {
		if subtle.ConstantTimeCompare([]byte(h), []byte(cfg.Nonce)) == 1 {
			t.Bound = true
		}
	}
	if !t.Bound {
		return fault.New(fault.Binding, "the token does not show the nonce that was asked with")
	}
	return nil
}

// node renders JSON as claims. Numbers that are no integers stay text.
func node(raw []byte, depth int) (claim.Node, error) {
	raw = bytes.TrimSpace(raw)
	if depth > maxDepth {
		return claim.Null(), fault.New(fault.Malformed, "claims nested deeper than %d", maxDepth)
	}
	switch {
	case raw[0] == '{':
		list, err := jsonx.Object(raw)
		if err != nil {
			return claim.Null(), err
		}
		var out claim.Object
		for _, x := range list {
			n, err := node(x.Raw, depth+1)
			if err != nil {
				return claim.Null(), err
			}
			out = append(out, claim.Member{Name: x.Name, Value: n})
		}
		return claim.O(out...), nil
	case raw[0] == '[':
		list, err := jsonx.Array(raw)
		if err != nil {
			return claim.Null(), err
		}
		var out []claim.Node
		for _, x := range list {
			n, err := node(x, depth+1)
			if err != nil {
				return claim.Null(), err
			}
			out = append(out, n)
		}
		return claim.L(out...), nil
	case raw[0] == '"':
		s, err := jsonx.String(raw)
		return claim.S(s), err
	case string(raw) == "true", string(raw) == "false":
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
