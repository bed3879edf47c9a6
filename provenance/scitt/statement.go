// Package scitt verifies SCITT signed statements (RFC 9943) and the receipts of transparency services over them (COSE
// receipts, RFC 9942, with the verifiable data structures RFC9162_SHA256 and CCF_LEDGER_SHA256), offline against
// configured keys (specs transparency.md sections 15 to 18).
package scitt

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

var limits = cborx.Limits{Size: 1 << 20, Depth: 16, Items: 4096, Text: 64 << 10, Bytes: 1 << 20}

const (
	labelReceipts int64 = 394
	labelVDS      int64 = 395
	labelProofs   int64 = 396

	maxReceipts = 64
	maxPath     = 64
	maxChain    = 16
	maxUnix     = 253402300799 // year 9999
)

// understood are the labels that may be critical.
var understood = []int64{cosex.LabelCWTClaims, cosex.LabelTyp, cosex.LabelX5Chain, cosex.LabelX5T, cosex.LabelPayloadHashAlg,
	cosex.LabelPayloadPreimageContent, cosex.LabelPayloadLocation, labelVDS}

// Statement is a signed statement of which only the headers have been read.
type Statement struct {
	Issuer      string
	Subject     string
	SVN         string // text label "svn" of the CWT claims: a number
	IssuedAt    time.Time
	ContentType string // of the payload, or of what it is the hash of
	HashAlg     int64  // COSE hash algorithm of a hash envelope; 0 when the payload itself is signed
	Payload     []byte // the payload; of a hash envelope the digest
	KeyID       []byte
	Chain       []*x509.Certificate // x5chain, leaf first

	raw      []byte
	sign1    *cosex.Sign1
	cleared  []byte // the statement with its unprotected header emptied
	receipts [][]byte
	foreign  int // receipts that are no COSE
	attested *attestation
}

// Parse reads a statement. Errors are malformed.
func Parse(b []byte) (*Statement, error) {
	s := &Statement{raw: b}
	var err error
	if s.sign1, err = cosex.Parse(b, cosex.Options{Limits: limits, Understood: understood, UnderstoodNames: attestedNames}); err != nil {
		return nil, fault.Wrap(err, "signed statement")
	}
	for _, f := range []func() error{s.split, s.readHeaders, s.readPayload, s.readReceipts, s.readAttestation} {
		if err := f(); err != nil {
			return nil, fault.Wrap(err, "signed statement")
		}
	}
	return s, nil
}

// split keeps the parts as carried: what is hashed must not be encoded anew.
func (s *Statement) split() error {
	if s.sign1.Detached {
		return fault.New(fault.Malformed, "a statement without its payload")
	}
	r := cborx.Checked(s.raw)
	r.Expect(18)
	r.Tuple(4, 4)
	protected := r.Raw()
	r.Skip()
	payload, sig := r.Raw(), r.Raw()
	if err := r.Done(); err != nil {
		return err
	}
	s.cleared = append([]byte{0xd2, 0x84}, protected...)
	s.cleared = append(s.cleared, 0xa0)
	s.cleared = append(append(s.cleared, payload...), sig...)
	return nil
}

func (s *Statement) readHeaders() error {
	p := s.sign1.Protected
	if v, ok := p.Get(cosex.LabelCWTClaims); ok {
		c, err := readCWT(v)
		if err != nil {
			return err
		}
		s.Issuer, s.Subject, s.SVN, s.IssuedAt = c.iss, c.sub, c.svn, c.iat
	}
	// The older form: text labels in the header itself.
	for _, h := range p {
		if h.IsText && (h.Name == "iss" || h.Name == "feed") {
			r := cborx.Checked(h.Value)
			v := r.Text()
			if !r.OK() {
				return fault.New(fault.Malformed, "header %q is no text", h.Name)
			}
			if h.Name == "iss" && s.Issuer == "" {
				s.Issuer = v
			} else if h.Name == "feed" && s.Subject == "" {
				s.Subject = v
			}
		}
	}
	if v, ok := p.Get(cosex.LabelKeyID); ok {
		r := cborx.Checked(v)
		if s.KeyID = r.Bytes(); !r.OK() {
			return fault.Wrap(r.Err(), "kid")
		}
	}
	return s.readChain(p)
}

func (s *Statement) readChain(p cosex.Headers) error {
	v, ok := p.Get(cosex.LabelX5Chain)
	if !ok {
		return nil
	}
	r := cborx.Checked(v)
	n := 1
	if r.Kind() != cborx.Bytes {
		n = r.Tuple(1, maxChain)
	}
	for ; n > 0 && r.OK(); n-- {
		der := r.Bytes()
		if !r.OK() {
			break
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fault.New(fault.Malformed, "x5chain[%d]: %w", len(s.Chain), err)
		}
		s.Chain = append(s.Chain, c)
	}
	if err := r.Done(); err != nil {
		return fault.Wrap(err, "x5chain")
	}
	t, ok := p.Get(cosex.LabelX5T)
	if !ok {
		return nil
	}
	x := cborx.Checked(t)
	x.Tuple(2, 2)
	alg, value := x.Int64(), x.Bytes()
	if err := x.Done(); err != nil {
		return fault.Wrap(err, "x5t")
	}
	want := hash(alg, s.Chain[0].Raw)
	if want == nil {
		return fault.New(fault.Unsupported, "x5t with hash algorithm %d", alg)
	}
	if string(want) != string(value) {
		return fault.New(fault.Signature, "x5t is not the thumbprint of the first certificate of x5chain")
	}
	return nil
}

// hash is a COSE hash algorithm; nil when it is not known.
func hash(alg int64, b []byte) []byte {
	switch alg {
	case -16:
		h := sha256.Sum256(b)
		return h[:]
	case -43:
		h := sha512.Sum384(b)
		return h[:]
	case -44:
		h := sha512.Sum512(b)
		return h[:]
	}
	return nil
}

// hashV ends the content type of the older form of a hash envelope.
const hashV = "+cose-hash-v"

func (s *Statement) readPayload() error {
	p := s.sign1.Protected
	s.Payload = s.sign1.Payload
	s.ContentType, _ = p.Text(cosex.LabelContentType)
	if v, ok := p.Get(cosex.LabelPayloadHashAlg); ok {
		r := cborx.Checked(v)
		if s.HashAlg = r.Int64(); !r.OK() {
			return fault.New(fault.Malformed, "payload_hash_alg is no integer")
		}
		if _, both := p.Get(cosex.LabelContentType); both {
			return fault.New(fault.Malformed, "content type (3) together with a hash envelope")
		}
		s.ContentType, _ = p.Text(cosex.LabelPayloadPreimageContent)
	} else if base, ok := strings.CutSuffix(s.ContentType, hashV); ok {
		r := cborx.NewReader(s.sign1.Payload, limits)
		n := r.Tuple(2, 3)
		s.HashAlg, s.Payload = r.Int64(), r.Bytes()
		if n == 3 {
			r.Skip()
		}
		if err := r.Done(); err != nil {
			return fault.Wrap(err, "payload")
		}
		s.ContentType = base
	}
	if s.HashAlg != 0 {
		if want := hash(s.HashAlg, nil); want == nil {
			return fault.New(fault.Unsupported, "payload hash algorithm %d", s.HashAlg)
		} else if len(want) != len(s.Payload) {
			return fault.New(fault.Malformed, "a payload hash of %d bytes", len(s.Payload))
		}
	}
	return nil
}

func (s *Statement) readReceipts() error {
	v, ok := s.sign1.Unprotected.Get(labelReceipts)
	if !ok {
		return nil
	}
	r := cborx.Checked(v)
	n := r.Array()
	if r.OK() && (n == 0 || n > maxReceipts) {
		return fault.New(fault.Malformed, "%d receipts; 1 to %d are read", n, maxReceipts)
	}
	for ; n > 0 && r.OK(); n-- {
		b := r.Raw()
		if len(b) > 0 && b[0] != 0xd2 { // bstr-wrapped, or the tagged item itself
			w := cborx.Checked(b)
			if b = w.Bytes(); !w.OK() {
				return fault.New(fault.Malformed, "a receipt that is neither bytes nor COSE_Sign1")
			}
		}
		if len(b) == 0 || b[0] != 0xd2 {
			s.foreign++
			continue
		}
		s.receipts = append(s.receipts, b)
	}
	return fault.Wrap(r.Err(), "receipts")
}

type cwt struct {
	iss, sub, svn string
	iat           time.Time
}

func readCWT(v []byte) (c cwt, err error) {
	r := cborx.Checked(v)
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Kind() == cborx.Text {
			if r.Text() == "svn" {
				if r.Kind() == cborx.Text {
					c.svn = r.Text()
				} else {
					c.svn = strconv.FormatInt(r.Int64(), 10)
				}
				continue
			}
			r.Skip()
			continue
		}
		switch r.Int64() {
		case 1:
			c.iss = r.Text()
		case 2:
			c.sub = r.Text()
		case 6:
			if r.Kind() == cborx.Tag {
				r.Expect(1)
			}
			sec := r.Int64()
			if sec < 0 || sec > maxUnix {
				r.Fail("the time %d lies outside the years 1970 to 9999", sec)
			}
			c.iat = time.Unix(sec, 0).UTC()
		default:
			r.Skip()
		}
	}
	return c, fault.Wrap(r.Done(), "CWT claims")
}

// keyID is the form of a CCF service key's id: lower hex SHA-256 of the SubjectPublicKeyInfo.
func keyID(k crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return ""
	}
	h := sha256.Sum256(der)
	return hex.EncodeToString(h[:])
}
