package secex

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// material is what the operator handed over, sorted and verified: host keys and the headers of images. It is immutable
// and holds within [from, until].
type material struct {
	hosts       []HostKey
	headers     []*Header
	from, until time.Time
}

const maxHeaders = 256

// material verifies the collateral, or finds it verified: the very bytes under the very anchors, with the clock inside
// everything that the verification rested on.
func (d *Driver) material(c evidence.Collateral, anchors *evidence.Anchors, at time.Time) (*material, error) {
	var blobs [][]byte
	if c != nil {
		blobs = c.Given()
	}
	h := sha256.New()
	id := anchors.ID()
	h.Write(id[:])
	for _, b := range blobs {
		s := sha256.Sum256(b)
		h.Write(s[:])
	}
	key := [32]byte(h.Sum(nil))
	if m, ok := d.known.Get(key); ok && !at.Before(m.from) && !at.After(m.until) {
		return m, nil
	}
	cfg, headers, err := sortBlobs(blobs, anchors, at)
	if err != nil {
		return nil, err
	}
	m := &material{headers: headers}
	if m.hosts, err = VerifyHostKeys(cfg); err != nil {
		return nil, err
	}
	m.from, m.until = m.hosts[0].NotBefore, m.hosts[0].NotAfter
	for _, k := range m.hosts {
		m.from, m.until = later(m.from, k.NotBefore), earlier(m.until, k.NotAfter)
	}
	d.known.Put(key, m, int64(4096*(len(m.hosts)+len(m.headers)+1)))
	return m, nil
}

// sortBlobs sorts blobs by what they are: SE headers and images, certificates and lists in DER or PEM. What is none of
// these belongs to other drivers and is passed over.
func sortBlobs(blobs [][]byte, anchors *evidence.Anchors, at time.Time) (HostKeyConfig, []*Header, error) {
	cfg := HostKeyConfig{Time: at, Roots: anchors.Roots()}
	var headers []*Header
	for _, blob := range blobs {
		h, _, err := FindHeader(blob)
		switch {
		case err != nil:
			addCertificates(&cfg, blob)
		case len(headers) == maxHeaders:
			return cfg, nil, fault.New(fault.Malformed, "more than %d reference headers", maxHeaders)
		case !slices.ContainsFunc(headers, func(x *Header) bool { return x.Tags == h.Tags }):
			headers = append(headers, h)
		}
	}
	return cfg, headers, nil
}

func addCertificates(cfg *HostKeyConfig, blob []byte) {
	ders := [][]byte{blob}
	if bytes.Contains(blob, []byte("-----BEGIN ")) {
		ders = nil
		for blk, rest := pem.Decode(blob); blk != nil; blk, rest = pem.Decode(rest) {
			ders = append(ders, blk.Bytes)
		}
	}
	for _, der := range ders {
		if c, err := x509.ParseCertificate(der); err == nil {
			switch k := c.PublicKey.(type) {
			case *ecdsa.PublicKey:
				if k.Curve == elliptic.P521() && !c.IsCA { // other vendors' leaves have other curves
					cfg.Documents = append(cfg.Documents, c)
				}
			default:
				cfg.Chain = append(cfg.Chain, c)
			}
		} else if l, err := x509.ParseRevocationList(der); err == nil {
			cfg.Lists = append(cfg.Lists, l)
		}
	}
}

// HostKeys verifies the host key documents among blobs (DER or PEM), with the chain and the lists among them.
func HostKeys(blobs [][]byte, anchors *evidence.Anchors, at time.Time) ([]HostKey, error) {
	cfg, _, err := sortBlobs(blobs, anchors, at)
	if err != nil {
		return nil, err
	}
	return VerifyHostKeys(cfg)
}
