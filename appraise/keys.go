package appraise

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
)

// AcceptedKeys is a K-ECT of the accepted claims: keys that a statement associates with an environment of this
// Attester and that the Attester is seen to use. It rests on the statement's signer and on this verifier (specs
// corim.md A3).
type AcceptedKeys struct {
	Environment claim.Environment
	Keys        []claim.ID
	KeyID       claim.ID
	Identity    bool // device identity; otherwise attestation
	Profile     string
	Source      *endorse.Source
}

// keyTriples is section 8.3.4.3.3: keys that verify and that the matched ECT asserts.
func (g *engine) keyTriples() {
	for _, k := range g.keys {
		var verified []claim.ID
		for _, id := range k.Keys {
			if verifyKey(id, g.at) && g.asserted(k, id) {
				verified = append(verified, id)
			}
		}
		if len(verified) > 0 && !slices.ContainsFunc(g.out.Keys, func(a AcceptedKeys) bool { return a.Source == k.Source && sameKeys(a, k, verified) }) {
			g.out.Keys = append(g.out.Keys, AcceptedKeys{k.Environment, verified, k.MKey, k.Identity, k.Profile, k.Source})
		}
	}
}

func sameKeys(a AcceptedKeys, k *endorse.Keys, verified []claim.ID) bool {
	return a.Environment == k.Environment && a.KeyID == k.MKey && a.Identity == k.Identity && slices.Equal(a.Keys, verified)
}

// asserted reports whether an accepted ECT that the triple matches carries the key: in its cryptokeys (13), or as the
// authority of Evidence (specs corim.md A26).
func (g *engine) asserted(k *endorse.Keys, id claim.ID) bool {
	is := func(other claim.ID) bool { return compare.KeyID(id, other) }
	for _, n := range g.acs.nodes {
		if !k.Environment.Contains(n.env) || !satisfies(n.auth, k.AuthorizedBy) {
			continue
		}
		for _, e := range n.elements {
			if (k.MKey.IsZero() || k.MKey == e.Key) && slices.ContainsFunc(e.Values.CryptoKeys, is) {
				return true
			}
		}
		if n.cm == claim.CMEvidence && k.MKey.IsZero() && slices.ContainsFunc(n.auth, is) {
			return true
		}
	}
	return false
}

// verifyKey checks what can be checked of the key itself: the certificates of a path certify each other and are valid
// now. Thumbprints and bare keys have nothing to check beyond their form.
func verifyKey(id claim.ID, at time.Time) bool {
	var certs []*x509.Certificate
	switch id.Tag {
	case claim.TagPKIXBase64Key:
		b, rest := pem.Decode([]byte(id.TextContent() + "\n"))
		if b == nil || len(rest) > 0 {
			return false
		}
		_, err := x509.ParsePKIXPublicKey(b.Bytes)
		return err == nil
	case claim.TagPKIXBase64Cert, claim.TagPKIXBase64Path:
		for rest := []byte(id.TextContent() + "\n"); len(rest) > 0; {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				return false
			}
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return false
			}
			certs = append(certs, c)
		}
	case claim.TagPKIXASN1DERCert:
		c, err := x509.ParseCertificate(id.Content())
		if err != nil {
			return false
		}
		certs = append(certs, c)
	default:
		return true
	}
	for i, c := range certs {
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return false
		}
		if i+1 < len(certs) && c.CheckSignatureFrom(certs[i+1]) != nil {
			return false
		}
	}
	return len(certs) > 0
}
