// Package cca holds the CoRIM profiles of Arm CCA platforms and realms (draft-ydb-rats-cca-endorsements; specs
// corim-profiles.md section 7). One reference triple describes the whole state.
package cca

import (
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/psa"
	"github.com/assay-tee/assay/internal/fault"
)

// Identifiers of the profiles.
const (
	PlatformID = "tag:arm.com,2025:cca_platform#1.0.0"
	RealmID    = "tag:arm.com,2025:cca_realm#1.0.0"
)

// mkeys.
const (
	MKeyComponent = "cca.software-component"
	MKeyConfig    = "cca.platform-config"
	MKeyRIM       = "cca.rim"
	MKeyRPV       = "cca.rpv"
)

// Platform returns the profile of CCA platforms.
func Platform() *corim.Profile {
	return &corim.Profile{IDs: []string{PlatformID}, Name: "Arm CCA platform", ExactCover: true, Check: checkPlatform, ElementName: name}
}

// Realm returns the profile of CCA realms.
func Realm() *corim.Profile {
	return &corim.Profile{IDs: []string{RealmID}, Name: "Arm CCA realm", ExactCover: true, Check: checkRealm, ElementName: name}
}

func name(_ claim.Environment, mkey claim.ID) string {
	return strings.ReplaceAll(strings.TrimPrefix(mkey.TextContent(), "cca."), "-", "_")
}

func checkPlatform(m *corim.Manifest) (out []corim.Finding) {
	const where = "reference-value triple"
	for _, c := range m.CoMIDs {
		for _, v := range c.Triples.Reference {
			out = psa.CheckEnvironment(out, where, v.Environment)
			configs := 0
			for _, e := range v.Elements {
				switch e.Key.TextContent() {
				case MKeyComponent:
					out = psa.CheckComponent(out, where, e)
				case MKeyConfig:
					if configs++; e.Values.Raw == nil || e.Values.Raw.Mask == nil {
						out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "cca.platform-config must be a masked raw value (563)")})
					}
				default:
					out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "the CCA platform profile has no reference values for %v", e.Key)})
				}
			}
			if configs > 1 {
				out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "more than one cca.platform-config in a triple")})
			}
		}
		for _, k := range c.Triples.AttestKey {
			out = psa.CheckAttestKey(out, k)
		}
	}
	return out
}

func checkRealm(m *corim.Manifest) (out []corim.Finding) {
	const where = "reference-value triple"
	bad := func(format string, args ...any) {
		out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, format, args...)})
	}
	for _, c := range m.CoMIDs {
		for _, v := range c.Triples.Reference {
			if v.Environment.Class.ID.Tag != claim.TagBytes {
				bad("the class-id must be the realm's initial measurement (560), found %v", v.Environment.Class.ID)
			}
			rim := false
			for _, e := range v.Elements {
				switch k := e.Key.TextContent(); k {
				case MKeyRIM, "cca.rem0", "cca.rem1", "cca.rem2", "cca.rem3":
					rim = rim || k == MKeyRIM
					if len(e.Values.Digests) == 0 {
						bad("%s has no digests", k)
					}
				case MKeyRPV:
					if e.Values.Raw == nil || len(e.Values.Raw.Value) != 64 {
						bad("cca.rpv must be a raw value of 64 bytes")
					}
				default:
					bad("the CCA realm profile has no reference values for %v", e.Key)
				}
			}
			if !rim {
				bad("cca.rim is missing")
			}
		}
	}
	return out
}
