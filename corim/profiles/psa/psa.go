// Package psa is the CoRIM profile of Arm PSA (draft-fdb-rats-psa-endorsements; specs corim-profiles.md section 8), and
// the checks that the profile of Arm CCA shares with it.
package psa

import (
	"bytes"
	"regexp"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// ID is the identifier of the profile.
const ID = "tag:arm.com,2025:psa#1.0.0"

// mkeys and code points.
const (
	MKeyComponent     = "psa.software-component"
	MKeyCertification = "psa.certification"
	CertificationNum  = 100 // text "1234567890123 - 12345"
	TripleRelations   = 50
)

var certNumber = regexp.MustCompile(`^[0-9]{13} - [0-9]{5}$`)

// Profile returns the profile.
func Profile() *corim.Profile {
	return &corim.Profile{IDs: []string{ID}, Name: "Arm PSA", Check: check,
		CodePoints: map[int64]corim.CodePoint{CertificationNum: {Name: "psa.cert-num", Check: func(b []byte) error {
			r := cborx.NewReader(b, cborx.Limits{})
			if s := r.Text(); r.OK() && !certNumber.MatchString(s) {
				r.Fail("%q is no PSA certification number", s)
			}
			return r.Done()
		}}},
		TripleKeys: map[int64]string{TripleRelations: "software-relations"},
		Compare: func(_ claim.ID, cp int64) func(cond, acc claim.Values) bool {
			if cp != CertificationNum {
				return nil
			}
			return sameExt(cp)
		},
	}
}

// sameExt compares an extension by its deterministic encoding.
func sameExt(key int64) func(cond, acc claim.Values) bool {
	get := func(v claim.Values) []byte {
		for _, x := range v.Ext {
			if x.Key == key {
				return x.CBOR
			}
		}
		return nil
	}
	return func(cond, acc claim.Values) bool {
		c := get(cond)
		return c != nil && bytes.Equal(c, get(acc))
	}
}

func check(m *corim.Manifest) (out []corim.Finding) {
	for _, c := range m.CoMIDs {
		for _, v := range c.Triples.Reference {
			out = CheckEnvironment(out, "reference-value triple", v.Environment)
			for _, e := range v.Elements {
				if e.Key.TextContent() != MKeyComponent {
					out = append(out, corim.Finding{Where: "reference-value triple", Err: fault.New(fault.Malformed, "the PSA profile has no reference values for %v", e.Key)})
					continue
				}
				out = CheckComponent(out, "reference-value triple", e)
			}
		}
		for _, k := range c.Triples.AttestKey {
			out = CheckAttestKey(out, k)
		}
		for _, ce := range c.Triples.Conditional {
			for _, v := range ce.Conditions {
				out = CheckEnvironment(out, "conditional-endorsement triple", v.Environment)
			}
		}
	}
	return out
}

// CheckEnvironment wants a class-id 560 of 32 bytes, and as instance 550(0x01 ‖ 32) or nothing.
func CheckEnvironment(out []corim.Finding, where string, env claim.Environment) []corim.Finding {
	if env.Class.ID.Tag != claim.TagBytes || len(env.Class.ID.Content()) != 32 {
		out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "the class-id must be 560 with 32 bytes, found %v", env.Class.ID)})
	}
	if i := env.Instance; !i.IsZero() {
		if c := i.Content(); i.Tag != claim.TagUEID || len(c) != 33 || c[0] != 1 {
			out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, "the instance must be 550 with 0x01 and 32 bytes, found %v", i)})
		}
	}
	return out
}

// CheckComponent wants a software component: digests, exactly one signer-id, and no authorized-by.
func CheckComponent(out []corim.Finding, where string, e claim.Element) []corim.Finding {
	bad := func(format string, args ...any) {
		out = append(out, corim.Finding{Where: where, Err: fault.New(fault.Malformed, format, args...)})
	}
	if len(e.AuthorizedBy) > 0 {
		bad("a software component must not have authorized-by")
	}
	if len(e.Values.Digests) == 0 {
		bad("a software component has no digests")
	}
	for _, d := range e.Values.Digests {
		if n := len(d.Value); n != 32 && n != 48 && n != 64 {
			bad("a software component's digest of %d bytes", n)
		}
	}
	if k := e.Values.CryptoKeys; len(k) != 1 || k[0].Tag != claim.TagBytes {
		bad("a software component has exactly one signer-id (cryptokeys, 560)")
	} else if n := len(k[0].Content()); n != 32 && n != 48 && n != 64 {
		bad("a signer-id of %d bytes", n)
	}
	return out
}

// CheckAttestKey wants exactly one public key in PEM form, for one instance.
func CheckAttestKey(out []corim.Finding, k corim.KeyTriple) []corim.Finding {
	out = CheckEnvironment(out, "attest-key triple", k.Environment)
	if len(k.Keys) != 1 || k.Keys[0].Tag != claim.TagPKIXBase64Key {
		out = append(out, corim.Finding{Where: "attest-key triple", Err: fault.New(fault.Malformed, "an attest-key triple has exactly one key, a PEM public key (554)")})
	}
	return out
}
