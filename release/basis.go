package release

import (
	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/result"
)

// basis is what a release rests on: the one key that the secret may be encrypted to, and what is known about the machine.
type basis struct {
	key   *jwe.Key
	lead  *evidence.Verified // nil when it rests on another verifier's result
	facts []string
}

func (r Request) basis() (basis, error) {
	switch {
	case r.Appraisal.Valid() && r.Accepted == nil && len(r.Appraisal.Attesters()) > 0:
		return appraisalBasis(r.Appraisal)
	case r.Appraisal == nil && r.Accepted.Valid() && r.Into == nil:
		return acceptedBasis(r.Accepted)
	}
	return basis{}, fault.New(fault.Internal, "a release rests on one appraisal, or on one accepted result")
}

// appraisalBasis takes the key that the lead Attester's evidence commits to (trustee-superset S18).
func appraisalBasis(a *appraise.Appraisal) (basis, error) {
	lead := a.Attesters()[0].Evidence
	bound := lead.Binding()
	if !bound.Bound || len(bound.Key) == 0 {
		return basis{}, Deny(BindingMismatch, "the evidence binds no key, so there is nothing to encrypt the secret to")
	}
	key, err := parseBound(bound.Key)
	return basis{key: key, lead: lead, facts: Facts(lead.Claims())}, err
}

func parseBound(b []byte) (*jwe.Key, error) {
	if b[0] == '{' {
		return jwe.ParseKey(b)
	}
	return jwe.ParseSPKI(b)
}

// Lead returns the submodule that speaks for the machine: cpu0 in Trustee's naming, else the only one.
func Lead(a *result.Accepted) (result.AcceptedSubmod, bool) {
	if s, ok := a.Submod("cpu0"); ok {
		return s, true
	}
	if all := a.Submods(); len(all) == 1 {
		return all[0], true
	}
	return result.AcceptedSubmod{}, false
}

// acceptedBasis takes the key that the issuer of the result found bound: its own extension, or Trustee's claims of the
// handshake. Where both are there they must agree.
func acceptedBasis(a *result.Accepted) (basis, error) {
	lead, ok := Lead(a)
	if !ok {
		return basis{}, Deny(BindingMismatch, "the result does not say which submodule speaks for the machine")
	}
	var out basis
	if der := lead.Key(); len(der) > 0 {
		key, err := jwe.ParseSPKI(der)
		if err != nil {
			return out, err
		}
		out.key = key
	}
	annotated := lead.Annotated()
	if rt, ok := annotated.Get("runtime_data_claims"); ok {
		if jwk, ok := rt.Object().Get("tee-pubkey"); ok && jwk.Kind == claim.NodeObject {
			text, err := jwk.MarshalJSON()
			if err != nil {
				return out, fault.As(fault.Malformed, err)
			}
			key, err := jwe.ParseKey(text)
			if err != nil {
				return out, err
			}
			if out.key != nil && !sameKey(out.key, key) {
				return out, Deny(BindingMismatch, "the result names two different keys")
			}
			out.key = key
		}
	}
	if out.key == nil {
		return out, Deny(BindingMismatch, "the result names no key, so there is nothing to encrypt the secret to")
	}
	for _, m := range annotated {
		// Trustee's dialect has the claims below the name of the TEE; conditions name them without it.
		if m.Value.Kind == claim.NodeObject && m.Name != "runtime_data_claims" && m.Name != "init_data_claims" {
			out.facts = append(out.facts, Facts(m.Value.Object())...)
		}
	}
	out.facts = append(out.facts, Facts(annotated)...)
	return out, nil
}

// sameKey compares the key material; the algorithm is not part of a SubjectPublicKeyInfo.
func sameKey(a, b *jwe.Key) bool {
	x, errX := a.SPKI()
	y, errY := b.SPKI()
	return errX == nil && errY == nil && string(x) == string(y)
}
