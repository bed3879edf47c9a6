package result

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
)

// The CBOR form of an EAR: a CWT, COSE_Sign1 with tag 18 (specs ear.md sections 2 and 3). Only EAR -03 has one here.

const (
	tagCWT        = 61
	contentFormat = 263 // CoAP content format of application/eat+cwt
	typCWT        = `application/eat+cwt; eat_profile="` + string(ProfileEAR) + `"`
)

// Claim keys (specs ear.md sections 1 and 8; RFC 8392, RFC 8747, RFC 9711).
const (
	keyIss, keyAud, keyExp, keyNbf, keyIat, keyCnf = 1, 3, 4, 5, 6, 8
	keyNonce, keyProfile, keySubmods               = 10, 265, 266

	keyStatus, keyVector, keyPolicyIDs, keyVerifierID = 1000, 1001, 1003, 1004

	keyAnnotated, keyPolicyClaims, keyKeyAttestation = -70000, -70001, -70002
	keyTrail, keyBasis, keyMode, keyFault            = -71000, -71001, -71002, -71003
)

// coseAlgs are the COSE names of each algorithm; the first is written.
func coseAlgs(a keys.Alg) []int64 {
	switch a {
	case keys.ES256:
		return []int64{cosex.ES256, cosex.ESP256}
	case keys.ES384:
		return []int64{cosex.ES384, cosex.ESP384}
	case keys.ES512:
		return []int64{cosex.ES512, cosex.ESP512}
	case keys.EdDSA:
		return []int64{cosex.EdDSA, cosex.Ed25519}
	}
	return nil
}

// IssueCWT is [Issuer.Issue] in the CBOR form.
func (i *Issuer) IssueCWT(a *appraise.Appraisal, d *policy.Decision, o Options) ([]byte, error) {
	if !a.Valid() || !d.Valid() {
		return nil, fault.New(fault.Internal, "a result needs an appraisal and a decision")
	}
	if i.cfg.Profile != ProfileEAR {
		return nil, fault.New(fault.Usage, "only EAR -03 has a CBOR form here, not %s", i.cfg.Profile)
	}
	doc, err := i.document(a.Time(), a.Attesters(), d.Content(), o)
	if err != nil {
		return nil, err
	}
	if err := doc.checkStatus(); err != nil {
		return nil, fault.New(fault.Internal, "refusing to issue: %w", err)
	}
	if doc.confirmKey, err = confirmKey(a, o); err != nil {
		return nil, err
	}
	kid, err := coseThumbprint(i.cfg.Key.Public)
	if err != nil {
		return nil, err
	}
	t := cosex.Template{Alg: coseAlgs(i.cfg.Key.Alg)[0], Payload: doc.encodeCBOR()}
	t.Protected.Put(cosex.LabelTyp, cborx.AppendText(nil, typCWT))
	t.Protected.Put(cosex.LabelKeyID, cborx.AppendBytes(nil, kid))
	out, err := cosex.Sign(t, i.cfg.Key.Signer)
	if err == nil && len(out) > maxToken {
		err = fault.New(fault.Unsupported, "the result has %d bytes, readers take at most %d; leave the trail out", len(out), maxToken)
	}
	return out, err
}

// confirmKey is the COSE_Key of the key that the lead evidence is bound to, nil when it has none or nobody asked.
func confirmKey(a *appraise.Appraisal, o Options) ([]byte, error) {
	if !o.Confirm {
		return nil, nil
	}
	der, err := spki(a.Attesters()[0].Evidence.Binding().Key)
	if err != nil || der == nil {
		return nil, err
	}
	ks, err := publicOf(der)
	if err != nil {
		return nil, err
	}
	return ks, nil
}

// coseThumbprint is the COSE key thumbprint with SHA-256 (RFC 9679): the digest of the key's required members.
func coseThumbprint(k keys.Public) ([]byte, error) {
	c, err := coseKeyOf(k.Key)
	if err != nil {
		return nil, err
	}
	s := sha256.Sum256(c)
	return s[:], nil
}

func (d *document) encodeCBOR() []byte {
	var m cborx.MapEncoder
	m.Put(keyProfile, cborx.AppendText(nil, string(d.profile)))
	if d.issuer != "" {
		m.Put(keyIss, cborx.AppendText(nil, d.issuer))
	}
	switch len(d.audience) {
	case 0:
	case 1:
		m.Put(keyAud, cborx.AppendText(nil, d.audience[0]))
	default:
		m.Put(keyAud, appendTexts(nil, d.audience))
	}
	m.Put(keyIat, cborx.AppendInt(nil, d.issuedAt))
	if d.notBefore.Set {
		m.Put(keyNbf, cborx.AppendInt(nil, d.notBefore.V))
	}
	if d.expires.Set {
		m.Put(keyExp, cborx.AppendInt(nil, d.expires.V))
	}
	if len(d.nonce) > 0 {
		m.Put(keyNonce, cborx.AppendBytes(nil, d.nonce))
	}
	var id cborx.MapEncoder
	id.Put(0, cborx.AppendText(nil, d.developer))
	id.Put(1, cborx.AppendText(nil, d.build))
	m.Put(keyVerifierID, id.Append(nil))
	if d.status.Set {
		m.Put(keyStatus, cborx.AppendUint(nil, uint64(d.status.V)))
	}
	if len(d.confirmKey) > 0 {
		var cnf cborx.MapEncoder
		cnf.Put(1, d.confirmKey) // RFC 8747 section 3.2
		m.Put(keyCnf, cnf.Append(nil))
	}
	putObject(&m, keyBasis, d.basis)
	putObject(&m, keyMode, d.mode)
	var subs cborx.MapEncoder
	for i := range d.submods {
		subs.PutText(d.submods[i].label, d.submods[i].encodeCBOR())
	}
	m.Put(keySubmods, subs.Append(nil))
	return m.Append(nil)
}

func (s *submod) encodeCBOR() []byte {
	var m cborx.MapEncoder
	m.Put(keyStatus, cborx.AppendUint(nil, uint64(s.status)))
	if s.hasVector() {
		var v cborx.MapEncoder
		for i, c := range s.vector {
			if c.Set {
				v.Put(int64(i), cborx.AppendInt(nil, int64(c.V)))
			}
		}
		m.Put(keyVector, v.Append(nil))
	}
	if len(s.policyIDs) > 0 {
		m.Put(keyPolicyIDs, appendTexts(nil, s.policyIDs))
	}
	if len(s.nonce) > 0 {
		m.Put(keyNonce, cborx.AppendBytes(nil, s.nonce))
	}
	if len(s.akpub) > 0 {
		var ak cborx.MapEncoder
		ak.PutText("akpub", cborx.AppendBytes(nil, s.akpub))
		m.Put(keyKeyAttestation, ak.Append(nil))
	}
	putObject(&m, keyAnnotated, s.annotated)
	putObject(&m, keyPolicyClaims, s.policyClaims)
	putObject(&m, keyTrail, s.trail)
	putObject(&m, keyFault, s.fault)
	return m.Append(nil)
}

func putObject(m *cborx.MapEncoder, key int64, o claim.Object) {
	if len(o) > 0 {
		m.Put(key, appendNodeCBOR(nil, claim.O(o...)))
	}
}

func appendTexts(b []byte, list []string) []byte {
	b = cborx.AppendArray(b, len(list))
	for _, s := range list {
		b = cborx.AppendText(b, s)
	}
	return b
}

func appendNodeCBOR(b []byte, n claim.Node) []byte {
	switch n.Kind {
	case claim.NodeText:
		return cborx.AppendText(b, n.Text())
	case claim.NodeHex:
		return cborx.AppendBytes(b, n.Bytes())
	case claim.NodeUint:
		return cborx.AppendUint(b, n.Uint())
	case claim.NodeInt:
		return cborx.AppendInt(b, n.Int())
	case claim.NodeBool:
		return cborx.AppendBool(b, n.Bool())
	case claim.NodeList:
		b = cborx.AppendArray(b, len(n.List()))
		for _, e := range n.List() {
			b = appendNodeCBOR(b, e)
		}
		return b
	case claim.NodeObject:
		var m cborx.MapEncoder
		for _, e := range n.Object() {
			m.PutText(e.Name, appendNodeCBOR(nil, e.Value))
		}
		return m.Append(b)
	}
	return cborx.AppendNull(b)
}

// isCWT tells the two forms apart by their first byte: a compact JWS begins with a base64url character.
func isCWT(token []byte) bool { return len(token) > 0 && token[0] >= 0xc0 }

// openCWT authenticates the bytes first and reads the claims after, as open does.
func openCWT(token []byte, cfg VerifyConfig) (*document, keys.Public, error) {
	limits := cborx.Limits{Size: maxToken, Depth: maxDepth}
	if err := cborx.Check(token, cborx.Limits{Size: maxToken, Depth: maxDepth + 2}); err != nil {
		return nil, keys.Public{}, err
	}
	if r := cborx.Checked(token); r.Kind() == cborx.Tag && r.Tag() == tagCWT { // accepted, never written
		token = r.Raw()
	}
	s, err := cosex.Parse(token, cosex.Options{Limits: limits})
	if err != nil {
		return nil, keys.Public{}, err
	}
	if s.Detached {
		return nil, keys.Public{}, fault.New(fault.Malformed, "a CWT without its claims")
	}
	if err := checkCWTType(s.Protected); err != nil {
		return nil, keys.Public{}, err
	}
	key, err := verifyCOSE(s, cfg.Keys)
	if err != nil {
		return nil, keys.Public{}, err
	}
	d, err := decodeCBOR(s.Payload, cfg.Profiles)
	return d, key, err
}

func checkCWTType(h cosex.Headers) error {
	raw, ok := h.Get(cosex.LabelTyp)
	if !ok {
		return nil
	}
	r := cborx.Checked(raw)
	if r.Kind() == cborx.Uint {
		if r.Uint() == contentFormat {
			return nil
		}
		return fault.New(fault.Unsupported, "a CWT of another type is no attestation result")
	}
	typ, _, _ := strings.Cut(strings.ToLower(r.Text()), ";")
	if t := strings.TrimSpace(typ); r.OK() && (t == "application/eat+cwt" || t == "application/eat-cwt" || t == "application/cwt") {
		return nil
	}
	return fault.New(fault.Unsupported, "a CWT of type %q is no attestation result", typ)
}

func verifyCOSE(s *cosex.Sign1, ks []keys.Public) (keys.Public, error) {
	known, tried := false, 0
	for _, k := range ks {
		if !slices.Contains(coseAlgs(k.Alg), s.Alg) {
			continue
		}
		known = true
		tried++
		if s.Verify(k.Key, nil) == nil {
			return k, nil
		}
	}
	if !known && !slices.ContainsFunc(keys.Algs(), func(a keys.Alg) bool { return slices.Contains(coseAlgs(a), s.Alg) }) {
		return keys.Public{}, fault.New(fault.Unsupported, "signature algorithm %d is not accepted", s.Alg)
	}
	return keys.Public{}, fault.New(fault.Signature, "the signature was made by none of the configured keys (%d tried)", tried)
}
