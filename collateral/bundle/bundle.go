// Package bundle moves collateral into a site without a network: one signed file with documents of the vendors' services,
// each as it was received, under the request that it answers.
//
// The signature says who collected the documents and that none was left out or exchanged on the way. It does not replace
// the vendors' own: those are checked when a bundle is imported, as far as they can be checked without evidence, and
// again by the drivers each time a document is used.
package bundle

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/internal/keys"
)

// PayloadType is the type of the content in the DSSE envelope.
const PayloadType = "application/vnd.assay.collateral-bundle+json"

// schema is the version of the content.
const schema = "assay.collateral-bundle/v1"

// Limits.
const (
	MaxSize    = 256 << 20 // bytes of a bundle
	maxEntries = 1 << 16
)

// Entry is one document: the request, what answered it, and when.
type Entry struct {
	Request  evidence.Request
	Response evidence.Response
	Had      time.Time
}

// Bundle is an opened bundle: its signature has been verified. It implements evidence.Collateral.
type Bundle struct {
	Created time.Time
	Signer  keys.Public
	Entries []Entry // in the order of service and path
	byReq   map[evidence.Request]int
}

type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // base64
}

type content struct {
	Schema  string    `json:"schema"`
	Created time.Time `json:"created"`
	Entries []entry   `json:"entries"`
}

type entry struct {
	Service     string    `json:"service"`
	Path        string    `json:"path"`
	Had         time.Time `json:"had"`
	SHA256      string    `json:"sha256"` // of the body, for people: the envelope signs everything
	Body        []byte    `json:"body"`
	IssuerChain []byte    `json:"issuer_chain,omitempty"`
}

// Collect asks c for every request. It fails with the first that cannot be had.
func Collect(ctx context.Context, c evidence.Collateral, reqs []evidence.Request, at time.Time) ([]Entry, error) {
	out := make([]Entry, 0, len(reqs))
	for _, r := range reqs {
		r = collateral.Canonical(r)
		if slices.ContainsFunc(out, func(e Entry) bool { return e.Request == r }) {
			continue
		}
		a, err := c.Get(ctx, r)
		if err != nil {
			return nil, fault.Wrap(err, "%s %s", r.Service, r.Path)
		}
		out = append(out, Entry{r, a, at})
	}
	return out, nil
}

// Seal writes and signs a bundle. The order of entries does not matter; two for one request are class usage.
func Seal(entries []Entry, key *keys.Private, at time.Time) ([]byte, error) {
	if len(entries) == 0 || len(entries) > maxEntries {
		return nil, fault.New(fault.Usage, "a bundle of %d documents; 1 to %d are possible", len(entries), maxEntries)
	}
	c := content{Schema: schema, Created: at.UTC().Truncate(time.Second)}
	for _, e := range entries {
		sum := sha256.Sum256(e.Response.Body)
		r := collateral.Canonical(e.Request)
		c.Entries = append(c.Entries, entry{r.Service, r.Path, e.Had.UTC().Truncate(time.Second), hex.EncodeToString(sum[:]), e.Response.Body, e.Response.IssuerChain})
	}
	slices.SortFunc(c.Entries, func(a, b entry) int { return strings.Compare(a.Service+" "+a.Path, b.Service+" "+b.Path) })
	for i := 1; i < len(c.Entries); i++ {
		if c.Entries[i-1].Service == c.Entries[i].Service && c.Entries[i-1].Path == c.Entries[i].Path {
			return nil, fault.New(fault.Usage, "two answers for %s %s", c.Entries[i].Service, c.Entries[i].Path)
		}
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return nil, fault.New(fault.Internal, "bundle: %w", err)
	}
	sig, err := sign(key, pae(payload))
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(envelope{PayloadType, base64.StdEncoding.EncodeToString(payload), []signature{{key.Public.KID, base64.StdEncoding.EncodeToString(sig)}}})
	if err != nil {
		return nil, fault.New(fault.Internal, "bundle: %w", err)
	}
	return append(b, '\n'), nil
}

// Open verifies the signature with one of trusted and reads the content. Its errors are of class malformed, unsupported
// or signature.
func Open(b []byte, trusted []keys.Public) (*Bundle, error) {
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "bundle of %d bytes; at most %d are read", len(b), MaxSize)
	}
	var env envelope
	if err := jsonx.Unmarshal(b, &env, false); err != nil {
		return nil, fault.Wrap(err, "collateral bundle")
	}
	if env.PayloadType != PayloadType {
		return nil, fault.New(fault.Unsupported, "the file holds %q, not a collateral bundle (%s)", env.PayloadType, PayloadType)
	}
	payload, err := base64.StdEncoding.DecodeString(env.Payload)
	if err != nil {
		return nil, fault.New(fault.Malformed, "collateral bundle: payload: %w", err)
	}
	signer, err := env.verify(payload, trusted)
	if err != nil {
		return nil, err
	}
	var c content
	if err := jsonx.Unmarshal(payload, &c, true); err != nil {
		return nil, fault.Wrap(err, "collateral bundle")
	}
	return c.bundle(signer)
}

func (env *envelope) verify(payload []byte, trusted []keys.Public) (keys.Public, error) {
	for _, s := range env.Signatures {
		sig, err := base64.StdEncoding.DecodeString(s.Sig)
		if err != nil {
			continue
		}
		for _, k := range trusted { // the key id is a hint that nobody signs; every trusted key is tried
			if verify(k, pae(payload), sig) {
				return k, nil
			}
		}
	}
	return keys.Public{}, fault.New(fault.Signature, "the bundle is signed by none of the %d keys that are trusted for it", len(trusted))
}

func (c *content) bundle(signer keys.Public) (*Bundle, error) {
	if c.Schema != schema {
		return nil, fault.New(fault.Unsupported, "collateral bundle of schema %q; %s is known", c.Schema, schema)
	}
	if len(c.Entries) > maxEntries {
		return nil, fault.New(fault.Malformed, "collateral bundle of %d documents", len(c.Entries))
	}
	out := &Bundle{Created: c.Created, Signer: signer, byReq: map[evidence.Request]int{}}
	for _, e := range c.Entries {
		r := collateral.Canonical(evidence.Request{Service: e.Service, Path: e.Path})
		sum := sha256.Sum256(e.Body)
		if hex.EncodeToString(sum[:]) != e.SHA256 {
			return nil, fault.New(fault.Malformed, "collateral bundle: the digest of %s %s is wrong", r.Service, r.Path)
		}
		if _, twice := out.byReq[r]; twice {
			return nil, fault.New(fault.Malformed, "collateral bundle: two answers for %s %s", r.Service, r.Path)
		}
		out.byReq[r] = len(out.Entries)
		out.Entries = append(out.Entries, Entry{r, evidence.Response{Body: e.Body, IssuerChain: e.IssuerChain}, e.Had})
	}
	return out, nil
}

// Given implements evidence.Collateral.
func (b *Bundle) Given() [][]byte { return nil }

// Get implements evidence.Collateral.
func (b *Bundle) Get(_ context.Context, req evidence.Request) (evidence.Response, error) {
	i, ok := b.byReq[collateral.Canonical(req)]
	if !ok {
		return evidence.Response{}, fault.New(fault.Unavailable, "%s %s is not in the bundle of %s", req.Service, req.Path, b.Created.Format(time.RFC3339))
	}
	return b.Entries[i].Response, nil
}

// pae is the pre-authentication encoding of DSSE.
func pae(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(PayloadType), PayloadType, len(payload)), payload...)
}

func digest(alg keys.Alg, msg []byte) ([]byte, crypto.Hash) {
	switch alg {
	case keys.ES256:
		d := sha256.Sum256(msg)
		return d[:], crypto.SHA256
	case keys.ES384:
		d := sha512.Sum384(msg)
		return d[:], crypto.SHA384
	}
	d := sha512.Sum512(msg)
	return d[:], crypto.SHA512
}

func sign(k *keys.Private, msg []byte) ([]byte, error) {
	d, h := digest(k.Alg, msg)
	if k.Alg == keys.EdDSA {
		d, h = msg, 0
	}
	sig, err := k.Signer.Sign(rand.Reader, d, h)
	if err != nil {
		return nil, fault.New(fault.Internal, "signing the bundle: %w", err)
	}
	return sig, nil
}

func verify(k keys.Public, msg, sig []byte) bool {
	switch pub := k.Key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(pub, msg, sig)
	case *ecdsa.PublicKey:
		d, _ := digest(k.Alg, msg)
		return ecdsa.VerifyASN1(pub, d, sig)
	}
	return false
}
