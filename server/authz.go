package server

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/protocol/rcar"
)

// AuthorizationMode is how administrators are recognised.
type AuthorizationMode string

// The modes; the names are those of the existing server's configuration.
const (
	// AuthenticatedAuthorization takes the tokens of [Authorization]; it is the default.
	AuthenticatedAuthorization AuthorizationMode = "AuthenticatedAuthorization"
	// DenyAll closes administration.
	DenyAll AuthorizationMode = "DenyAll"
	// InsecureAllowAll lets anybody who reaches the server administer it.
	InsecureAllowAll AuthorizationMode = "InsecureAllowAll"
)

// Authorization says who may administer, beside [Config.Admins].
type Authorization struct {
	Mode      AuthorizationMode
	Providers []Provider
	// ACLs say which endpoints a role of a JWT may call. A role that is not named here has the permissions of the built-in
	// role of that name, if there is one.
	ACLs []ACL
}

// Provider is an issuer of administrators' JWTs.
type Provider struct {
	Issuer   string             // iss that is required; "" for any
	Audience string             // member of aud that is required; "" for any
	Keys     []crypto.PublicKey // Ed25519, ECDSA on P-256 to P-521, RSA from 2048 bits
	Role     string             // role of tokens that carry none, as older kbs-client versions make them; "" refuses those
}

// ACL allows a role the endpoints whose URI, query included, matches. The method plays no part, so that existing lists
// mean what they meant.
type ACL struct {
	Role             string
	AllowedEndpoints string // must begin with ^/kbs and end with $
}

type authz struct {
	mode      AuthorizationMode
	tokens    []Admin
	providers []Provider
	acls      map[string][]*regexp.Regexp
}

func newAuthz(c Config) (*authz, error) {
	a := &authz{mode: c.Authorization.Mode, tokens: c.Admins, providers: c.Authorization.Providers, acls: map[string][]*regexp.Regexp{}}
	switch a.mode {
	case "":
		a.mode = AuthenticatedAuthorization
	case AuthenticatedAuthorization, DenyAll, InsecureAllowAll:
	default:
		return nil, fault.New(fault.Usage, "authorization_mode %q is not one of %s, %s, %s", a.mode, AuthenticatedAuthorization, DenyAll, InsecureAllowAll)
	}
	for _, p := range a.providers {
		if len(p.Keys) == 0 {
			return nil, fault.New(fault.Usage, "identity provider %q has no keys", p.Issuer)
		}
		for _, k := range p.Keys {
			if len(jwtAlgs(k)) == 0 {
				return nil, fault.New(fault.Unsupported, "a key of identity provider %q is of a kind that is not known here", p.Issuer)
			}
		}
	}
	for _, l := range c.Authorization.ACLs {
		re, err := parseACL(l.AllowedEndpoints)
		if err != nil {
			return nil, err
		}
		a.acls[l.Role] = append(a.acls[l.Role], re)
	}
	return a, nil
}

func parseACL(pattern string) (*regexp.Regexp, error) {
	if !strings.HasPrefix(pattern, "^/kbs") || !strings.HasSuffix(pattern, "$") || len(pattern) > 1024 {
		return nil, fault.New(fault.Usage, "allowed_endpoints %q must begin with ^/kbs and end with $", pattern)
	}
	// The whole is wrapped, so that an alternative in the middle cannot escape the anchors.
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, fault.New(fault.Usage, "allowed_endpoints: %w", err)
	}
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	return re, fault.As(fault.Usage, err)
}

// errNoIssuer is the cause that clients and suites look for.
const (
	causeNoIssuer = "Cannot verify token with any of the issuers"
	causeNoRole   = "Missing required `role` claim in JWT"
	causeDenyAll  = "DenyAll authorization_mode is enabled"
)

// who finds out who asks. Every configured token is compared, so that the time does not tell which one came close.
func (a *authz) who(r *http.Request, now time.Time) (actor *Admin, jwtRole, cause string) {
	switch a.mode {
	case DenyAll:
		return nil, "", causeDenyAll
	case InsecureAllowAll:
		return &Admin{Name: "anybody (InsecureAllowAll)", Roles: []Role{RoleAdmin}}, "", ""
	}
	token := rcar.Bearer(r)
	if token == "" {
		return nil, "", causeNoIssuer
	}
	sum := sha256.Sum256([]byte(token))
	for i := range a.tokens {
		if subtle.ConstantTimeCompare(sum[:], a.tokens[i].TokenSHA256[:]) == 1 {
			actor = &a.tokens[i]
		}
	}
	if actor != nil {
		return actor, "", ""
	}
	for _, p := range a.providers {
		claims, ok := p.verify(token, now)
		if !ok {
			continue
		}
		role := claims.Role
		if role == "" {
			role = p.Role
		}
		if role == "" {
			return nil, "", causeNoRole
		}
		name := claims.Subject
		if name == "" {
			name = role
		}
		if p.Issuer != "" {
			name += "@" + p.Issuer
		}
		return &Admin{Name: clip(name)}, role, ""
	}
	return nil, "", causeNoIssuer
}

// authorize refuses whoever may not call rt.
func (s *Server) authorize(rt route, r *http.Request) (*Admin, error) {
	who, role, cause := s.authz.who(r, s.cfg.Clock())
	status := http.StatusUnauthorized
	switch {
	case who == nil:
	case role == "":
		for _, x := range who.Roles {
			if x.May(rt.perm) {
				return who, nil
			}
		}
		status, cause = http.StatusForbidden, "Role not allowed for path "+r.URL.Path
	default:
		lists, listed := s.authz.acls[role]
		for _, re := range lists {
			if re.MatchString(r.URL.RequestURI()) {
				return who, nil
			}
		}
		if !listed && Role(role).May(rt.perm) {
			return who, nil
		}
		status, cause = http.StatusForbidden, "Role "+clip(role)+" not allowed for path "+r.URL.RequestURI()
	}
	e := &wireError{status: status, variant: rcar.AdminAuthAccess, detail: "admin access denied for endpoint " + r.URL.Path + ": " + cause}
	if rt.plugin {
		e.variant, e.detail = rcar.AdminAuthInitialization, "failed to initialize [admin] configuration: "+cause
	}
	e.err = fault.New(fault.Denied, "no valid administrator's token: %s", cause)
	if status == http.StatusForbidden {
		e.err = fault.New(fault.Denied, "%s lacks the permission %s: %s", who.Name, rt.perm, cause)
	}
	return who, e
}

type jwtClaims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	Expires  *float64        `json:"exp"`
	Before   *float64        `json:"nbf"`
	Role     string          `json:"role"`
}

// leeway is how far the clocks of issuer and server may differ.
const leeway = time.Minute

// maxToken bounds an administrator's token, in bytes.
const maxToken = 16 << 10

func (p Provider) verify(token string, now time.Time) (jwtClaims, bool) {
	var c jwtClaims
	if len(token) > maxToken {
		return c, false
	}
	var payload []byte
	for _, key := range p.Keys {
		// The algorithm is that of the key, never what the token says (RFC 8725 section 3.1).
		sig, err := jose.ParseSigned(token, jwtAlgs(key))
		if err != nil || len(sig.Signatures) != 1 {
			continue
		}
		if payload, err = sig.Verify(key); err == nil {
			break
		}
		payload = nil
	}
	if payload == nil || jsonx.Unmarshal(payload, &c, false) != nil {
		return c, false
	}
	at := func(f float64) time.Time { return time.Unix(int64(min(max(f, 0), 1<<40)), 0) }
	switch {
	case c.Expires == nil || now.After(at(*c.Expires).Add(leeway)):
		return c, false
	case c.Before != nil && now.Add(leeway).Before(at(*c.Before)):
		return c, false
	case p.Issuer != "" && c.Issuer != p.Issuer:
		return c, false
	case p.Audience != "" && !hasAudience(c.Audience, p.Audience):
		return c, false
	}
	return c, true
}

func hasAudience(raw json.RawMessage, want string) bool {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one == want
	}
	var many []string
	if json.Unmarshal(raw, &many) != nil {
		return false
	}
	for _, a := range many {
		if a == want {
			return true
		}
	}
	return false
}

// jwtAlgs lists the algorithms that fit a key.
func jwtAlgs(key crypto.PublicKey) []jose.SignatureAlgorithm {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	}
	return nil
}
