package appraise

import (
	"encoding/hex"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
)

// vendorStatement is a document that the driver has verified and evaluated, with the source that the trail names.
type vendorStatement struct {
	src  *endorse.Source
	ects []claim.ECT
}

func vendorStatements(v *evidence.Verified) []vendorStatement {
	list := v.Statements()
	out := make([]vendorStatement, len(list))
	for i, s := range list {
		out[i] = vendorStatement{&endorse.Source{Kind: "vendor", ID: s.ID, SHA256: hex.EncodeToString(s.SHA256[:]), Signer: s.Signer,
			SignerKey: hex.EncodeToString(s.SignerKey[:]), Authority: s.Authority, Anchor: s.Anchor, Scope: s.Scope,
			NotBefore: s.Window.NotBefore, NotAfter: s.Window.NotAfter}, s.ECTs}
	}
	return out
}

// vendor adds what the vendor says about this platform. Its conditions have been met: the driver has evaluated them with
// the vendor's own algorithm, which no triples could express (specs corim-profiles.md section 3).
func (g *engine) vendor(list []vendorStatement, world EvidenceSet) {
	for i := range list {
		s := &list[i]
		if !s.src.ValidAt(g.at) {
			continue
		}
		for j := range s.ects {
			e := &s.ects[j]
			add := make([]*claim.Element, len(e.Elements))
			for k := range e.Elements {
				add[k] = &e.Elements[k]
			}
			g.acs.add(&e.Environment, claim.CMEndorsements, e.Profile, add, s.src, relConditional, world)
		}
	}
}
