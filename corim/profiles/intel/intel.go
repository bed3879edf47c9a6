// Package intel is the CoRIM profile of Intel TEEs (draft-cds-rats-intel-corim-profile-07, OID 2.16.840.1.113741.1.16.1;
// specs corim-profiles.md section 4): expressions in conditions, sets, masks that are extended, and sixteen TCB
// components that are compared one by one.
package intel

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// ID is the identifier of the profile.
const ID = "2.16.840.1.113741.1.16.1"

// Class-ids of the draft's examples, as dotted OIDs.
const (
	OIDQETCB            = "2.16.840.1.113741.1.2.3.4.1"
	OIDQEIdentity       = "2.16.840.1.113741.1.2.3.4.2"
	OIDSEAM             = "2.16.840.1.113741.1.2.3.4.3"
	OIDSGXPlatformTCB   = "2.16.840.1.113741.1.2.3.4.4"
	OIDPlatformIdentity = "2.16.840.1.113741.1.2.3.4.5"
	OIDPlatformTCB      = "2.16.840.1.113741.1.2.3.4.6"
	OIDEnclave          = "2.16.840.1.113741.1.2.3.5.1"
)

// Code points of the profile.
const (
	Vendor             int64 = -70
	Model              int64 = -71
	TCBDate            int64 = -72
	ISVSVN             int64 = -73
	PCEID              int64 = -80
	MiscSelect         int64 = -81
	Attributes         int64 = -82
	MRTEE              int64 = -83
	MRSigner           int64 = -84
	ISVProdID          int64 = -85
	TCBEvalNum         int64 = -86
	TCBStatus          int64 = -88
	AdvisoryIDs        int64 = -89
	CryptoKeys         int64 = -91
	PlatformInstanceID int64 = -101
	TCBCompSVN         int64 = -125
)

// CBOR tags of expressions.
const (
	tagNumeric uint64 = 60010
	tagDigests uint64 = 60020
	tagTexts   uint64 = 60021
)

// Operators.
const (
	opGT  = 1
	opGE  = 2
	opLT  = 3
	opLE  = 4
	opMem = 6
	opNot = 7
)

// Profile returns the profile.
func Profile() *corim.Profile {
	return &corim.Profile{IDs: []string{ID}, Name: "Intel TEE", CodePoints: CodePoints(), Compare: Compare, ElementName: elementName}
}

// point is a code point: its name, whether a value (a condition when cond) is allowed, and how the two are compared.
type point struct {
	name    string
	valid   func(r *cborx.Reader, cond *bool)
	compare func(cond, acc *cborx.Reader) bool
}

var points = map[int64]point{
	Vendor:             {"tee.vendor", validText, same},
	Model:              {"tee.model", validText, same},
	TCBDate:            {"tee.tcbdate", validDate, compareDates},
	ISVSVN:             {"tee.isvsvn", validSVN, compareNumbers},
	PCEID:              {"tee.pceid", validTextOrUint, same},
	MiscSelect:         {"tee.miscselect", validMasked, compareMasked},
	Attributes:         {"tee.attributes", validMasked, compareMasked},
	MRTEE:              {"tee.mrtee", validDigests, compareDigests},
	MRSigner:           {"tee.mrsigner", validDigests, compareDigests},
	ISVProdID:          {"tee.isvprodid", validUintOrBytes, same},
	TCBEvalNum:         {"tee.tcb-eval-num", validSVN, compareNumbers},
	TCBStatus:          {"tee.tcbstatus", validTexts, compareTexts},
	AdvisoryIDs:        {"tee.advisory-ids", validTexts, compareTexts},
	CryptoKeys:         {"tee.cryptokeys", validKeys, same},
	PlatformInstanceID: {"tee.platform-instance-id", validInstance, same},
	TCBCompSVN:         {"tee.tcb-comp-svn", validComponents, compareComponents},
}

// removed are code points of earlier revisions that must not be read in their old sense.
var removed = []int64{-77, -90}

// CodePoints returns the profile's code points, for profiles that build on it too.
func CodePoints() map[int64]corim.CodePoint {
	out := map[int64]corim.CodePoint{}
	for k, p := range points {
		out[k] = corim.CodePoint{Name: p.name, Check: func(b []byte) error {
			var cond bool
			return p.check(b, &cond)
		}, Condition: func(b []byte) (cond bool) {
			return p.check(b, &cond) == nil && cond
		}}
	}
	for _, k := range removed {
		out[k] = corim.CodePoint{Name: "removed", Check: func([]byte) error {
			return fault.New(fault.Malformed, "code point %d was removed from the Intel profile", k)
		}}
	}
	return out
}

func (p point) check(b []byte, cond *bool) error {
	r := cborx.NewReader(b, cborx.Limits{})
	p.valid(r, cond)
	return fault.Wrap(r.Done(), "%s", p.name)
}

// Compare is the comparison of the profile for a code point: its own ones, and raw values, whose masks it extends.
func Compare(_ claim.ID, codePoint int64) func(cond, acc claim.Values) bool {
	if codePoint == 4 {
		return compareRaw
	}
	p, ok := points[codePoint]
	if !ok {
		return nil
	}
	return func(cond, acc claim.Values) bool {
		c, a := ext(cond, codePoint), ext(acc, codePoint)
		if c == nil || a == nil {
			return false
		}
		var condC, condA bool
		if p.check(c, &condC) != nil || p.check(a, &condA) != nil {
			return false
		}
		if condA { // a condition that was endorsed can only be met by the same condition
			return string(c) == string(a)
		}
		return p.compare(cborx.Checked(c), cborx.Checked(a))
	}
}

func ext(v claim.Values, key int64) []byte {
	for _, x := range v.Ext {
		if x.Key == key {
			return x.CBOR
		}
	}
	return nil
}

// elementName names the mkeys of the profile's alternative encoding, which are the code points without their sign.
func elementName(_ claim.Environment, mkey claim.ID) string {
	if u, ok := mkey.UintContent(); ok && u < 200 {
		return points[-int64(u)].name
	}
	return mkey.TextContent()
}
