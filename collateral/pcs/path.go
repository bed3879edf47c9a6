package pcs

import (
	"encoding/hex"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// Document is what a request asks for.
type Document struct {
	Kind  Kind
	TDX   bool    // below /tdx/, else below /sgx/
	FMSPC [6]byte // TCBInfo
	CA    string  // PCKCRL: "processor" or "platform"
	query [][2]string
}

// Kind is a kind of document.
type Kind uint8

// The kinds of documents (evidence-intel.md sections 22 and 23).
const (
	TCBInfo           Kind = iota // /{sgx,tdx}/certification/v4/tcb?fmspc=
	Identity                      // /{sgx,tdx}/certification/v4/qe/identity
	PCKCRL                        // /sgx/certification/v4/pckcrl?ca=
	RootCRL                       // /sgx/certification/v4/rootcacrl
	PCKCert                       // /sgx/certification/v4/pckcert?encrypted_ppid=&cpusvn=&pcesvn=&pceid=
	EvaluationNumbers             // /{sgx,tdx}/certification/v4/tcbevaluationdatanumbers
)

const maxPath = 2048

// parameters lists, per kind, the names that a query may have, with the length of hexadecimal values in bytes, 0 for
// others.
var parameters = map[Kind]map[string]int{
	TCBInfo:           {"fmspc": 6, "update": 0, "tcbEvaluationDataNumber": 0},
	Identity:          {"update": 0, "tcbEvaluationDataNumber": 0},
	PCKCRL:            {"ca": 0, "encoding": 0},
	RootCRL:           {},
	PCKCert:           {"encrypted_ppid": -1, "cpusvn": 16, "pcesvn": 2, "pceid": 2},
	EvaluationNumbers: {},
}

// ParsePath reads a path with its query and refuses what the service does not have, so that nobody can make a client
// fetch something else. Its errors are of class malformed.
func ParsePath(path string) (Document, error) {
	bad := func(why string) (Document, error) {
		return Document{}, fault.New(fault.Malformed, "PCS has no document %.80q: %s", path, why)
	}
	if len(path) > maxPath {
		return bad("the path is too long")
	}
	p, rawQuery, _ := strings.Cut(path, "?")
	var d Document
	rest, sgx := strings.CutPrefix(p, "/sgx/certification/v4/")
	if !sgx {
		if rest, d.TDX = strings.CutPrefix(p, "/tdx/certification/v4/"); !d.TDX {
			return bad("it lies below neither /sgx/certification/v4/ nor /tdx/certification/v4/")
		}
	}
	kinds := map[string]Kind{"tcb": TCBInfo, "qe/identity": Identity, "pckcrl": PCKCRL, "rootcacrl": RootCRL, "pckcert": PCKCert, "tcbevaluationdatanumbers": EvaluationNumbers}
	var known bool
	if d.Kind, known = kinds[rest]; !known || d.TDX && (d.Kind == PCKCRL || d.Kind == RootCRL || d.Kind == PCKCert) {
		return bad("there is no such path")
	}
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return bad("its query does not parse")
	}
	for name, values := range q {
		size, ok := parameters[d.Kind][name]
		if !ok || len(values) != 1 {
			return bad("parameter " + strconv.Quote(name))
		}
		v := values[0]
		if size != 0 {
			b, err := hex.DecodeString(v)
			if err != nil || size > 0 && len(b) != size || size < 0 && len(b) != 256 && len(b) != 384 {
				return bad("parameter " + name + " is not hex of the right length")
			}
			v = strings.ToLower(v)
			if name == "fmspc" {
				d.FMSPC = [6]byte(b)
			}
		}
		if !plainValue(name, v) {
			return bad("parameter " + name)
		}
		if name == "ca" {
			d.CA = v
		}
		d.query = append(d.query, [2]string{name, v})
	}
	sort.Slice(d.query, func(i, j int) bool { return d.query[i][0] < d.query[j][0] })
	switch {
	case d.Kind == TCBInfo && !q.Has("fmspc"), d.Kind == PCKCRL && !q.Has("ca"), d.Kind == PCKCert && len(d.query) != 4:
		return bad("a parameter is missing")
	case q.Has("update") && q.Has("tcbEvaluationDataNumber"):
		return bad("update and tcbEvaluationDataNumber exclude each other")
	}
	return d, nil
}

func plainValue(name, v string) bool {
	switch name {
	case "update":
		return v == "standard" || v == "early"
	case "tcbEvaluationDataNumber":
		_, err := strconv.ParseUint(v, 10, 31)
		return err == nil
	case "ca":
		return v == "platform" || v == "processor"
	case "encoding":
		return v == "der"
	}
	return true
}

// Path returns the one spelling that stands for all requests of this document: parameters by name, hex in lower case.
// Lists are always asked for in DER.
func (d Document) Path() string {
	p := "/sgx/certification/v4/"
	if d.TDX {
		p = "/tdx/certification/v4/"
	}
	p += [...]string{"tcb", "qe/identity", "pckcrl", "rootcacrl", "pckcert", "tcbevaluationdatanumbers"}[d.Kind]
	sep := "?"
	for _, kv := range d.query {
		if kv[0] == "encoding" {
			continue
		}
		p += sep + kv[0] + "=" + kv[1]
		sep = "&"
	}
	if d.Kind == PCKCRL {
		p += sep + "encoding=der"
	}
	return p
}

// identityID is the id of the identity that the path names.
func (d Document) identityID() string {
	if d.TDX {
		return "TD_QE"
	}
	return "QE"
}
