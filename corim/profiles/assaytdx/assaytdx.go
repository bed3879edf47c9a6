// Package assaytdx is this module's CoRIM profile of TD quotes, for which no draft exists (specs corim-profiles.md
// section 6). It uses the code points and comparisons of Intel's profile.
package assaytdx

import (
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/intel"
	"github.com/assay-tee/assay/internal/fault"
)

// ID is the identifier of the profile.
const ID = "tag:assay.example,2026:tdx#1.0.0"

// tdUUID is UUIDv5 of namespace URL and name "tag:assay,2026:tdx#td".
var tdUUID = []byte{0xb9, 0xe5, 0xbe, 0x4f, 0x49, 0x7d, 0x5f, 0x2d, 0xab, 0x51, 0x3d, 0x48, 0x11, 0xac, 0x0d, 0xb0}

// TD is the environment of a trust domain.
func TD() claim.Environment {
	return claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagUUID, tdUUID)}}
}

// SEAM, QE and Platform are the environments of the TDX module, the quoting enclave and the platform.
func SEAM() claim.Environment { return class(intel.OIDSEAM) }

// QE is the environment of the quoting enclave.
func QE() claim.Environment { return class(intel.OIDQEIdentity) }

// Platform is the environment of the platform, without instance.
func Platform() claim.Environment { return class(intel.OIDPlatformTCB) }

func class(dotted string) claim.Environment {
	id, _ := corim.OID(dotted)
	return claim.Environment{Class: claim.Class{ID: id}}
}

// Elements of a TD, by mkey.
const (
	MKeyAttributes    = "td.attributes"
	MKeyXFAM          = "td.xfam"
	MKeyMRTD          = "td.mrtd"
	MKeyMRConfigID    = "td.mrconfigid"
	MKeyMROwner       = "td.mrowner"
	MKeyMROwnerConfig = "td.mrownerconfig"
	MKeyRTMR          = "td.rtmr"
	MKeyReportData    = "td.reportdata"
	MKeyMRServiceTD   = "td.mrservicetd"
)

// Profile returns the profile.
func Profile() *corim.Profile {
	return &corim.Profile{IDs: []string{ID}, Name: "Intel TDX (assay)", CodePoints: intel.CodePoints(), Compare: compare,
		ElementName: elementName, Check: check}
}

// compare is that of Intel's profile, except that raw values keep the base rule: our masks have full length.
func compare(mkey claim.ID, codePoint int64) func(cond, acc claim.Values) bool {
	if codePoint >= 0 {
		return nil
	}
	return intel.Compare(mkey, codePoint)
}

func elementName(_ claim.Environment, mkey claim.ID) string {
	return strings.TrimPrefix(mkey.TextContent(), "td.")
}

// check refuses reference values for what binds a session.
func check(m *corim.Manifest) (out []corim.Finding) {
	for _, c := range m.CoMIDs {
		for _, v := range c.Triples.Reference {
			for _, e := range v.Elements {
				if e.Key.TextContent() == MKeyReportData {
					out = append(out, corim.Finding{Where: "reference-value triple", Err: fault.New(fault.Malformed, "REPORTDATA binds a session and cannot be a reference value")})
				}
			}
		}
	}
	return out
}
