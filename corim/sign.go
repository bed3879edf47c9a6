package corim

import (
	"crypto"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

// SignOptions say what [Sign] writes around a manifest.
type SignOptions struct {
	// SignerName is the name of the signing entity; mandatory.
	SignerName string
	// SignerURI is an optional URI of the signing entity.
	SignerURI string
	// Validity is the signature's validity; nil for none.
	Validity *Validity
	// Subject is the text form of the corim id in the CWT claims; only with CWTClaims, and optional.
	Subject string
	// Alg is a COSE algorithm id; 0 takes the usual one of the key.
	Alg int64
	// Chain is x5chain: DER certificates, leaf first. It is written into the protected header.
	Chain [][]byte
	// UnprotectedChain writes Chain into the unprotected header, where some profiles want it.
	UnprotectedChain bool
	// KeyID is an optional hint for looking up keys.
	KeyID []byte
	// CWTClaims also names the signer in CWT claims (RFC 9597); OnlyCWT leaves corim-meta out.
	CWTClaims, OnlyCWT bool
	// HashAlg makes a hash envelope under this COSE algorithm (-16, -43, -44); 0 carries the manifest.
	HashAlg int64
	// PayloadLocation says where the manifest of a hash envelope is to be found.
	PayloadLocation string
	// Detached leaves the payload out.
	Detached bool
}

// Sign writes tag 18 and a COSE_Sign1 over manifest, which must be one well-formed tag 501 item; its bytes are signed as
// they are. Errors are usage or malformed, or come from the signer.
func Sign(manifest []byte, signer crypto.Signer, o SignOptions) ([]byte, error) {
	r := cborx.NewReader(manifest, outerLimits)
	if r.Expect(TagCoRIM); r.Err() != nil {
		return nil, fault.Wrap(r.Err(), "what is to be signed is no CoRIM")
	}
	if o.SignerName == "" {
		return nil, fault.New(fault.Usage, "a signed CoRIM must name its signer")
	}
	t := cosex.Template{Alg: o.Alg, Payload: manifest, Detached: o.Detached}
	if t.Alg == 0 {
		var err error
		if t.Alg, err = cosex.AlgFor(signer.Public()); err != nil {
			return nil, err
		}
	}
	content := cborx.AppendText(nil, MediaTypeUnsigned)
	switch {
	case o.HashAlg == 0:
		t.Protected.Put(cosex.LabelContentType, content)
	case o.Detached:
		return nil, fault.New(fault.Usage, "a hash envelope carries its digest; it cannot be detached")
	default:
		sum, err := envelopeHash(o.HashAlg, manifest)
		if err != nil {
			return nil, err
		}
		t.Payload = sum
		t.Protected.Put(cosex.LabelPayloadHashAlg, cborx.AppendInt(nil, o.HashAlg))
		t.Protected.Put(cosex.LabelPayloadPreimageContent, content)
		if o.PayloadLocation != "" {
			t.Protected.Put(cosex.LabelPayloadLocation, cborx.AppendText(nil, o.PayloadLocation))
		}
	}
	if !o.OnlyCWT {
		t.Protected.Put(labelMeta, cborx.AppendBytes(nil, o.meta()))
	}
	if o.CWTClaims || o.OnlyCWT {
		t.Protected.Put(cosex.LabelCWTClaims, o.cwt())
	}
	if o.KeyID != nil {
		t.Protected.Put(cosex.LabelKeyID, cborx.AppendBytes(nil, o.KeyID))
	}
	if len(o.Chain) > 0 {
		to := &t.Protected
		if o.UnprotectedChain {
			to = &t.Unprotected
		}
		to.Put(cosex.LabelX5Chain, appendChain(o.Chain))
	}
	return cosex.Sign(t, signer)
}

func appendChain(chain [][]byte) []byte {
	if len(chain) == 1 {
		return cborx.AppendBytes(nil, chain[0])
	}
	return listOf(nil, chain, cborx.AppendBytes)
}

func (o SignOptions) meta() []byte {
	var m, s cborx.MapEncoder
	s.Put(0, cborx.AppendText(nil, o.SignerName))
	if o.SignerURI != "" {
		s.Put(1, appendURI(nil, o.SignerURI))
	}
	m.Put(0, s.Append(nil))
	if o.Validity != nil {
		m.Put(1, appendValidity(nil, *o.Validity))
	}
	return m.Append(nil)
}

func (o SignOptions) cwt() []byte {
	var c cborx.MapEncoder
	c.Put(1, cborx.AppendText(nil, o.SignerName))
	if o.Subject != "" {
		c.Put(2, cborx.AppendText(nil, o.Subject))
	}
	if v := o.Validity; v != nil {
		c.Put(4, cborx.AppendInt(nil, v.NotAfter.Unix()))
		if v.NotBefore != nil {
			c.Put(5, cborx.AppendInt(nil, v.NotBefore.Unix()))
		}
	}
	return c.Append(nil)
}
