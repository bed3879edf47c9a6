package secex

import (
	"bytes"
	"context"
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
func (d *Driver) material(ctx context.Context, c evidence.Collateral, anchors *evidence.Anchors, at time.Time) (*material, error) {
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
	fetched, err := verifyOnline(ctx, c, &cfg, &m.hosts)
	if err != nil {
		return nil, err
	}
	m.from, m.until = m.hosts[0].NotBefore, m.hosts[0].NotAfter
	for _, k := range m.hosts {
		m.from, m.until = later(m.from, k.NotBefore), earlier(m.until, k.NotAfter)
	}
	if fetched { // a newer list may be published any time
		m.from, m.until = later(m.from, at.Add(-fetchedFor)), earlier(m.until, at.Add(fetchedFor))
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

// verifyOnline verifies host key documents, with lists from their distribution points where none was handed over.
func verifyOnline(ctx context.Context, c evidence.Collateral, cfg *HostKeyConfig, into *[]HostKey) (fetched bool, err error) {
	fetched, why := completeLists(ctx, c, cfg)
	if *into, err = VerifyHostKeys(*cfg); err != nil && why != nil && fault.Is(err, fault.Unavailable) {
		err = fault.New(fault.Unavailable, "%w; asking for one: %w", err, why)
	}
	return fetched, err
}

// HostKeys verifies the host key documents among what c has (DER or PEM), with the chain and the lists there. Lists that
// are not are asked of the distribution points; a c that opens no connection answers unavailable.
func HostKeys(ctx context.Context, c evidence.Collateral, anchors *evidence.Anchors, at time.Time) ([]HostKey, error) {
	cfg, _, err := sortBlobs(c.Given(), anchors, at)
	if err != nil {
		return nil, err
	}
	var out []HostKey
	_, err = verifyOnline(ctx, c, &cfg, &out)
	return out, err
}
