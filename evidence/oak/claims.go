package oak

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
)

// Vendor is the vendor of the environments of the tuples (doc.go).
const Vendor = "Project Oak"

func m(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

func (s *session) content(bound evidence.Bound) sealed.Content {
	c := sealed.Content{TEE: Name, Product: string(s.shape), Time: s.env.Time, Root: s.top.info, Window: s.top.window, Binding: bound,
		ECTs: s.ects(), Unsafe: slices.Clone(s.top.unsafe)}
	if !bound.Bound && !slices.Contains(c.Unsafe, "unbound") {
		c.Unsafe = append(c.Unsafe, "unbound")
	}
	for i := len(s.layers) - 1; i >= 0; i-- {
		// DICE certificates have no dates: they hold as long as what is above them.
		l := s.layers[i]
		c.Chain = append(c.Chain, sealed.Link{Role: fmt.Sprintf("DICE layer %d", i), Subject: l.pub.id, SHA256: l.sha, NotBefore: s.top.window.NotBefore, NotAfter: s.top.window.NotAfter})
	}
	c.Chain = append(c.Chain, s.top.links...)
	if s.msg.Unknown > 0 {
		c.Notes = append(c.Notes, "unknown_fields")
	}
	if s.ev.Format == FormatTransparent {
		c.Notes = append(c.Notes, "transparent_event_log")
	}
	if s.top.verified != nil {
		c.Parts = []sealed.Part{{Label: RootLabel, Verified: s.top.verified}}
	}
	claims := s.claims()
	c.Claims = func() claim.Object { return slices.Clone(claims) }
	return c
}

// oakAlgs are the algorithms of RawDigest that CoRIM has a number for.
var oakAlgs = map[string]int64{"sha2_256": claim.SHA256, "sha2_384": claim.SHA384, "sha2_512": claim.SHA512, "sha3_224": claim.SHA3_224,
	"sha3_256": claim.SHA3_256, "sha3_384": claim.SHA3_384, "sha3_512": claim.SHA3_512}

func (f *Measured) values() (v claim.Values, ok bool) {
	if f.Digests == nil {
		return claim.Values{Raw: &claim.Raw{Value: f.Raw}}, true
	}
	for _, d := range f.Digests {
		if alg, known := oakAlgs[d.Alg]; known {
			v.Digests = append(v.Digests, claim.Digest{Alg: alg, Value: d.Value})
		}
	}
	return v, len(v.Digests) > 0
}

// ects has one tuple per event: the environment is the layer, the authority the key that signed its certificate and all
// that stand above it.
func (s *session) ects() []claim.ECT {
	above := s.top.authority
	if s.top.key.ec != nil && s.top.verified != nil {
		if a, err := claim.KeyAuthority(s.top.key.ec); err == nil {
			above = append(slices.Clip(a), above...)
		}
	}
	out := make([]claim.ECT, 0, len(s.events))
	for i := range s.events {
		field := fmt.Sprintf("event %d", i)
		e := claim.ECT{
			Environment: claim.Environment{Class: claim.Class{Vendor: claim.Some(Vendor), Model: claim.Some(string(s.shape)), Layer: claim.Some(uint64(i))}},
			Authority:   above, CMType: claim.CMEvidence,
		}
		for j := range s.facts[i] {
			f := &s.facts[i][j]
			if v, ok := f.values(); ok {
				e.Elements = append(e.Elements, claim.Element{Key: claim.Text(claim.TagNone, f.Name), Name: f.Name, Field: field + ", " + f.Field, Values: v})
			}
		}
		name := fmt.Sprintf("event_%d", i)
		e.Elements = append(e.Elements, claim.Element{Key: claim.Text(claim.TagNone, "event"), Name: name, Field: field + ", whole",
			Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA256, Value: s.events[i].Digest[:]}}}})
		out = append(out, e)
	}
	return out
}

// claims are documented in doc.go.
func (s *session) claims() claim.Object {
	o := claim.Object{
		m("platform", claim.S(s.msg.Platform.String())),
		m("shape", claim.S(string(s.shape))),
		m("event_log", claim.S(map[bool]string{true: "transparent", false: "original"}[s.ev.Format == FormatTransparent])),
		m("certificate_aad", claim.S(s.aadUsed())),
	}
	if s.msg.ECAKey != nil {
		o = append(o, m("eca_key_id", claim.S(s.top.key.id)))
	}
	var digests claim.Object
	seen := map[string]bool{}
	for i := len(s.facts) - 1; i >= 0; i-- {
		for j := range s.facts[i] {
			f := &s.facts[i][j]
			if seen[f.Name] {
				continue
			}
			seen[f.Name] = true
			o = append(o, f.claim())
			if f.Digests != nil {
				var d []claim.Member
				for _, x := range f.Digests {
					d = append(d, m(x.Alg, claim.H(x.Value)))
				}
				digests = append(digests, m(f.Name, claim.O(d...)))
			}
			if empty := sha256.Sum256(nil); f.Name == "container_config" || f.Name == "application_config" {
				given := !slices.ContainsFunc(f.Digests, func(d NamedDigest) bool { return d.Alg == "sha2_256" && string(d.Value) == string(empty[:]) })
				o = append(o, m(f.Name+"_given", claim.B(given)))
			}
		}
	}
	o = append(o, m("digests", claim.O(digests...)))
	events := make([]claim.Node, len(s.events))
	for i, e := range s.events {
		o = append(o, m(fmt.Sprintf("event_%d", i), claim.H(e.Digest[:])))
		events[i] = claim.O(m("type", claim.S(e.Type)), m("sha256", claim.H(e.Digest[:])))
	}
	o = append(o, m("events", claim.L(events...)))
	layers := make([]claim.Node, len(s.layers))
	for i, l := range s.layers {
		layers[i] = l.node()
	}
	o = append(o, m("layers", claim.L(layers...)))
	var apps []claim.Member
	for _, a := range s.apps {
		apps = append(apps, m(a.name, a.node()))
	}
	o = append(o, m("application_keys", claim.O(apps...)))
	if s.user != nil {
		o = append(o, m("user_data", claim.H(s.user.sign1.Payload)))
	}
	return append(o, m("unknown_fields", claim.U(uint64(s.msg.Unknown))))
}

// claim is the value under its flat name: the command line as text, of several digests the SHA-256.
func (f *Measured) claim() claim.Member {
	switch {
	case f.IsText:
		return m(f.Name, claim.S(string(f.Raw)))
	case f.Digests == nil:
		return m(f.Name, claim.H(f.Raw))
	}
	for _, d := range f.Digests {
		if d.Alg == "sha2_256" {
			return m(f.Name, claim.H(d.Value))
		}
	}
	return m(f.Name, claim.H(f.Digests[0].Value))
}

func (c *Certificate) node() claim.Node {
	o := []claim.Member{m("issuer", claim.S(c.Issuer)), m("subject", claim.S(c.Subject)), m("purpose_signed", claim.B(c.Purpose))}
	if c.pub.point != nil {
		o = append(o, m("public_key", claim.H(c.pub.point)))
	}
	if c.KeySet != nil {
		o = append(o, m("key_set", claim.H(c.KeySet)))
	}
	if c.EventID != nil {
		o = append(o, m("event_sha256", claim.H(c.EventID)))
	}
	if c.Transparent != nil {
		o = append(o, m("transparent_event_sha256", claim.H(c.Transparent)))
	}
	return claim.O(o...)
}

// aadUsed says whether the signatures cover the purpose of the certificates.
func (s *session) aadUsed() string {
	with, without := false, false
	for _, c := range append(slices.Clone(s.layers), s.apps...) {
		with, without = with || c.Purpose, without || !c.Purpose
	}
	switch {
	case with && without:
		return "mixed"
	case with:
		return "purpose"
	case without:
		return "none"
	}
	return "no certificates"
}
