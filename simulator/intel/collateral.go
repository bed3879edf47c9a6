package intel

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Collateral is everything that a Verifier needs for one machine and TEE. It implements evidence.Collateral: Given hands
// everything over, unless ByRequest is set; then it has to be asked for.
type Collateral struct {
	TCBInfo, Identity, Chain []byte
	PCKCRL, RootCRL          []byte
	CRLChain                 []byte // PCK CA and root
	tdx                      bool
	ca                       string
	ByRequest                bool
	PCKCert                  []byte // answer to pckcert requests; nil: 404
	fmspc                    string
	requests                 atomic.Int64
}

// CollateralOptions change single documents.
type CollateralOptions struct {
	TCBInfo  func(*TCBInfo)
	Identity func(*Identity)
	PCKCRL   CRLOptions
	RootCRL  CRLOptions
}

// Collateral makes documents under which m is up to date.
func (m *Machine) Collateral(tdx bool, o CollateralOptions) (*Collateral, error) {
	w := m.World
	t, d := m.CurrentTCBInfo(tdx), Identity{TDX: tdx}
	if o.TCBInfo != nil {
		o.TCBInfo(&t)
	}
	if o.Identity != nil {
		o.Identity(&d)
	}
	c := &Collateral{Chain: w.SigningChain(), CRLChain: PEM(m.CA.Cert, w.Root.Cert), tdx: tdx, ca: "platform", fmspc: strings.ToLower(upperHex(m.Config.FMSPC[:]))}
	if m.Config.ProcessorCA {
		c.ca = "processor"
	}
	var err error
	if c.TCBInfo, err = w.TCBInfo(t); err != nil {
		return nil, err
	}
	if c.Identity, err = w.Identity(d); err != nil {
		return nil, err
	}
	if c.PCKCRL, err = w.CRL(m.CA, o.PCKCRL); err != nil {
		return nil, err
	}
	if c.RootCRL, err = w.CRL(w.Root, o.RootCRL); err != nil {
		return nil, err
	}
	c.PCKCert = PEM(m.PCK.Cert)
	return c, nil
}

// Given implements evidence.Collateral.
func (c *Collateral) Given() [][]byte {
	if c.ByRequest {
		return nil
	}
	return [][]byte{c.TCBInfo, c.Identity, c.Chain, c.PCKCRL, c.RootCRL}
}

// Requests counts how often something was asked for.
func (c *Collateral) Requests() int64 { return c.requests.Load() }

// Get implements evidence.Collateral.
func (c *Collateral) Get(_ context.Context, r evidence.Request) (evidence.Response, error) {
	c.requests.Add(1)
	body, chain, ok := c.answer(r.Path)
	if !ok || !c.ByRequest {
		return evidence.Response{}, fault.New(fault.Unavailable, "the simulated PCS has no %s", r.Path)
	}
	return evidence.Response{Body: body, IssuerChain: chain}, nil
}

// answer finds the document for a path and query of PCS v4 (evidence-intel.md section 22).
func (c *Collateral) answer(path string) (body, chain []byte, ok bool) {
	u, err := url.Parse(path)
	if err != nil {
		return nil, nil, false
	}
	tee := "sgx"
	if c.tdx {
		tee = "tdx"
	}
	q := u.Query()
	switch {
	case u.Path == "/"+tee+"/certification/v4/tcb" && strings.EqualFold(q.Get("fmspc"), c.fmspc):
		return c.TCBInfo, c.Chain, true
	case u.Path == "/"+tee+"/certification/v4/qe/identity":
		return c.Identity, c.Chain, true
	case u.Path == "/sgx/certification/v4/pckcrl" && q.Get("ca") == c.ca:
		return c.PCKCRL, c.CRLChain, true
	case u.Path == "/sgx/certification/v4/rootcacrl", u.Path == "/IntelSGXRootCA.der":
		return c.RootCRL, nil, true
	case u.Path == "/sgx/certification/v4/pckcert" && c.PCKCert != nil && q.Get("encrypted_ppid") != "":
		return c.PCKCert, c.CRLChain, true
	}
	return nil, nil, false
}

// ServeHTTP is a fake PCS for the documents of c, with the headers that the real one sends.
func (c *Collateral) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	body, chain, ok := c.answer(r.URL.RequestURI())
	if !ok {
		w.Header().Set("Request-ID", "00000000000000000000000000000000")
		http.Error(w, "", http.StatusNotFound)
		return
	}
	name, typ := "TCB-Info-Issuer-Chain", "application/json"
	switch {
	case strings.HasSuffix(r.URL.Path, "/qe/identity"):
		name = "SGX-Enclave-Identity-Issuer-Chain"
	case strings.HasSuffix(r.URL.Path, "/pckcrl"):
		name, typ = "SGX-PCK-CRL-Issuer-Chain", "application/pkix-crl"
	case strings.HasSuffix(r.URL.Path, "/pckcert"):
		name, typ = "SGX-PCK-Certificate-Issuer-Chain", "application/x-pem-file"
	case chain == nil:
		typ = "application/pkix-crl"
	}
	if chain != nil {
		w.Header()[http.CanonicalHeaderKey(name)] = []string{strings.ReplaceAll(url.QueryEscape(string(chain)), "+", "%20")}
	}
	w.Header().Set("Content-Type", typ)
	_, _ = w.Write(body)
}
