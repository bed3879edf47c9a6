package result

import (
	"crypto"
	"crypto/x509"
	"math"
	"slices"
	"strconv"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// decodeCBOR reads a claims set; it refuses what decodeJSON refuses.
func decodeCBOR(b []byte, accept []Profile) (*document, error) {
	r := cborx.NewReader(b, cborx.Limits{Size: maxToken, Depth: maxDepth})
	d := &document{}
	seen := map[int64]bool{}
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Kind() == cborx.Text { // a claim that is not registered
			r.Skip()
			r.Skip()
			continue
		}
		key := r.Int64()
		seen[key] = true
		d.decodeClaim(r, key)
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	switch {
	case !seen[keyProfile]:
		return nil, missing("eat_profile")
	case d.profile != ProfileEAR || !slices.Contains(accept, d.profile):
		return nil, fault.New(fault.Unsupported, "eat_profile %q is not accepted here", string(d.profile))
	case !seen[keyIat]:
		return nil, missing("iat")
	case !seen[keyVerifierID]:
		return nil, missing("ear_verifier_id")
	case len(d.submods) == 0:
		return nil, missing("submods")
	}
	return d, nil
}

func (d *document) decodeClaim(r *cborx.Reader, key int64) {
	switch key {
	case keyProfile:
		d.profile = Profile(r.Text())
	case keyIss:
		d.issuer = r.Text()
	case keyAud:
		if r.Kind() == cborx.Array {
			d.audience = cborTexts(r, maxAudiences)
		} else {
			d.audience = []string{r.Text()}
		}
	case keyIat:
		d.issuedAt = cborSeconds(r)
	case keyExp:
		d.expires = claim.Some(cborSeconds(r))
	case keyNbf:
		d.notBefore = claim.Some(cborSeconds(r))
	case keyNonce:
		d.nonce = cborNonce(r)
	case keyVerifierID:
		d.developer, d.build = cborVerifierID(r)
	case keyStatus:
		d.status = claim.Some(cborTier(r))
	case keyCnf:
		d.confirmKey = r.Raw()
	case keyBasis:
		d.basis = cborObject(r)
	case keyMode:
		d.mode = cborObject(r)
	case keySubmods:
		n := r.Map()
		if n > maxSubmods {
			r.Fail("%d submodules, at most %d are read", n, maxSubmods)
		}
		for ; n > 0 && r.OK(); n-- {
			label := r.Text()
			s := cborSubmod(r)
			s.label = label
			r.Within("submodule %q", label)
			d.submods = append(d.submods, s)
		}
	default:
		r.Skip()
	}
}

func cborSubmod(r *cborx.Reader) (s submod) {
	seenStatus := false
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Kind() == cborx.Text {
			r.Skip()
			r.Skip()
			continue
		}
		switch r.Int64() {
		case keyStatus:
			seenStatus = true
			s.status = cborTier(r)
		case keyVector:
			cborVector(r, &s.vector)
		case keyPolicyIDs:
			s.policyIDs = cborTexts(r, maxPolicies)
		case keyNonce:
			s.nonce = cborNonce(r)
		case keyKeyAttestation:
			s.akpub = cborKeyAttestation(r)
		case keyAnnotated:
			s.annotated = cborObject(r)
		case keyPolicyClaims:
			s.policyClaims = cborObject(r)
		case keyTrail:
			s.trail = cborObject(r)
		case keyFault:
			s.fault = cborObject(r)
		default:
			r.Skip()
		}
	}
	if r.OK() && !seenStatus {
		r.FailErr(missing("ear_status"))
	}
	return s
}

func cborVector(r *cborx.Reader, v *claim.TrustVector) {
	n := r.Map()
	if r.OK() && n == 0 {
		r.Fail("an empty trust vector")
	}
	for ; n > 0 && r.OK(); n-- {
		k := r.Int64()
		i := r.Int64()
		switch {
		case !r.OK():
		case k < 0 || k >= int64(claim.NumVectorMembers):
			r.Fail("%d is no member of the trust vector", k)
		case i < math.MinInt8 || i > math.MaxInt8:
			r.Fail("%v is %d, outside of -128 to 127", claim.VectorMember(k), i)
		default:
			v[k] = claim.Some(claim.TrustClaim(i))
		}
	}
}

func cborTier(r *cborx.Reader) claim.Tier {
	i := r.Int64()
	if !r.OK() {
		return claim.TierNone
	}
	t, err := tierByNumber(i)
	r.FailErr(err)
	return t
}

func cborSeconds(r *cborx.Reader) int64 {
	i := r.Int64()
	if r.OK() && (i < 0 || i > maxSeconds) {
		r.Fail("%d is no time", i)
	}
	return i
}

func cborNonce(r *cborx.Reader) []byte {
	b := r.Bytes()
	if r.OK() {
		r.FailErr(checkNonce(b))
	}
	return b
}

func cborVerifierID(r *cborx.Reader) (developer, build string) {
	have := 0
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Kind() == cborx.Text {
			r.Skip()
			r.Skip()
			continue
		}
		switch r.Int64() {
		case 0:
			developer = r.Text()
			have++
		case 1:
			build = r.Text()
			have++
		default:
			r.Skip()
		}
	}
	if r.OK() && have != 2 {
		r.FailErr(missing("ear_verifier_id"))
	}
	return developer, build
}

func cborKeyAttestation(r *cborx.Reader) (akpub []byte) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Text() == "akpub" {
			akpub = r.Bytes()
		} else {
			r.Skip()
		}
	}
	if r.OK() && len(akpub) == 0 {
		r.FailErr(missing("akpub"))
	}
	return akpub
}

func cborTexts(r *cborx.Reader, most int) []string {
	n := r.Array()
	if r.OK() && (n == 0 || n > most) {
		r.Fail("a list of %d entries; 1 to %d are allowed", n, most)
	}
	var out []string
	for ; n > 0 && r.OK(); n-- {
		out = append(out, r.Text())
	}
	return out
}

func cborObject(r *cborx.Reader) claim.Object {
	if r.OK() && r.Kind() != cborx.Map {
		r.Fail("a map expected, found %v", r.Kind())
	}
	return cborNode(r).Object()
}

// cborNode reads any item. What JSON's model lacks becomes text: floats, integers beyond 64 bits, keys that are numbers.
func cborNode(r *cborx.Reader) claim.Node {
	switch r.Kind() {
	case cborx.Uint:
		return claim.U(r.Uint())
	case cborx.Nint:
		neg, mag := r.Int()
		if neg && mag <= math.MaxInt64 {
			return claim.I(-1 - int64(mag))
		}
		return claim.S(claim.Int{Neg: true, Mag: mag}.String())
	case cborx.Bytes:
		return claim.H(r.Bytes())
	case cborx.Text:
		return claim.S(r.Text())
	case cborx.Bool:
		return claim.B(r.Bool())
	case cborx.Null:
		r.Null()
		return claim.Null()
	case cborx.Tag:
		r.Tag()
		return cborNode(r)
	case cborx.Array:
		var out []claim.Node
		for n := r.Array(); n > 0 && r.OK(); n-- {
			out = append(out, cborNode(r))
		}
		return claim.L(out...)
	case cborx.Map:
		var out []claim.Member
		for n := r.Map(); n > 0 && r.OK(); n-- {
			k := cborNode(r)
			out = append(out, claim.Member{Name: k.String(), Value: cborNode(r)})
		}
		return claim.O(out...)
	}
	return claim.S(strconv.FormatFloat(r.Float(), 'g', -1, 64))
}

// publicOf gives the COSE_Key of a DER SubjectPublicKeyInfo.
func publicOf(der []byte) ([]byte, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "the bound key: %w", err)
	}
	return coseKeyOf(pub)
}

// coseKeyOf is the deterministic COSE_Key with the required members only.
func coseKeyOf(pub crypto.PublicKey) ([]byte, error) {
	forms, err := claim.KeyAuthority(pub)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "%w", err)
	}
	for _, f := range forms {
		if f.Tag == claim.TagCOSEKey {
			return f.Content(), nil
		}
	}
	return nil, fault.New(fault.Unsupported, "keys of type %T have no COSE form here", pub)
}
