package intel

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"net/url"

	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Limits on collateral that is handed over.
const (
	maxBlob      = 4 << 20 // bytes of one blob
	maxPerKind   = 256     // documents, lists or certificates of one library
	maxPEMBlocks = 16
)

// library is a set of collateral, decoded and sorted by kind. Nothing in it is authentic.
type library struct {
	blobs [][]byte // private copies: what the library was made from
	tcb   []*dcap.TCBInfo
	ids   []*dcap.Identity
	crls  []*dcap.CRL
	certs []*x509.Certificate
	// Documents that call themselves TCBInfo or identity and cannot be read; reported when nothing else fits.
	tcbErr, idErr, crlErr error
}

// readLibrary decodes blobs in any of the forms that Intel's tools have: signed JSON as PCS serves it, CRLs in DER, PEM
// and hex, certificates in DER, PEM and URL-escaped PEM, the bundle of the PCS client tool, and the collateral objects
// of dcap-qvl and QPL. What is none of these belongs to another vendor and is passed over.
func readLibrary(blobs [][]byte) *library {
	l := &library{}
	for _, b := range blobs {
		b = bytes.Clone(b)
		l.blobs = append(l.blobs, b)
		l.add(b, 0)
	}
	return l
}

// same reports whether l was made from exactly these blobs.
func (l *library) same(blobs [][]byte) bool {
	if len(l.blobs) != len(blobs) {
		return false
	}
	for i := range blobs {
		if !bytes.Equal(l.blobs[i], blobs[i]) {
			return false
		}
	}
	return true
}

func (l *library) size() int {
	n := 8 << 10
	for _, b := range l.blobs {
		n += 4 * len(b)
	}
	return n
}

func (l *library) add(b []byte, depth int) {
	t := bytes.TrimRight(bytes.TrimSpace(b), "\x00")
	if len(t) == 0 || len(t) > maxBlob || depth > 2 {
		return
	}
	switch {
	case t[0] == '{':
		l.addJSON(t)
	case bytes.HasPrefix(t, []byte("-----BEGIN%20")):
		if s, err := url.PathUnescape(string(t)); err == nil {
			l.add([]byte(s), depth+1)
		}
	case bytes.HasPrefix(t, []byte("-----BEGIN")):
		l.addPEM(t)
	case t[0] == 0x30:
		l.addDER(b)
	case t[0] == '3' && isHex(t):
		der := make([]byte, len(t)/2)
		if _, err := hex.Decode(der, t); err == nil {
			l.addDER(der)
		}
	}
}

func isHex(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return len(b)%2 == 0
}

func (l *library) addPEM(t []byte) {
	blocks, err := dcap.ScanPEM(t, maxPEMBlocks)
	if err != nil {
		return
	}
	for _, blk := range blocks {
		l.addDER(blk.DER)
	}
}

func (l *library) addDER(der []byte) {
	if c, err := x509.ParseCertificate(der); err == nil {
		l.addCert(c)
		return
	}
	c, err := dcap.ParseCRL(der)
	switch {
	case err == nil && len(l.crls) < maxPerKind:
		l.crls = append(l.crls, c)
	case err != nil && l.crlErr == nil:
		l.crlErr = err
	}
}

func (l *library) addCert(c *x509.Certificate) {
	for _, have := range l.certs {
		if have.Equal(c) {
			return
		}
	}
	if len(l.certs) < maxPerKind {
		l.certs = append(l.certs, c)
	}
}

func (l *library) addJSON(t []byte) {
	members, err := jsonx.Object(t)
	if err != nil {
		return
	}
	has := map[string][]byte{}
	for _, m := range members {
		has[m.Name] = m.Raw
	}
	switch {
	case has["tcbInfo"] != nil:
		l.addTCBInfo(t)
	case has["enclaveIdentity"] != nil:
		l.addIdentity(t)
	case has["collaterals"] != nil:
		l.addClientTool(has["collaterals"])
	case has["tcb_info"] != nil || has["qe_identity"] != nil:
		l.addFlat(has)
	}
}

func (l *library) addTCBInfo(doc []byte) {
	d, err := dcap.ParseTCBInfo(doc)
	switch {
	case err == nil && len(l.tcb) < maxPerKind:
		l.tcb = append(l.tcb, d)
	case err != nil && l.tcbErr == nil:
		l.tcbErr = fault.Wrap(err, "collateral")
	}
}

func (l *library) addIdentity(doc []byte) {
	d, err := dcap.ParseIdentity(doc)
	switch {
	case err == nil && len(l.ids) < maxPerKind:
		l.ids = append(l.ids, d)
	case err != nil && l.idErr == nil:
		l.idErr = fault.Wrap(err, "collateral")
	}
}

// addClientTool reads the "collaterals" of the bundle that Intel's PCS client tool writes (kbs-evidence.md section 5).
// Every string or object in it that is a document, a list or a chain is taken; its place decides nothing.
func (l *library) addClientTool(raw []byte) { l.walk(raw, 0) }

func (l *library) walk(raw []byte, depth int) {
	if len(raw) == 0 || depth > 6 {
		return
	}
	switch raw[0] {
	case '{':
		members, err := jsonx.Object(raw)
		if err != nil {
			return
		}
		for _, m := range members {
			if m.Name == "tcbInfo" || m.Name == "enclaveIdentity" {
				l.addJSON(raw)
				return
			}
		}
		for _, m := range members {
			l.walk(m.Raw, depth+1)
		}
	case '[':
		elems, err := jsonx.Array(raw)
		if err != nil {
			return
		}
		for _, e := range elems {
			l.walk(e, depth+1)
		}
	case '"':
		if s, err := jsonx.String(raw); err == nil && len(s) > 16 {
			l.add([]byte(s), 1)
		}
	}
}

// addFlat reads the collateral object of dcap-qvl and of sgx_ql_qve_collateral_t as JSON: documents as text, whole or
// with their signature beside them, lists in hex or PEM, chains in PEM.
func (l *library) addFlat(has map[string][]byte) {
	text := func(name string) string {
		s, err := jsonx.String(has[name])
		if err != nil {
			return ""
		}
		return s
	}
	for _, d := range [...]struct{ name, member string }{{"tcb_info", "tcbInfo"}, {"qe_identity", "enclaveIdentity"}} {
		doc := text(d.name)
		if doc == "" {
			doc = string(has[d.name])
		}
		if sig := has[d.name+"_signature"]; sig != nil && !bytes.Contains([]byte(doc), []byte(`"signature"`)) {
			doc = `{"` + d.member + `":` + doc + `,"signature":` + string(sig) + `}`
		}
		l.add([]byte(doc), 1)
	}
	for _, name := range [...]string{"tcb_info_issuer_chain", "qe_identity_issuer_chain", "pck_crl_issuer_chain", "root_ca_crl", "pck_crl", "pck_certificate_chain"} {
		l.add([]byte(text(name)), 1)
	}
}
