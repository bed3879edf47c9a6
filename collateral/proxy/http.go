package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
)

// rendered is an answer as the vendor's own service would send it.
type rendered struct {
	header http.Header // immutable
	etag   string
	body   []byte
	text   []byte // the form for requests without encoding=der; nil when there is one form only
	textID string
}

// render prepares header and bodies once per document.
func render(req evidence.Request, r evidence.Response) rendered {
	sum := sha256.Sum256(r.Body)
	out := rendered{header: http.Header{}, body: r.Body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
	typ := "application/octet-stream"
	switch req.Service {
	case kds.Service:
		if strings.HasSuffix(req.Path, "/cert_chain") {
			typ = "application/x-pem-file"
		} else {
			typ = "application/pkix-cert"
		}
		if strings.HasSuffix(req.Path, "/crl") {
			typ = "application/pkix-crl"
		}
	case pcs.Service:
		d, err := pcs.ParsePath(req.Path)
		if err != nil {
			break
		}
		switch d.Kind {
		case pcs.PCKCRL:
			typ = "application/pkix-crl"
			// PCS sends PEM unless DER is asked for (evidence-intel.md section 22).
			out.text = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: r.Body})
		case pcs.RootCRL:
			typ = "application/pkix-crl"
			// A PCCS sends hex text under this path, typed as above (section 23).
			out.text = []byte(hex.EncodeToString(r.Body))
		case pcs.PCKCert:
			typ = "application/x-pem-file"
		default:
			typ = "application/json"
		}
		if name := d.Kind.ChainHeader(); name != "" && len(r.IssuerChain) > 0 {
			// Blanks are %20 there, never "+".
			out.header.Set(name, strings.ReplaceAll(url.QueryEscape(string(r.IssuerChain)), "+", "%20"))
		}
	}
	if out.text != nil {
		sum := sha256.Sum256(out.text)
		out.textID = `"` + hex.EncodeToString(sum[:16]) + `"`
	}
	out.header.Set("Content-Type", typ)
	return out
}

// rootCRLPath is where PCS itself keeps the list of the root, on another host.
const rootCRLPath = "/IntelSGXRootCA.der"

// parse finds out which document a request asks for, and whether as text.
func parse(r *http.Request) (req evidence.Request, asText bool, err error) {
	path := r.URL.Path
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	switch {
	case path == rootCRLPath:
		return evidence.Request{Service: pcs.Service, Path: "/sgx/certification/v4/rootcacrl"}, false, nil
	case strings.HasPrefix(path, "/sgx/"), strings.HasPrefix(path, "/tdx/"):
		d, err := pcs.ParsePath(path)
		if err != nil {
			return req, false, err
		}
		text := d.Kind == pcs.RootCRL || d.Kind == pcs.PCKCRL && !strings.Contains(r.URL.RawQuery, "encoding=der")
		return evidence.Request{Service: pcs.Service, Path: d.Path()}, text, nil
	case strings.HasPrefix(path, "/vcek/"), strings.HasPrefix(path, "/vlek/"):
		d, err := kds.ParsePath(path)
		if err != nil {
			return req, false, err
		}
		return evidence.Request{Service: kds.Service, Path: d.Path()}, false, nil
	}
	return req, false, fault.New(fault.Malformed, "this proxy has the paths of AMD's KDS (/vcek, /vlek) and of Intel's PCS version 4 (/sgx, /tdx)")
}

// ServeHTTP implements http.Handler: GET and HEAD of the paths of both services.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	req, asText, err := parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	a, err := p.lookup(r.Context(), req)
	if err != nil {
		refuse(w, err)
		return
	}
	body, etag := a.face.body, a.face.etag
	if asText && a.face.text != nil {
		body, etag = a.face.text, a.face.textID
	}
	h := w.Header()
	for k, v := range a.face.header {
		h[k] = v
	}
	now := p.clock()
	h["Etag"] = []string{etag}
	h["Cache-Control"] = []string{"public, max-age=" + strconv.FormatInt(max(0, int64(a.fresh.Sub(now).Seconds())), 10)}
	h["Age"] = []string{strconv.FormatInt(max(0, int64(now.Sub(a.had).Seconds())), 10)}
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // a client that has gone away is its own affair
}

// refuse answers as a vendor's service does that cannot help now.
func refuse(w http.ResponseWriter, err error) {
	status := fault.ClassOf(err).Row().HTTPStatus
	if after, ok := httpx.RetryAfter(err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(after.Seconds())))))
	}
	http.Error(w, err.Error(), status)
}
