package result

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
)

// DefaultLifetime is how long a result holds unless the issuer says otherwise.
const DefaultLifetime = 5 * time.Minute

// IssuerConfig says who issues results, and in which form.
type IssuerConfig struct {
	// Key signs results and nothing else.
	Key *keys.Private
	// Developer and Build are ear_verifier_id: a name and a version, no authenticators. Empty: Assay's own.
	Developer, Build string
	// Issuer is the claim iss, "" for none.
	Issuer string
	// Profile is the dialect; "" is EAR -03. It is chosen per relying party, never by evidence.
	Profile Profile
	// Lifetime of a result; 0 means [DefaultLifetime]. A result never outlives the certificates that it rests on.
	Lifetime time.Duration
}

// Issuer issues results. It is safe for concurrent use.
type Issuer struct {
	cfg    IssuerConfig
	signer jose.Signer
}

// Options are what differs from result to result.
type Options struct {
	// Time is the time of issue; zero means the clock of the appraisal.
	Time time.Time
	// Nonce is that of the party that asked, 8 to 64 bytes; nil for none.
	Nonce []byte
	// Audience is the claim aud; nil for none.
	Audience []string
	// Confirm adds the key that the lead evidence is bound to as "cnf" (RFC 7800).
	Confirm bool
	// DropTrail leaves ear_assay_trail out.
	DropTrail bool
	// RuntimeData and InitData are the verified runtime_data_claims and init_data_claims of the lead Attester, JSON
	// objects, for Trustee's readers; nil for none. What evidence does not bind must not stand here.
	RuntimeData, InitData json.RawMessage
}

// NewIssuer checks cfg.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	if cfg.Key == nil {
		return nil, fault.New(fault.Usage, "a key is needed to sign results")
	}
	if cfg.Developer == "" {
		cfg.Developer = "https://github.com/assay-tee/assay"
	}
	if cfg.Build == "" {
		cfg.Build = "assay"
	}
	if cfg.Profile == "" {
		cfg.Profile = ProfileEAR
	}
	if _, err := cfg.Profile.names(); err != nil {
		return nil, err
	}
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = DefaultLifetime
	}
	typ, embed := typEAR, false
	if cfg.Profile != ProfileEAR {
		typ = "JWT"
	}
	if cfg.Profile == ProfileTrustee {
		if cfg.Key.Alg != keys.ES256 {
			return nil, fault.New(fault.Usage, "Trustee's readers know ES256 only; this key is for %s", cfg.Key.Alg)
		}
		if cfg.Issuer == "" {
			cfg.Issuer = "CoCo-Attestation-Service"
		}
		embed = true
	}
	s, err := newSigner(cfg.Key, typ, embed)
	if err != nil {
		return nil, err
	}
	return &Issuer{cfg: cfg, signer: s}, nil
}

// Public returns the key that relying parties verify with.
func (i *Issuer) Public() keys.Public { return i.cfg.Key.Public }

// Issue makes the signed result of an appraisal and the decision on it, as a compact JWT.
func (i *Issuer) Issue(a *appraise.Appraisal, d *policy.Decision, o Options) ([]byte, error) {
	if !a.Valid() || !d.Valid() {
		return nil, fault.New(fault.Internal, "a result needs an appraisal and a decision")
	}
	doc, err := i.document(a.Time(), a.Attesters(), d.Content(), o)
	if err != nil {
		return nil, err
	}
	return i.sign(doc)
}

func (i *Issuer) sign(doc *document) ([]byte, error) {
	if err := doc.checkStatus(); err != nil {
		return nil, fault.New(fault.Internal, "refusing to issue: %w", err)
	}
	payload, err := doc.encodeJSON()
	if err != nil {
		return nil, err
	}
	jws, err := i.signer.Sign(payload)
	if err != nil {
		return nil, fault.New(fault.Internal, "signing the result: %w", err)
	}
	s, err := jws.CompactSerialize()
	if err != nil {
		return nil, fault.New(fault.Internal, "signing the result: %w", err)
	}
	if len(s) > maxToken {
		return nil, fault.New(fault.Unsupported, "the result has %d bytes, readers take at most %d; leave the trail out", len(s), maxToken)
	}
	return []byte(s), nil
}

// head fills in what does not depend on the appraisal.
func (i *Issuer) head(o Options) (*document, error) {
	if o.Nonce != nil {
		if err := checkNonce(o.Nonce); err != nil {
			return nil, err
		}
	}
	at := o.Time.Unix()
	if at < 0 || at > maxSeconds {
		return nil, fault.New(fault.Internal, "no time of issue")
	}
	return &document{
		profile: i.cfg.Profile, issuer: i.cfg.Issuer, audience: o.Audience, issuedAt: at, developer: i.cfg.Developer, build: i.cfg.Build,
		expires: claim.Some(at + max(1, int64(i.cfg.Lifetime/time.Second))), nonce: o.Nonce,
	}, nil
}

func (i *Issuer) document(at time.Time, attesters []*appraise.Attester, c policy.Content, o Options) (*document, error) {
	if o.Time.IsZero() {
		o.Time = at
	}
	doc, err := i.head(o)
	if err != nil {
		return nil, err
	}
	if len(attesters) == 0 || len(attesters) != len(c.Attesters) {
		return nil, fault.New(fault.Internal, "a decision about %d attesters on an appraisal of %d", len(c.Attesters), len(attesters))
	}
	doc.status = claim.Some(c.Tier)
	for n, a := range attesters {
		if a.Label != c.Attesters[n].Label {
			return nil, fault.New(fault.Internal, "the decision is about attester %q, the appraisal about %q", c.Attesters[n].Label, a.Label)
		}
		// The top status of a tighter combination may be worse than each submodule's; never the reverse.
		if err := doc.add(a, c.Attesters[n], c.PolicyIDs, o.DropTrail); err != nil {
			return nil, err
		}
	}
	if err := doc.annotate(o); err != nil {
		return nil, err
	}
	doc.basis = basis(at, attesters, c.PolicyIDs)
	if u := unsafe(attesters); len(u) > 0 {
		doc.mode = claim.Object{{Name: "insecure", Value: claim.L(u...)}}
	}
	if o.Confirm {
		if doc.confirmation, err = confirmation(attesters[0].Evidence.Binding().Key); err != nil {
			return nil, err
		}
	}
	if doc.expires.V <= doc.issuedAt {
		return nil, fault.New(fault.Expired, "what the result would rest on ended before its time of issue")
	}
	return doc, nil
}

// add appends the submodule of one Attester.
func (d *document) add(a *appraise.Attester, c policy.AttesterDecision, policies []string, dropTrail bool) error {
	v := a.Evidence
	s := submod{label: a.Label, status: c.Tier, vector: c.Vector, policyIDs: policies}
	b := v.Binding()
	if b.Bound && len(b.Value) >= minNonce && len(b.Value) <= maxNonce {
		s.nonce = b.Value
	}
	if len(b.Key) > 0 {
		der, err := spki(b.Key)
		if err != nil {
			return err
		}
		s.akpub = der // nil for a key that has no such form
	}
	if !dropTrail {
		s.trail = trail(a.Trail)
	}
	switch d.profile {
	case ProfileEAR:
	case ProfileTrustee:
		s.annotated = trusteeAnnotated(v)
	default:
		s.annotated = annotated(v)
	}
	if end := v.Window().NotAfter; !end.IsZero() && end.Unix() < d.expires.V {
		d.expires.V = end.Unix()
	}
	d.submods = append(d.submods, s)
	return nil
}

// trail renders what each claim rests on. Claims that no statement speaks of are left out: the result says what was
// appraised, not everything that was seen.
func trail(entries []appraise.Entry) claim.Object {
	var out claim.Object
	seen := make(map[string]int, 8)
	for _, e := range entries {
		if !e.Accepted && e.Nearest == nil && len(e.Registers) == 0 {
			continue
		}
		m := claim.Object{{Name: "value", Value: claim.S(e.Value)}, {Name: "accepted", Value: claim.B(e.Accepted)}}
		m = appendText(m, "field", e.Field)
		m = appendText(m, "root", e.Root)
		if len(e.Registers) > 0 {
			list := make([]claim.Node, len(e.Registers))
			for i, r := range e.Registers {
				list[i] = claim.S(r)
			}
			m = append(m, claim.Member{Name: "registers", Value: claim.L(list...)})
		}
		if len(e.Vouchers) > 0 {
			list := make([]claim.Node, len(e.Vouchers))
			for i, v := range e.Vouchers {
				list[i] = claim.O(source(claim.Object{{Name: "relation", Value: claim.S(v.Relation)}}, v.Source)...)
			}
			m = append(m, claim.Member{Name: "vouchers", Value: claim.L(list...)})
		}
		if n := e.Nearest; n != nil {
			near := claim.Object{{Name: "what", Value: claim.S(n.What)}, {Name: "evidence", Value: claim.S(n.Evidence)},
				{Name: "statement", Value: claim.S(n.Statement)}, {Name: "why", Value: claim.S(n.Why)}}
			m = append(m, claim.Member{Name: "nearest", Value: claim.O(source(near, n.Source)...)})
		}
		name := e.Claim
		if seen[name]++; seen[name] > 1 {
			name += "#" + strconv.Itoa(seen[name])
		}
		out = append(out, claim.Member{Name: name, Value: claim.O(m...)})
	}
	return out
}

func appendText(o claim.Object, name, s string) claim.Object {
	if s == "" {
		return o
	}
	return append(o, claim.Member{Name: name, Value: claim.S(s)})
}

func source(o claim.Object, s *endorse.Source) claim.Object {
	if s == nil {
		return o
	}
	o = appendText(o, "kind", s.Kind)
	o = appendText(o, "id", s.ID)
	o = appendText(o, "tag_id", s.TagID)
	if s.TagID != "" {
		o = append(o, claim.Member{Name: "tag_version", Value: claim.U(s.TagVersion)})
	}
	o = appendText(o, "sha256", s.SHA256)
	o = appendText(o, "signer", s.Signer)
	o = appendText(o, "signer_key", s.SignerKey)
	o = appendText(o, "anchor", s.Anchor)
	o = appendText(o, "scope", s.Scope)
	if !s.NotBefore.IsZero() {
		o = append(o, claim.Member{Name: "not_before", Value: claim.I(s.NotBefore.Unix())})
	}
	if !s.NotAfter.IsZero() {
		o = append(o, claim.Member{Name: "not_after", Value: claim.I(s.NotAfter.Unix())})
	}
	if len(s.Relaxations) > 0 {
		list := make([]claim.Node, len(s.Relaxations))
		for i, r := range s.Relaxations {
			list[i] = claim.S(r)
		}
		o = append(o, claim.Member{Name: "relaxations", Value: claim.L(list...)})
	}
	if len(s.Provenance) > 0 {
		list := make([]claim.Node, len(s.Provenance))
		for i, p := range s.Provenance {
			m := claim.Object{{Name: "builder", Value: claim.S(p.Builder)}, {Name: "source", Value: claim.S(p.Source)}, {Name: "commit", Value: claim.S(p.Commit)}}
			for _, t := range []struct{ name, value string }{{"artefact", p.Artefact}, {"ref", p.Ref}, {"workflow", p.Workflow}, {"run", p.Run}, {"signer", p.Signer},
				{"log", p.Log}, {"log_index", p.LogIndex}, {"sha256", p.SHA256}} {
				m = appendText(m, t.name, t.value)
			}
			m = append(m, claim.Member{Name: "level", Value: claim.I(int64(p.Level))})
			if !p.Time.IsZero() {
				m = append(m, claim.Member{Name: "time", Value: claim.I(p.Time.Unix())})
			}
			list[i] = claim.O(m...)
		}
		o = append(o, claim.Member{Name: "provenance", Value: claim.L(list...)})
	}
	return o
}

// basis names what the verdict was made of, by digest: the statements that vouched, the certificates that the
// evidence chains over, and the policies.
func basis(at time.Time, attesters []*appraise.Attester, policies []string) claim.Object {
	var statements []string
	chain := sha256.New()
	for _, a := range attesters {
		for _, l := range a.Evidence.Chain() {
			chain.Write(l.SHA256[:])
		}
		for _, e := range a.Trail {
			for _, v := range e.Vouchers {
				if v.Source != nil && v.SHA256 != "" && !slices.Contains(statements, v.SHA256) {
					statements = append(statements, v.SHA256)
				}
			}
		}
	}
	slices.Sort(statements)
	st, pol := sha256.Sum256([]byte(strings.Join(statements, "\n"))), sha256.Sum256([]byte(strings.Join(policies, "\n")))
	return claim.Object{
		{Name: "statements", Value: claim.H(st[:])}, {Name: "collateral", Value: claim.H(chain.Sum(nil))},
		{Name: "policy", Value: claim.H(pol[:])}, {Name: "time", Value: claim.I(at.Unix())},
	}
}

// unsafe lists the relaxations in force, each once.
func unsafe(attesters []*appraise.Attester) []claim.Node {
	var seen []string
	for _, a := range attesters {
		v := a.Evidence
		list := slices.Clone(v.Unsafe())
		if v.Root().Simulated {
			list = append(list, "simulator-root")
		}
		if !v.Binding().Bound {
			list = append(list, "unbound")
		}
		for _, u := range list {
			if !slices.Contains(seen, u) {
				seen = append(seen, u)
			}
		}
	}
	out := make([]claim.Node, len(seen))
	for i, u := range seen {
		out[i] = claim.S(u)
	}
	return out
}

// spki gives the bound key as DER SubjectPublicKeyInfo, from that form or from a JWK.
func spki(key []byte) ([]byte, error) {
	if len(key) > 0 && key[0] == '{' {
		var kind struct{ Kty string }
		if json.Unmarshal(key, &kind) == nil && kind.Kty == "AKP" {
			return nil, nil // ML-KEM: nothing that could be said as akpub or cnf
		}
		var k jose.JSONWebKey
		if err := json.Unmarshal(key, &k); err != nil {
			return nil, fault.New(fault.Malformed, "the bound key is no JWK: %w", err)
		}
		if !k.Valid() || !k.IsPublic() {
			return nil, fault.New(fault.Malformed, "the bound JWK holds no public key")
		}
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil {
			return nil, fault.New(fault.Unsupported, "the bound key: %w", err)
		}
		return der, nil
	}
	if _, err := x509.ParsePKIXPublicKey(key); err != nil {
		return nil, fault.New(fault.Malformed, "the bound key is no SubjectPublicKeyInfo: %w", err)
	}
	return key, nil
}

// confirmation is "cnf" with the bound key as JWK.
func confirmation(key []byte) (claim.Object, error) {
	if len(key) == 0 {
		return nil, nil
	}
	der, err := spki(key)
	if err != nil || der == nil {
		return nil, err
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "the bound key: %w", err)
	}
	b, err := json.Marshal(jose.JSONWebKey{Key: pub})
	if err != nil {
		return nil, fault.New(fault.Unsupported, "the bound key has no JWK form: %w", err)
	}
	n, err := node(b)
	if err != nil {
		return nil, err
	}
	return claim.Object{{Name: "jwk", Value: n}}, nil
}

// annotated is ear.veraison.annotated-evidence of the older dialects: the claims under the name of the TEE.
func annotated(v *evidence.Verified) claim.Object {
	return claim.Object{{Name: v.TEE(), Value: claim.O(v.Claims()...)}}
}
