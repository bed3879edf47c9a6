package simulator

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// KDSFault is a way in which a KDS can fail its clients.
type KDSFault uint8

// The ways.
const (
	KDSWorks     KDSFault = iota
	KDSTooMany            // 429 with Retry-After, if set
	KDSHangs              // no answer until the client goes away
	KDSOversize           // an answer without end
	KDSGarbage            // 200, and bytes that are nothing
	KDSWrongChip          // the certificate of another chip
	KDSWrongTCB           // the certificate of another TCB
	KDSRedirects          // to another host
	KDSBroken             // 500
)

// KDS is a Key Distribution Service for the chips of an [AMD]: an http.Handler with AMD's paths, headers and answers.
type KDS struct {
	amd *AMD

	mu         sync.Mutex
	faults     []KDSFault
	always     KDSFault
	retryAfter string
	requests   []string
}

// KDS returns a service that works.
func (a *AMD) KDS() *KDS { return &KDS{amd: a} }

// Fail lets the next requests fail in these ways, one each.
func (k *KDS) Fail(f ...KDSFault) { k.mu.Lock(); k.faults = f; k.mu.Unlock() }

// FailAlways lets all requests fail in this way, until it is said otherwise.
func (k *KDS) FailAlways(f KDSFault) { k.mu.Lock(); k.always = f; k.mu.Unlock() }

// RetryAfter sets the header that comes with 429; "" leaves it out.
func (k *KDS) RetryAfter(v string) { k.mu.Lock(); k.retryAfter = v; k.mu.Unlock() }

// Requests returns the paths and queries that were asked for.
func (k *KDS) Requests() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.requests...)
}

// ServeHTTP implements http.Handler.
func (k *KDS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.requests = append(k.requests, r.URL.RequestURI())
	f := k.always
	if len(k.faults) > 0 {
		f, k.faults = k.faults[0], k.faults[1:]
	}
	retryAfter := k.retryAfter
	k.mu.Unlock()

	h := w.Header()
	switch f {
	case KDSTooMany:
		if retryAfter != "" {
			h.Set("Retry-After", retryAfter)
		}
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	case KDSHangs:
		<-r.Context().Done()
		return
	case KDSOversize:
		for chunk := make([]byte, 32<<10); ; {
			if _, err := w.Write(chunk); err != nil || r.Context().Err() != nil {
				return
			}
		}
	case KDSRedirects:
		http.Redirect(w, r, "http://elsewhere.simulator.invalid"+r.URL.RequestURI(), http.StatusFound)
		return
	case KDSBroken:
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	body, name, status := k.document(r.URL, f)
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Disposition", "attachment; filename="+name)
	_, _ = w.Write(body) // a client that went away is its own affair
}

// document answers a request: body, file name and status.
func (k *KDS) document(u *url.URL, f KDSFault) ([]byte, string, int) {
	seg := strings.Split(u.Path, "/")
	if len(seg) != 5 || seg[0] != "" || seg[2] != "v1" || k.amd.lines[Product(seg[3])] == nil {
		return nil, "", http.StatusNotFound
	}
	if f == KDSGarbage {
		return []byte("these are not the bytes you are looking for"), "vcek.crt", http.StatusOK
	}
	p := Product(seg[3])
	issuer := k.amd.ASK(p)
	if seg[1] == "vlek" {
		issuer = k.amd.ASVK(p)
	} else if seg[1] != "vcek" {
		issuer = nil
	}
	switch {
	case issuer == nil:
		return nil, "", http.StatusNotFound
	case seg[4] == "cert_chain":
		var b bytes.Buffer
		for _, der := range [][]byte{issuer.Raw, k.amd.ARK(p).Raw} {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
		return b.Bytes(), string(p) + ".pem", http.StatusOK
	case seg[4] == "crl":
		crl, err := k.amd.CRL(p, CRLOptions{})
		if err != nil {
			return nil, "", http.StatusInternalServerError
		}
		return crl, "crl", http.StatusOK
	case seg[1] == "vlek":
		return nil, "", http.StatusUnauthorized // only providers with a secret get one
	}
	return k.vcek(p, seg[4], u.Query(), f)
}

// vcek mints a certificate for a chip that exists. Like AMD's service it takes the short id of a Turin only.
func (k *KDS) vcek(p Product, id string, q url.Values, f KDSFault) ([]byte, string, int) {
	l, _ := p.line()
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != l.hwidSize {
		return nil, "", http.StatusNotFound
	}
	key := chipKey{product: p}
	copy(key.id[:], raw)
	k.amd.mu.Lock()
	c := k.amd.chips[key]
	k.amd.mu.Unlock()
	if c == nil {
		return nil, "", http.StatusNotFound
	}
	var t TCB
	want := map[string]*uint8{"blSPL": &t.BootLoader, "teeSPL": &t.TEE, "snpSPL": &t.SNP, "ucodeSPL": &t.Microcode}
	if l.turinTCB {
		want["fmcSPL"] = &t.FMC
	}
	for name, into := range want {
		n, err := strconv.ParseUint(q.Get(name), 10, 8)
		if err != nil {
			return nil, "", http.StatusBadRequest
		}
		*into = uint8(n)
	}
	switch f {
	case KDSWrongChip:
		if c, err = k.amd.NewChip(p); err != nil {
			return nil, "", http.StatusInternalServerError
		}
	case KDSWrongTCB:
		t.Microcode++
	}
	der, err := c.VCEKWith(t, VEKOptions{})
	if err != nil {
		return nil, "", http.StatusInternalServerError
	}
	return der, "vcek.crt", http.StatusOK
}
