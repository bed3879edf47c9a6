package server

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/result"
)

// Passport says which results of other verifiers are accepted as bearer tokens (kbs-protocol.md section 12). There is no
// mode that takes whatever key a token brings along.
type Passport struct {
	// Keys of verifiers that are trusted, the server's own among them if it takes back its own tokens.
	Keys []crypto.PublicKey
	// Roots are anchors of certificate chains (x5c) of token keys.
	Roots []*x509.Certificate
	// Issuer and Audience are required of tokens when they are not empty.
	Issuer, Audience string
	// AllowInsecure accepts results that their issuer marked insecure, such as the simulator's.
	AllowInsecure bool
	// Policy decides when administrators have stored no resource policy.
	Policy policy.ResourcePolicy
}

type passports struct {
	cfg   Passport
	keys  []keys.Public
	roots *x509.CertPool
}

func newPassports(cfg *Passport) (*passports, error) {
	if cfg == nil {
		return nil, nil
	}
	p := &passports{cfg: *cfg, roots: x509.NewCertPool()}
	for _, k := range cfg.Keys {
		pub, err := keys.NewPublic(k)
		if err != nil {
			return nil, err
		}
		p.keys = append(p.keys, pub)
	}
	for _, c := range cfg.Roots {
		p.roots.AddCert(c)
	}
	if len(p.keys)+len(cfg.Roots) == 0 {
		return nil, fault.New(fault.Usage, "tokens of other verifiers are accepted only under an anchor; name a key or a root certificate")
	}
	if cfg.Policy == nil {
		return nil, fault.New(fault.Internal, "server.Passport without a policy")
	}
	return p, nil
}

// accept verifies a bearer token and returns its claims as well.
func (p *passports) accept(token string, now time.Time) (*result.Accepted, []byte, error) {
	trusted := p.keys
	if len(p.cfg.Roots) > 0 {
		k, found, err := p.chained(token, now)
		if err != nil {
			return nil, nil, err
		}
		if found {
			trusted = append([]keys.Public{k}, trusted...)
		}
	}
	if len(trusted) == 0 {
		return nil, nil, fault.New(fault.Signature, "the token brings no certificate chain to a trusted root")
	}
	a, err := result.Verify([]byte(token), result.VerifyConfig{
		Keys: trusted, Time: now, Profiles: []result.Profile{result.ProfileTrustee, result.ProfileEAR, result.ProfileVeraison},
		Issuer: p.cfg.Issuer, Audience: p.cfg.Audience, AllowInsecure: p.cfg.AllowInsecure,
	})
	if err != nil {
		return nil, nil, err
	}
	claims, err := tokenClaims(token)
	return a, claims, err
}

// maxChain bounds x5c.
const maxChain = 8

// chained returns the key of the token's header when its certificates lead to a root.
func (p *passports) chained(token string, now time.Time) (keys.Public, bool, error) {
	leaf, err := p.leaf(token, now)
	if err != nil || leaf == nil {
		return keys.Public{}, false, err
	}
	pub, err := keys.NewPublic(leaf.PublicKey)
	return pub, err == nil, err
}

// leaf returns the certificate of the token's key, nil when the token brings none. The key counts only as that of a
// certificate under a root.
func (p *passports) leaf(token string, now time.Time) (*x509.Certificate, error) {
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || jsonx.Check(text) != nil {
		return nil, fault.New(fault.Malformed, "the token's header is not JSON in base64url")
	}
	var h struct {
		JWK json.RawMessage
	}
	var j struct {
		X5C []string
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fault.New(fault.Malformed, "the token's header: %w", err)
	}
	if h.JWK == nil {
		return nil, nil
	}
	if err := json.Unmarshal(h.JWK, &j); err != nil {
		return nil, fault.New(fault.Malformed, "the token's header: jwk: %w", err)
	}
	if len(j.X5C) == 0 {
		return nil, nil
	}
	// The key is read without its certificates, whose spelling varies.
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(withoutX5C(h.JWK)); err != nil || !key.IsPublic() {
		return nil, fault.New(fault.Malformed, "the token's jwk holds no public key")
	}
	if len(j.X5C) > maxChain {
		return nil, fault.New(fault.Malformed, "the token's chain has more than %d certificates", maxChain)
	}
	var leaf *x509.Certificate
	inter := x509.NewCertPool()
	for i, s := range j.X5C {
		// Some issuers write these in URL-safe base64, or with line breaks.
		s = strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", "=", "").Replace(s)
		der, err := base64.RawStdEncoding.DecodeString(s)
		if err != nil {
			return nil, fault.New(fault.Malformed, "x5c is not base64")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fault.New(fault.Malformed, "x5c: %w", err)
		}
		if i == 0 {
			leaf = c
		} else {
			inter.AddCert(c)
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: p.roots, Intermediates: inter, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, fault.New(fault.Signature, "the token's chain does not lead to a trusted root: %w", err)
	}
	given, ok := key.Key.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !given.Equal(leaf.PublicKey) {
		return nil, fault.New(fault.Signature, "the token's jwk is not the key of its certificate")
	}
	return leaf, nil
}

// withoutX5C copies an object without its certificates.
func withoutX5C(raw []byte) []byte {
	members, err := jsonx.Object(raw)
	if err != nil {
		return nil
	}
	out := []byte{'{'}
	for _, m := range members {
		if strings.HasPrefix(m.Name, "x5") {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(jcs.AppendString(out, m.Name), ':'), m.Raw...)
	}
	return append(out, '}')
}

// fetchByToken releases a resource to whoever shows a result about the machine that holds the key.
func (s *Server) fetchByToken(ctx context.Context, c *call, path string) (*release.Reply, error) {
	refuse := func(err error) error {
		return &wireError{variant: rcar.TokenVerifierError, detail: "Token Verifier error", err: err}
	}
	if s.passports == nil {
		return nil, refuse(fault.New(fault.Unsupported, "results of other verifiers are not accepted here"))
	}
	token := rcar.Bearer(c.r)
	a, claims, err := s.passports.accept(token, s.cfg.Clock())
	if err != nil {
		return nil, refuse(err)
	}
	pol := s.live.get().Resource
	if pol == nil {
		pol = s.passports.cfg.Policy
	}
	d, err := pol.Decide(ctx, policy.ResourceQuestion{Claims: claims, Plugin: "resource", Path: strings.Split(path, "/"), Query: query(c), Resource: path, Tier: a.Status()})
	if err != nil {
		return nil, &wireError{variant: rcar.PolicyEngineError, detail: "Policy engine error", err: err}
	}
	sum := sha256.Sum256([]byte("passport\x00" + token))
	reply, err := s.broker.Release(ctx, release.Request{
		Decision: d, Accepted: a, Resource: path, Form: jwe.RFC7516, Session: sum,
		Record: release.Record{Request: c.id, Evidence: hex.EncodeToString(sum[:]), Detail: "result of " + clip(a.Issuer())},
	})
	if err != nil {
		return nil, releaseFailed(err)
	}
	s.metrics.released(reply)
	return reply, nil
}

func query(c *call) map[string]string {
	out := map[string]string{}
	for k, v := range c.r.URL.Query() {
		out[k] = v[len(v)-1]
	}
	return out
}
