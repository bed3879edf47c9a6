package corim

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"slices"
	"time"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

const labelMeta int64 = 8 // corim-meta

// understood are the labels that a signed CoRIM may make critical (specs corim.md section 4), beside those of COSE.
var understood = []int64{labelMeta, cosex.LabelCWTClaims, cosex.LabelTyp, cosex.LabelX5Bag, cosex.LabelX5Chain, cosex.LabelX5T,
	cosex.LabelX5U, cosex.LabelPayloadHashAlg, cosex.LabelPayloadPreimageContent, cosex.LabelPayloadLocation}

// Signed is a signed CoRIM (section 4.2) of which only the headers have been read. Nothing in it counts before
// [Signed.Verify] has succeeded; [Signed.Manifest] refuses until then.
type Signed struct {
	Alg             int64
	ContentType     string   // of the payload, or of what it is the hash of
	HashAlg         int64    // COSE algorithm id of a hash envelope; 0 when the manifest itself is signed
	PayloadLocation string   // a hint that nothing vouches for
	Meta            *Meta    // corim-meta
	CWT             *CWT     // CWT claims
	Chain           [][]byte // x5chain: DER certificates, leaf first; unauthenticated until a path has been built
	ChainProtected  bool     // x5chain is covered by the signature
	KeyID           []byte   // a hint for looking up keys
	X5T             *X5T     // thumbprint of the signer's certificate
	X5U             string   // never fetched
	Relaxations     []string
	Raw             []byte // as carried

	sign1    *cosex.Sign1
	opts     Options
	verified []byte // the manifest that the signature has been seen to cover
}

// Meta is corim-meta-map.
type Meta struct {
	SignerName string
	SignerURI  string
	Validity   *Validity
}

// CWT is the CWT claims header (RFC 9597) as far as CoRIM uses it.
type CWT struct {
	Issuer    string
	Subject   string
	NotBefore *time.Time
	Expires   *time.Time
}

// X5T is a certificate thumbprint (RFC 9360 section 2) under a COSE hash algorithm.
type X5T struct {
	HashAlg int64
	Value   []byte
}

// ParseSigned reads the envelope and headers of a signed CoRIM. Errors are malformed.
func ParseSigned(b []byte, o Options) (*Signed, error) {
	d := &decoder{opts: o}
	s := &Signed{Raw: append([]byte(nil), b...), opts: o}
	body, err := d.stripLegacy(s.Raw)
	if err != nil {
		return nil, fault.Wrap(err, "signed corim")
	}
	s.sign1, err = cosex.Parse(body, cosex.Options{Limits: outerLimits, Understood: understood})
	if err != nil {
		return nil, fault.Wrap(err, "signed corim")
	}
	s.Alg = s.sign1.Alg
	for _, f := range []func(*decoder) error{s.readShape, s.readMeta, s.readCWT, s.crossCheck, s.readCertificates} {
		if err := f(d); err != nil {
			return nil, fault.Wrap(err, "signed corim")
		}
	}
	s.Relaxations = d.used
	return s, nil
}

// stripLegacy takes tags 500 and 502 off, when that is allowed.
func (d *decoder) stripLegacy(b []byte) ([]byte, error) {
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "%d bytes; at most %d are read", len(b), MaxSize)
	}
	const prefix500, prefix502 = "\xd9\x01\xf4", "\xd9\x01\xf6"
	has := func(p string) bool { return len(b) > 3 && string(b[:3]) == p }
	if has(prefix500) && d.relaxed(RelaxLegacyPrefix) {
		if b = b[3:]; has(prefix502) {
			b = b[3:]
		}
	}
	return b, nil
}

// readShape checks that the headers have exactly one of the two shapes of section 4.2: inline (or detached), or hash
// envelope.
func (s *Signed) readShape(*decoder) error {
	p := s.sign1.Protected
	_, hasCty := p.Get(cosex.LabelContentType)
	hashAlg, hasHash := p.Get(cosex.LabelPayloadHashAlg)
	_, hasPre := p.Get(cosex.LabelPayloadPreimageContent)
	_, hasLoc := p.Get(cosex.LabelPayloadLocation)
	for _, l := range []int64{cosex.LabelContentType, cosex.LabelPayloadHashAlg, cosex.LabelPayloadPreimageContent, cosex.LabelPayloadLocation} {
		if _, loose := s.sign1.Unprotected.Get(l); loose {
			return fault.New(fault.Malformed, "header %d is not protected", l)
		}
	}
	label := cosex.LabelContentType
	switch {
	case hasCty && (hasHash || hasPre || hasLoc):
		return fault.New(fault.Malformed, "content type (3) together with hash envelope headers (258 to 260)")
	case hasCty:
	case hasHash && hasPre:
		label = cosex.LabelPayloadPreimageContent
		r := cborx.Checked(hashAlg)
		if s.HashAlg = r.Int64(); !r.OK() {
			return fault.New(fault.Malformed, "payload_hash_alg is no integer")
		}
		if s.sign1.Detached {
			return fault.New(fault.Malformed, "a hash envelope without its digest")
		}
		if hasLoc {
			var ok bool
			if s.PayloadLocation, ok = p.Text(cosex.LabelPayloadLocation); !ok {
				return fault.New(fault.Malformed, "payload_location is no text")
			}
		}
	default:
		return fault.New(fault.Malformed, "neither a content type (3) nor a hash envelope (258 and 259) in the protected header")
	}
	s.ContentType, _ = p.Text(label)
	if s.ContentType != MediaTypeUnsigned {
		return fault.New(fault.Malformed, "content type %q; a signed CoRIM holds %q", s.ContentType, MediaTypeUnsigned)
	}
	return nil
}

func (s *Signed) readMeta(d *decoder) error {
	v, ok := s.sign1.Protected.Get(labelMeta)
	if !ok {
		return nil
	}
	outer := cborx.Checked(v)
	r := cborx.NewReader(outer.Bytes(), innerLimits)
	if !outer.OK() {
		return fault.Wrap(outer.Err(), "corim-meta")
	}
	m := &Meta{}
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			for n := r.Map(); n > 0 && r.OK(); n-- {
				switch k := r.Int64(); k {
				case 0:
					m.SignerName = r.Text()
				case 1:
					m.SignerURI = d.uri(r)
				default:
					d.extension(r, "corim-signer-map", k, nil)
				}
			}
		case 1:
			v := d.validity(r)
			m.Validity = &v
		default:
			r.Fail("corim-meta-map has the unknown key %d", k)
		}
	}
	if r.OK() && m.SignerName == "" {
		r.Fail("corim-meta-map names no signer")
	}
	s.Meta = m
	return fault.Wrap(r.Done(), "corim-meta")
}

func (s *Signed) readCWT(d *decoder) error {
	v, ok := s.sign1.Protected.Get(cosex.LabelCWTClaims)
	if !ok {
		return nil
	}
	c := &CWT{}
	r := cborx.Checked(v)
	date := func() *time.Time {
		sec := r.Int64()
		if sec < 0 || sec > maxUnix {
			r.Fail("the time %d lies outside the years 1970 to 9999", sec)
		}
		t := time.Unix(sec, 0).UTC()
		return &t
	}
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Kind() == cborx.Text {
			r.Skip()
			r.Skip()
			continue
		}
		switch r.Int64() {
		case 1:
			c.Issuer = r.Text()
		case 2:
			c.Subject = r.Text()
		case 4:
			c.Expires = date()
		case 5:
			c.NotBefore = date()
		default:
			r.Skip()
		}
	}
	if r.OK() && c.Issuer == "" {
		r.Fail("the CWT claims lack iss (1)")
	}
	s.CWT = c
	return fault.Wrap(r.Done(), "CWT claims")
}

// crossCheck compares corim-meta with the CWT claims where both are there (specs corim.md section 4).
func (s *Signed) crossCheck(*decoder) error {
	switch {
	case s.Meta == nil && s.CWT == nil:
		return fault.New(fault.Malformed, "neither corim-meta (8) nor CWT claims (15) in the protected header: nobody says who signed")
	case s.Meta == nil || s.CWT == nil:
		return nil
	case s.Meta.SignerName != s.CWT.Issuer:
		return fault.New(fault.Malformed, "corim-meta names the signer %q, the CWT claims the issuer %q", s.Meta.SignerName, s.CWT.Issuer)
	}
	var nb, na *time.Time
	if v := s.Meta.Validity; v != nil {
		nb, na = v.NotBefore, &v.NotAfter
	}
	if !sameTime(nb, s.CWT.NotBefore) || !sameTime(na, s.CWT.Expires) {
		return fault.New(fault.Malformed, "the validity in corim-meta and that in the CWT claims differ")
	}
	return nil
}

func sameTime(a, b *time.Time) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
}

func (s *Signed) readCertificates(*decoder) error {
	both := func(label int64) ([]byte, bool, bool) {
		if v, ok := s.sign1.Protected.Get(label); ok {
			return v, true, true
		}
		v, ok := s.sign1.Unprotected.Get(label)
		return v, false, ok
	}
	if v, _, ok := both(cosex.LabelKeyID); ok {
		r := cborx.Checked(v)
		if s.KeyID = r.Bytes(); !r.OK() {
			return fault.Wrap(r.Err(), "kid")
		}
	}
	if v, _, ok := both(cosex.LabelX5T); ok {
		r := cborx.Checked(v)
		r.Tuple(2, 2)
		s.X5T = &X5T{HashAlg: r.Int64(), Value: r.Bytes()}
		if err := r.Done(); err != nil {
			return fault.Wrap(err, "x5t")
		}
	}
	if v, _, ok := both(cosex.LabelX5U); ok {
		r := cborx.Checked(v)
		if r.Kind() == cborx.Tag {
			r.Expect(32)
		}
		if s.X5U = r.Text(); !r.OK() {
			return fault.Wrap(r.Err(), "x5u")
		}
	}
	v, protected, ok := both(cosex.LabelX5Chain)
	if !ok {
		return nil
	}
	s.ChainProtected = protected
	r := cborx.Checked(v)
	if r.Kind() == cborx.Bytes {
		s.Chain = [][]byte{r.Bytes()}
		return nil
	}
	n := r.Tuple(2, maxCertificates)
	for ; n > 0 && r.OK(); n-- {
		s.Chain = append(s.Chain, r.Bytes())
	}
	return fault.Wrap(r.Err(), "x5chain")
}

// Certificates parses x5chain, leaf first. Nothing in it is authenticated. Errors are malformed.
func (s *Signed) Certificates() ([]*x509.Certificate, error) {
	out := make([]*x509.Certificate, 0, len(s.Chain))
	for i, der := range s.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fault.New(fault.Malformed, "x5chain[%d]: %w", i, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// Detached reports whether the manifest must be supplied to VerifyContent: the payload is detached, or a digest.
func (s *Signed) Detached() bool { return s.sign1.Detached || s.HashAlg != 0 }

// SignerName is the name that the signer gives itself.
func (s *Signed) SignerName() string {
	if s.Meta != nil {
		return s.Meta.SignerName
	}
	return s.CWT.Issuer
}

// Validity is the signature's validity; nil when the signer gave none. NotAfter is zero when only a beginning was given.
func (s *Signed) Validity() *Validity {
	if s.Meta != nil {
		return s.Meta.Validity
	}
	if s.CWT.NotBefore == nil && s.CWT.Expires == nil {
		return nil
	}
	v := &Validity{NotBefore: s.CWT.NotBefore}
	if s.CWT.Expires != nil {
		v.NotAfter = *s.CWT.Expires
	}
	return v
}

// Verify checks the signature over the carried manifest with key. Errors have class signature.
func (s *Signed) Verify(key crypto.PublicKey) error {
	if s.HashAlg != 0 {
		return fault.New(fault.Signature, "only a digest of the manifest is carried; the manifest must be supplied (VerifyContent)")
	}
	if err := s.sign1.Verify(key, nil); err != nil {
		return fault.Wrap(err, "signed corim")
	}
	s.verified = s.sign1.Payload
	return nil
}

// VerifyContent checks the signature with key where the manifest travels beside it: the payload is detached, or a digest
// of content (RFC 9995). Errors have class signature.
func (s *Signed) VerifyContent(key crypto.PublicKey, content []byte) error {
	content = append([]byte{}, content...)
	if s.HashAlg == 0 {
		if err := s.sign1.VerifyDetached(key, nil, content); err != nil {
			return fault.Wrap(err, "signed corim")
		}
		s.verified = content
		return nil
	}
	if err := s.sign1.Verify(key, nil); err != nil {
		return fault.Wrap(err, "signed corim")
	}
	sum, err := envelopeHash(s.HashAlg, content)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(sum, s.sign1.Payload) != 1 {
		return fault.New(fault.Signature, "the signed digest is not that of the supplied manifest")
	}
	s.verified = content
	return nil
}

// Manifest reads the manifest that Verify or VerifyContent has seen to be signed; before that it refuses.
func (s *Signed) Manifest() (*Manifest, error) {
	if s.verified == nil {
		return nil, fault.New(fault.Signature, "the signature of this CoRIM has not been verified, so nothing in it is read")
	}
	return s.decode(s.verified, s.opts)
}

// UnverifiedManifest reads the carried manifest for display although nothing has shown that anybody signed it. It must
// not be admitted, and says so in its warnings. Errors are as of [Decode]; of a detached manifest there is nothing to read.
func (s *Signed) UnverifiedManifest() (*Manifest, error) {
	if s.Detached() {
		return nil, fault.New(fault.Unsupported, "the manifest is not carried in this file")
	}
	o := s.opts
	o.ForDisplay = true
	m, err := s.decode(s.sign1.Payload, o)
	if err == nil {
		m.Warnings = append(m.Warnings, "the signature was not verified: for display only")
	}
	return m, err
}

func (s *Signed) decode(b []byte, o Options) (*Manifest, error) {
	m, err := Decode(b, o)
	if err != nil {
		return nil, err
	}
	for _, x := range s.Relaxations {
		if !slices.Contains(m.Relaxations, x) {
			m.Relaxations = append(m.Relaxations, x)
		}
	}
	if s.CWT != nil && s.CWT.Subject != "" && s.CWT.Subject != idText(m.ID) {
		return nil, fault.New(fault.Malformed, "the CWT claims speak of %q, the manifest is %q", s.CWT.Subject, idText(m.ID))
	}
	return m, nil
}

// envelopeHash hashes the content of a hash envelope under a COSE hash algorithm (RFC 9054).
func envelopeHash(alg int64, content []byte) ([]byte, error) {
	switch alg {
	case -16:
		h := sha256.Sum256(content)
		return h[:], nil
	case -43:
		h := sha512.Sum384(content)
		return h[:], nil
	case -44:
		h := sha512.Sum512(content)
		return h[:], nil
	}
	return nil, fault.New(fault.Unsupported, "hash envelope under algorithm %d; -16, -43 and -44 are known", alg)
}
