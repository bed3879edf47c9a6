// Package intelpoe is the CoRIM profile of Intel platform ownership endorsements (draft-bzb-rats-intel-poe-endorsements;
// specs corim-profiles.md section 5). Such a statement says who owns a platform, not that its software is good.
package intelpoe

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/intel"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// ID is the identifier of the profile; it is carried as plain text, which needs the relaxation untagged-uri.
const ID = "tag:intel.com,2026:tee.poe#1.0"

// Class-ids of the condition (the platform) and of the endorsement (its ownership).
const (
	OIDPlatform  = "2.16.840.1.113741.1.13.2.6.1"
	OIDOwnership = "2.16.840.1.113741.1.13.2.12.1"
)

// OwnerName is the code point of the owner's name, a text of 1 to 1024 bytes.
const OwnerName int64 = -401

// Relax are the relaxations that this profile's files need.
func Relax() []corim.Relaxation { return []corim.Relaxation{corim.RelaxUntaggedURI} }

// Profile returns the profile.
func Profile() *corim.Profile {
	points := map[int64]corim.CodePoint{
		intel.PlatformInstanceID: intel.CodePoints()[intel.PlatformInstanceID],
		OwnerName: {Name: "tee.owner-name", Check: func(b []byte) error {
			r := cborx.NewReader(b, cborx.Limits{})
			if s := r.Text(); r.OK() && (len(s) < 1 || len(s) > 1024) {
				r.Fail("an owner name of %d bytes; it has 1 to 1024", len(s))
			}
			return r.Done()
		}},
	}
	return &corim.Profile{IDs: []string{ID}, Name: "Intel platform ownership endorsement", CodePoints: points,
		Compare: intel.Compare, Check: check, OnlyKeys: []int64{0, 1, 3, 4}}
}

// check enforces the shape: one CoMID with one conditional endorsement of one condition and one endorsement, a validity
// with both ends, and no authorized-by.
func check(m *corim.Manifest) (out []corim.Finding) {
	bad := func(format string, args ...any) {
		out = append(out, corim.Finding{Where: "ownership endorsement", Err: fault.New(fault.Malformed, format, args...)})
	}
	if m.Validity == nil || m.Validity.NotBefore == nil {
		bad("the validity must have both ends")
	}
	if len(m.CoMIDs) != 1 || len(m.TagOrder) > 1 || len(m.CoSWIDs)+len(m.CoTLs)+len(m.CoTSs) > 0 {
		bad("there must be exactly one tag, a CoMID")
		return out
	}
	t := m.CoMIDs[0].Triples
	if len(t.Conditional) != 1 || len(t.Conditional[0].Conditions) != 1 || len(t.Conditional[0].Endorsements) != 1 {
		bad("there must be exactly one conditional endorsement of one condition and one endorsement")
		return out
	}
	platform, _ := corim.OID(OIDPlatform)
	ownership, _ := corim.OID(OIDOwnership)
	c, e := t.Conditional[0].Conditions[0], t.Conditional[0].Endorsements[0]
	if c.Environment.Class.ID != platform || !has(c.Elements, intel.PlatformInstanceID) {
		bad("the condition must name the platform by its instance id (code point %d)", intel.PlatformInstanceID)
	}
	if e.Environment.Class.ID != ownership || !has(e.Elements, OwnerName) {
		bad("the endorsement must name the owner (code point %d)", OwnerName)
	}
	for _, el := range append(append([]claim.Element(nil), c.Elements...), e.Elements...) {
		if len(el.AuthorizedBy) > 0 {
			bad("authorized-by is not allowed")
		}
	}
	return out
}

func has(elements []claim.Element, key int64) bool {
	for _, e := range elements {
		for _, x := range e.Values.Ext {
			if x.Key == key {
				return true
			}
		}
	}
	return false
}
