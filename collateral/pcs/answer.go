package pcs

import (
	"encoding/hex"
	"net/http"
	"net/url"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// chainHeaders are the headers that carry the issuer chain, URL-escaped PEM; the names of version 3 are still sent by
// some caches (evidence-intel.md section 22).
var chainHeaders = map[Kind][]string{
	TCBInfo:           {"TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"},
	Identity:          {"SGX-Enclave-Identity-Issuer-Chain"},
	PCKCRL:            {"SGX-PCK-CRL-Issuer-Chain"},
	PCKCert:           {"SGX-PCK-Certificate-Issuer-Chain"},
	EvaluationNumbers: {"TCB-Evaluation-Data-Numbers-Issuer-Chain"},
}

// ChainHeader is the name of the header in which an answer of that kind carries its issuer chain, "" when there is none.
func (k Kind) ChainHeader() string {
	if h := chainHeaders[k]; len(h) > 0 {
		return h[0]
	}
	return ""
}

// answer makes a response of what the service sent: lists in DER whatever their form, the chain as PEM.
func (d Document) answer(h http.Header, body []byte) (evidence.Response, error) {
	r := evidence.Response{Body: body}
	if d.Kind == PCKCRL || d.Kind == RootCRL {
		c, err := dcap.ParseCRL(body) // DER, PEM, or the hex text of a PCCS
		if err != nil {
			return r, err
		}
		r.Body = c.Raw
	}
	for _, name := range chainHeaders[d.Kind] {
		if v := h.Get(name); v != "" {
			chain, err := url.PathUnescape(v) // not QueryUnescape: "+" is a character of base64
			if err != nil {
				return r, fault.New(fault.Malformed, "header %s is not escaped as it should be", name)
			}
			r.IssuerChain = []byte(chain)
			break
		}
	}
	return r, d.Check(r)
}

// Check refuses an answer that is plainly not the document that was asked for. It checks no signature: that is for
// drivers, and for whoever imports collateral. Its errors are of class malformed.
func (d Document) Check(r evidence.Response) error {
	wrong := func(why string) error {
		return fault.New(fault.Malformed, "%s: the answer is %s", d.Path(), why)
	}
	switch d.Kind {
	case TCBInfo:
		t, err := dcap.ParseTCBInfo(r.Body)
		if err != nil {
			return err
		}
		if t.FMSPC != d.FMSPC || (t.TEE == dcap.TDX) != d.TDX {
			return wrong("TCBInfo of " + t.TEE.String() + " and FMSPC " + hex.EncodeToString(t.FMSPC[:]))
		}
	case Identity:
		id, err := dcap.ParseIdentity(r.Body)
		if err != nil {
			return err
		}
		if id.ID != d.identityID() {
			return wrong("the identity " + id.ID)
		}
	case PCKCRL, RootCRL:
		c, err := dcap.ParseCRL(r.Body)
		if err != nil {
			return err
		}
		want := map[string]string{"platform": dcap.NamePlatformCA, "processor": dcap.NameProcessorCA, "": dcap.NameRoot}[d.CA]
		if c.IssuerName() != want {
			return wrong("the CRL of " + c.IssuerName())
		}
	case PCKCert:
		certs, err := dcap.ParseCerts(r.Body)
		if err != nil {
			return err
		}
		if certs[0].Subject.CommonName != dcap.NamePCK {
			return wrong("a certificate of " + certs[0].Subject.CommonName)
		}
	case EvaluationNumbers:
		if err := jsonx.Check(r.Body); err != nil {
			return err
		}
	}
	if len(r.IssuerChain) > 0 {
		if _, err := dcap.ParseCerts(r.IssuerChain); err != nil {
			return fault.Wrap(err, "issuer chain")
		}
	}
	return nil
}
