package kds

import (
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// Document is a document of the KDS, as its path names it (AMD 57230; evidence-snp.md section 12).
type Document struct {
	Key     string // "vcek" or "vlek"
	Product string // "Milan", "Genoa", …
	Kind    Kind
	HWID    []byte // of a VCEK: 64 bytes, or 8 from Turin on
	SPL     SPL    // of a VCEK
}

// Kind is the kind of a document.
type Kind uint8

// The kinds of documents.
const (
	CertChain Kind = iota + 1 // PEM: ASK or ASVK, then ARK
	CRL                       // DER
	VCEK                      // DER certificate
)

// SPL holds the patch levels that a VCEK is asked for by. FMC is nil on products without one.
type SPL struct {
	BootLoader, TEE, SNP, Microcode uint8
	FMC                             *uint8
}

// Limits of a path.
const (
	maxPath    = 512
	maxProduct = 16
)

// ParsePath reads a path of the KDS. The order of parameters and leading zeros of numbers are free (Trustee's clients
// write two digits). Anything else that the KDS does not define is class malformed, so that nothing strange is ever
// asked of it.
func ParsePath(path string) (Document, error) {
	bad := func(why string) (Document, error) {
		return Document{}, fault.New(fault.Malformed, "not a request that the KDS knows: %s", why)
	}
	if len(path) > maxPath {
		return bad("longer than 512 characters")
	}
	path, query, hasQuery := strings.Cut(path, "?")
	seg := strings.Split(path, "/")
	if len(seg) != 5 || seg[0] != "" || seg[2] != "v1" || seg[1] != "vcek" && seg[1] != "vlek" || !isProduct(seg[3]) {
		return bad("want /vcek/v1/PRODUCT/… or /vlek/v1/PRODUCT/…")
	}
	d := Document{Key: seg[1], Product: seg[3]}
	switch seg[4] {
	case "cert_chain":
		d.Kind = CertChain
	case "crl":
		d.Kind = CRL
	}
	if d.Kind != 0 {
		if hasQuery {
			return bad(seg[4] + " has no parameters")
		}
		return d, nil
	}
	d.Kind = VCEK
	id, err := hex.DecodeString(seg[4])
	if d.Key != "vcek" || err != nil || len(id) != 64 && len(id) != 8 {
		return bad("want a chip id of 128 or 16 hex digits, cert_chain or crl")
	}
	d.HWID = id
	if d.SPL, err = parseSPL(query); err != nil {
		return Document{}, err
	}
	return d, nil
}

func isProduct(s string) bool {
	for _, c := range s {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxProduct
}

func parseSPL(query string) (SPL, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return SPL{}, fault.New(fault.Malformed, "parameters of the KDS: %w", err)
	}
	var s SPL
	read := func(name string, into *uint8) {
		v := q[name]
		if err != nil {
			return
		}
		var n uint64
		if len(v) == 1 && len(v[0]) <= 3 {
			n, err = strconv.ParseUint(v[0], 10, 8)
		}
		if len(v) != 1 || len(v[0]) > 3 || err != nil {
			err = fault.New(fault.Malformed, "the KDS wants %s once, 0 to 255", name)
			return
		}
		*into = uint8(n)
		delete(q, name)
	}
	read("blSPL", &s.BootLoader)
	read("teeSPL", &s.TEE)
	read("snpSPL", &s.SNP)
	read("ucodeSPL", &s.Microcode)
	if q.Has("fmcSPL") {
		s.FMC = new(uint8)
		read("fmcSPL", s.FMC)
	}
	if err == nil && len(q) > 0 {
		err = fault.New(fault.Malformed, "the KDS knows none but blSPL, teeSPL, snpSPL, ucodeSPL and fmcSPL")
	}
	return s, err
}

// Path renders d in one spelling, which serves as its name in caches and bundles.
func (d Document) Path() string {
	p := "/" + d.Key + "/v1/" + d.Product + "/"
	switch d.Kind {
	case CertChain:
		return p + "cert_chain"
	case CRL:
		return p + "crl"
	}
	p += hex.EncodeToString(d.HWID) + "?"
	if d.SPL.FMC != nil {
		p += "fmcSPL=" + strconv.Itoa(int(*d.SPL.FMC)) + "&"
	}
	for _, v := range []struct {
		name string
		n    uint8
	}{{"blSPL=", d.SPL.BootLoader}, {"&teeSPL=", d.SPL.TEE}, {"&snpSPL=", d.SPL.SNP}, {"&ucodeSPL=", d.SPL.Microcode}} {
		p += v.name + strconv.Itoa(int(v.n))
	}
	return p
}
