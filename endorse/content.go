package endorse

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/nvidia"
	"github.com/assay-tee/assay/internal/fault"
)

// checkContent applies what admission demands of a manifest beyond its syntax, and collects warnings.
func checkContent(m *corim.Manifest, p *corim.Profile, s *signer, truncatedDigests bool) (warnings []string, err error) {
	c := &content{truncated: truncatedDigests, signer: s}
	for i := range m.CoMIDs {
		c.comid(&m.CoMIDs[i])
		if c.err != nil {
			return nil, fault.Wrap(c.err, "CoMID %s", tagText(m.CoMIDs[i].TagIdentity))
		}
	}
	if p != nil && p.Check != nil {
		for _, f := range p.Check(m) {
			if f.Err != nil {
				return nil, fault.Wrap(fault.As(fault.Malformed, f.Err), "profile %s: %s", p.Name, f.Where)
			}
			c.warnings = append(c.warnings, strings.TrimPrefix(f.Where+": "+f.Warning, ": "))
		}
	}
	return c.warnings, nil
}

type content struct {
	truncated bool
	signer    *signer
	warnings  []string
	err       error
}

func (c *content) fail(class fault.Class, format string, args ...any) {
	if c.err == nil {
		c.err = fault.New(class, format, args...)
	}
}

// maxWarnings bounds what is remembered of a statement's oddities.
const maxWarnings = 50

func (c *content) warn(format string, args ...any) {
	if s := fmt.Sprintf(format, args...); len(c.warnings) < maxWarnings && !slices.Contains(c.warnings, s) {
		c.warnings = append(c.warnings, s)
	}
}

func (c *content) comid(t *corim.CoMID) {
	tr := &t.Triples
	for i := range tr.Reference {
		c.env(&tr.Reference[i].Environment)
		c.elements(tr.Reference[i].Elements, false)
	}
	for i := range tr.Endorsed {
		c.env(&tr.Endorsed[i].Environment)
		c.elements(tr.Endorsed[i].Elements, true)
	}
	for i := range tr.Conditional {
		for j := range tr.Conditional[i].Conditions {
			c.env(&tr.Conditional[i].Conditions[j].Environment)
			c.elements(tr.Conditional[i].Conditions[j].Elements, false)
		}
		for j := range tr.Conditional[i].Endorsements {
			c.env(&tr.Conditional[i].Endorsements[j].Environment)
			c.elements(tr.Conditional[i].Endorsements[j].Elements, true)
		}
	}
	for i := range tr.Series {
		c.series(&tr.Series[i])
	}
	for _, l := range [][]corim.KeyTriple{tr.Identity, tr.AttestKey} {
		for i := range l {
			c.env(&l[i].Environment)
			c.keys(l[i].Keys)
			c.keys(l[i].AuthorizedBy)
		}
	}
	for _, l := range [][]corim.DomainTriple{tr.Membership, tr.Dependency} {
		for i := range l {
			c.env(&l[i].Domain)
			for j := range l[i].Members {
				c.env(&l[i].Members[j])
			}
		}
		if circle := circular(l); circle != "" {
			c.fail(fault.Malformed, "its domains form a circle: %s", circle)
		}
	}
	for _, u := range tr.Unknown {
		if u.Name == "" {
			c.warn("triples of the unknown category %d contribute nothing", u.Key)
		}
	}
}

func (c *content) series(s *corim.SeriesTriple) {
	c.env(&s.Environment)
	c.keys(s.AuthorizedBy)
	c.elements(s.Common, false)
	for i := range s.Items {
		c.elements(s.Items[i].Condition, false)
		c.elements(s.Items[i].Addition, true)
		for j := range min(i, 64) {
			if implies(s.Items[i].Condition, s.Items[j].Condition) {
				c.warn("item %d of a series about %s can never be reached: item %d comes first and asks for no more", i+1, s.Environment, j+1)
				break
			}
		}
	}
}

// implies reports whether whatever meets the conditions a surely meets b. It sees equal values and the
// minimum 0; where it is not sure it says no.
func implies(a, b []claim.Element) bool {
	for i := range b {
		if !slices.ContainsFunc(a, func(x claim.Element) bool {
			if x.Key != b[i].Key {
				return false
			}
			if v := &b[i].Values; v.SVN != nil && *v.SVN == (claim.SVN{Min: true}) && compare.PointsOf(v) == 1<<compare.SVN && len(v.Ext) == 0 {
				return x.Values.SVN != nil // at least 0
			}
			return compare.Equal(&x.Values, &b[i].Values)
		}) {
			return false
		}
	}
	return true
}

// env checks the parts of an environment that are keys, and that it names something in particular.
func (c *content) env(e *claim.Environment) {
	c.keys([]claim.ID{e.Instance})
	if e.Class.ID.IsZero() && e.Instance.IsZero() && e.Group.IsZero() {
		c.warn("the environment %s is not unique to anybody: it has neither class-id nor instance nor group", e)
	}
}

func (c *content) elements(l []claim.Element, addition bool) {
	for i := range l {
		e := &l[i]
		c.keys(e.Values.CryptoKeys)
		c.keys(e.AuthorizedBy)
		c.digests(e.Values.Digests)
		for _, r := range e.Values.Registers {
			c.digests(r.Digests)
		}
		// An addition is said by the signer and by nobody else (specs corim.md A1).
		if addition && len(e.AuthorizedBy) > 0 && c.signer != nil && !slices.ContainsFunc(e.AuthorizedBy, func(a claim.ID) bool {
			return slices.ContainsFunc(c.signer.authority, func(s claim.ID) bool { return compare.KeyID(a, s) })
		}) {
			c.fail(fault.Malformed, "an endorsed element says it is authorized by somebody who did not sign")
		}
	}
}

func (c *content) digests(l []claim.Digest) {
	for _, d := range l {
		if d.AlgName == "" && d.Alg >= 2 && d.Alg <= 6 && !c.truncated {
			c.fail(fault.Malformed, "a digest is cut to %d bytes (%s), which the trust anchor does not allow", len(d.Value), d.AlgString())
		}
	}
}

// keys demands strict PEM where a key or certificate is given as text (specs corim.md section 10).
func (c *content) keys(l []claim.ID) {
	for _, id := range l {
		if id.Kind != claim.KindText {
			continue
		}
		text := []byte(id.TextContent())
		switch id.Tag {
		case claim.TagPKIXBase64Key:
			if der, ok := onePEM(text, "PUBLIC KEY"); !ok || second(x509.ParsePKIXPublicKey(der)) != nil {
				c.fail(fault.Malformed, "a key (554) is not one PEM block with a public key")
			}
		case claim.TagPKIXBase64Cert:
			if der, ok := onePEM(text, "CERTIFICATE"); !ok || second(x509.ParseCertificate(der)) != nil {
				c.fail(fault.Malformed, "a certificate (555) is not one PEM block with a certificate")
			}
		case claim.TagPKIXBase64Path:
			if !pemPath(text) {
				c.fail(fault.Malformed, "a certificate path (556) is not a list of PEM certificates")
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func onePEM(text []byte, block string) ([]byte, bool) {
	p, rest := pem.Decode(append(bytes.Clone(text), '\n'))
	ok := p != nil && p.Type == block && len(p.Headers) == 0 && len(bytes.TrimSpace(rest)) == 0 && bytes.HasPrefix(text, []byte("-----BEGIN"))
	if !ok {
		return nil, false
	}
	return p.Bytes, true
}

func pemPath(text []byte) bool {
	rest := append(bytes.Clone(text), '\n')
	for n := 0; ; n++ {
		rest = bytes.TrimLeft(rest, "\r\n")
		if len(rest) == 0 {
			return n > 0
		}
		if !bytes.HasPrefix(rest, []byte("-----BEGIN")) {
			return false
		}
		var p *pem.Block
		if p, rest = pem.Decode(rest); p == nil || p.Type != "CERTIFICATE" || second(x509.ParseCertificate(p.Bytes)) != nil {
			return false
		}
	}
}

// circular names an edge that closes a circle in a graph of domains, where two environments are one node when their
// encodings are equal (specs corim.md A41); "" when there is none.
func circular(l []corim.DomainTriple) string {
	edges := map[claim.Environment][]claim.Environment{}
	for _, d := range l {
		edges[d.Domain] = append(edges[d.Domain], d.Members...)
	}
	const open, done = 1, 2
	state := map[claim.Environment]int{}
	type frame struct {
		env  claim.Environment
		next int
	}
	for _, d := range l {
		if state[d.Domain] != 0 {
			continue
		}
		state[d.Domain] = open
		for stack := []frame{{env: d.Domain}}; len(stack) > 0; {
			f := &stack[len(stack)-1]
			if f.next == len(edges[f.env]) {
				state[f.env] = done
				stack = stack[:len(stack)-1]
				continue
			}
			m := edges[f.env][f.next]
			f.next++
			switch state[m] {
			case open:
				return fmt.Sprintf("%s → %s", f.env, m)
			case 0:
				state[m] = open
				stack = append(stack, frame{env: m})
			}
		}
	}
	return ""
}

// narrowNVIDIA gives the environment {vendor "NVIDIA"}, which would match every device of that vendor, the model that
// the signed tag-id names (specs corim-profiles.md section 9). Such files name no profile that could do it.
func narrowNVIDIA(m *corim.Manifest) error {
	bare := claim.Environment{Class: claim.Class{Vendor: claim.Some("NVIDIA")}}
	for i := range m.CoMIDs {
		for _, r := range m.CoMIDs[i].Triples.Reference {
			if m.Profile == "" && r.Environment == bare {
				return nvidia.Adapt(m)
			}
		}
	}
	return nil
}

func tagText(t corim.TagIdentity) string {
	return idText(t.TagID) + " version " + strconv.FormatUint(t.TagVersion, 10)
}

// idText is the text form of a corim or tag id.
func idText(id claim.ID) string {
	if id.Kind == claim.KindText {
		return id.TextContent()
	}
	return corim.UUIDText(id)
}
