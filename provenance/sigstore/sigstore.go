// Package sigstore verifies Sigstore bundles 0.1 to 0.3 offline against a pinned trusted root, through sigstore-go. It is
// the only importer of sigstore-go; it opens no connection and knows no clock: a bundle is judged at the times that its
// log entries and timestamps prove.
package sigstore

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/fulcio"
	"github.com/assay-tee/assay/provenance/internal/seal"
	"github.com/assay-tee/assay/provenance/intoto"
)

// MaxSize is the size of a bundle or trusted root that is read, in bytes.
const MaxSize = 16 << 20

// Key is a configured key for bundles that hold no certificate.
type Key struct {
	Hint      string // that a bundle must name; "" for any
	Name      string
	Public    crypto.PublicKey
	NotBefore time.Time // zero: open
	NotAfter  time.Time
}

// Config is what a [Verifier] trusts and demands. The zero value of the counts means the usual: one log entry, one
// observer time, one SCT in each certificate.
type Config struct {
	// TrustedRoot is the JSON of a trusted root (application/vnd.dev.sigstore.trustedroot+json).
	TrustedRoot []byte
	// Keys verify bundles that name a public key. Without any, only certificates count.
	Keys []Key
	// TimestampOnly demands a signed timestamp and no log entry: for private instances that have no log.
	TimestampOnly bool
	// WithoutSCT accepts certificates that no certificate transparency log has seen: for private instances.
	WithoutSCT bool
}

// Verifier verifies bundles under one trusted root. It is safe for concurrent use.
type Verifier struct {
	cfg  Config
	root *root.TrustedRoot
}

// New reads the trusted root. Errors are malformed.
func New(cfg Config) (*Verifier, error) {
	if len(cfg.TrustedRoot) == 0 {
		return nil, fault.New(fault.Usage, "a Sigstore bundle is judged under a trusted root: name one (--trusted-root FILE)")
	}
	if len(cfg.TrustedRoot) > MaxSize {
		return nil, fault.New(fault.Malformed, "trusted root of %d bytes; at most %d are read", len(cfg.TrustedRoot), MaxSize)
	}
	if err := checkRoot(cfg.TrustedRoot); err != nil {
		return nil, fault.Wrap(err, "trusted root")
	}
	tr, err := root.NewTrustedRootFromJSON(cfg.TrustedRoot)
	if err != nil {
		return nil, fault.New(fault.Malformed, "trusted root: %w", err)
	}
	return &Verifier{cfg: cfg, root: tr}, nil
}

// checkRoot refuses roots of a major version that is not known, and JSON that can be read in two ways.
func checkRoot(b []byte) error {
	var head struct {
		MediaType string `json:"mediaType"`
	}
	if err := jsonx.Unmarshal(b, &head, false); err != nil {
		return err
	}
	switch head.MediaType {
	case "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
		"application/vnd.dev.sigstore.trustedroot.v0.2+json":
		return nil
	}
	return fault.New(fault.Malformed, "media type %q is no trusted root that is known here", head.MediaType)
}

// Is reports whether b looks like a bundle; it decides nothing but which verifier to ask.
func Is(b []byte) bool {
	var head struct {
		MediaType string `json:"mediaType"`
	}
	return json.Unmarshal(b, &head) == nil && strings.HasPrefix(head.MediaType, "application/vnd.dev.sigstore.bundle")
}

// Artefact is what a bundle with a message signature has signed.
type Artefact struct {
	Bytes   []byte         // the artefact itself, or nil
	Digests intoto.Digests // its digests, when the bytes are not at hand
}

// Verify checks everything about a bundle but who may sign: log entries, times, certificate path at each time, SCT,
// signature, and, when artefact is not nil, that it is what was signed. Of a message signature it needs the artefact.
// Classes: malformed, unsupported, signature, binding (right signature over another thing), expired (certificate,
// authority or key out of its life), stale (no time that can be trusted), policy (key where a certificate is wanted),
// unavailable (no log entry or time inside at all).
func (v *Verifier) Verify(file []byte, artefact *Artefact) (*seal.Attestation, error) {
	j := &job{v: v}
	for _, step := range []func() error{
		func() error { return j.parse(file) },
		j.shape,
		j.material,
		func() error { return j.whole(artefact) },
		func() error { return j.subject(artefact) },
	} {
		if err := step(); err != nil {
			return nil, fault.Wrap(err, "Sigstore bundle")
		}
	}
	sha := sha256.Sum256(file)
	d := seal.Data{Form: "sigstore", SHA256: hex.EncodeToString(sha[:]), Signer: j.signer, Times: j.seen, Log: j.log}
	if j.envelope != nil {
		d.PayloadType, d.Payload = j.envelope.PayloadType, j.envelope.Payload
	}
	return seal.New(d), nil
}

// job is one bundle on its way through the checks.
type job struct {
	v        *Verifier
	b        *bundle.Bundle
	envelope *dsse.Envelope
	vc       verify.VerificationContent
	leaf     *x509.Certificate
	trusted  root.TrustedMaterial
	stamps   []verify.TimestampVerificationResult
	signer   seal.Signer
	seen     []seal.Time
	log      []seal.LogEntry
}

func (j *job) parse(file []byte) error {
	if len(file) > MaxSize {
		return fault.New(fault.Malformed, "%d bytes; at most %d are read", len(file), MaxSize)
	}
	if err := jsonx.Check(file); err != nil {
		return err
	}
	var version struct {
		DSSE json.RawMessage `json:"dsseEnvelope"`
	}
	if err := jsonx.Unmarshal(file, &version, false); err != nil {
		return err
	}
	if len(version.DSSE) > 0 {
		e, err := dsse.Parse(version.DSSE)
		if err != nil {
			return err
		}
		if len(e.Signatures) != 1 {
			return fault.New(fault.Malformed, "a DSSE envelope with %d signatures; a bundle has exactly one", len(e.Signatures))
		}
		j.envelope = e
	}
	b := &bundle.Bundle{}
	if err := b.UnmarshalJSON(file); err != nil {
		return fault.New(fault.Malformed, "%w", err)
	}
	j.b = b
	return nil
}

// shape refuses bundles that lack what their version or their log demands, before anything is verified.
func (j *job) shape() error {
	vm := j.b.GetVerificationMaterial()
	if vm == nil {
		return fault.New(fault.Malformed, "no verification material")
	}
	entries := vm.GetTlogEntries()
	if len(entries) == 0 && !j.v.cfg.TimestampOnly {
		return fault.New(fault.Unavailable, "no log entry: nothing offline proves that the signature was public")
	}
	for i, e := range entries {
		if e.GetInclusionProof() == nil && e.GetInclusionPromise() == nil {
			return fault.New(fault.Malformed, "log entry %d has neither inclusion proof nor promise", i)
		}
		if p := e.GetInclusionProof(); p != nil {
			if err := checkCheckpoint(p.GetCheckpoint().GetEnvelope()); err != nil {
				return fault.Wrap(err, "log entry %d", i)
			}
			if p.GetLogIndex() < 0 || p.GetTreeSize() < 1 || p.GetLogIndex() >= p.GetTreeSize() {
				return fault.New(fault.Malformed, "log entry %d: leaf %d of a tree of %d", i, p.GetLogIndex(), p.GetTreeSize())
			}
		}
	}
	if _, err := j.b.TlogEntries(); err != nil {
		return fault.New(fault.Malformed, "%w", err)
	}
	return nil
}

// checkCheckpoint looks at the form of a checkpoint (C2SP tlog-checkpoint): origin, size, root.
func checkCheckpoint(text string) error {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" || strings.TrimSpace(lines[0]) != lines[0] {
		return fault.New(fault.Malformed, "a checkpoint without origin, size and root")
	}
	if n, err := strconv.ParseUint(lines[1], 10, 63); err != nil || strconv.FormatUint(n, 10) != lines[1] {
		return fault.New(fault.Malformed, "a checkpoint whose second line is no tree size: its origin is missing, or it is no checkpoint")
	}
	return nil
}

func (j *job) material() error {
	vc, err := j.b.VerificationContent()
	if err != nil {
		return fault.New(fault.Malformed, "%w", err)
	}
	j.vc, j.leaf = vc, vc.Certificate()
	j.trusted = j.v.root
	if j.leaf != nil {
		if j.signer.Certificate, err = fulcio.Read(j.leaf); err != nil {
			return err
		}
		key := sha256.Sum256(j.leaf.RawSubjectPublicKeyInfo)
		j.signer.KeySHA256 = hex.EncodeToString(key[:])
		return nil
	}
	pk := vc.PublicKey()
	if pk == nil {
		return fault.New(fault.Malformed, "neither certificate nor key")
	}
	if len(j.v.cfg.Keys) == 0 {
		return fault.New(fault.Policy, "signed by a key; a certificate is expected, or a key must be configured")
	}
	return j.key(pk.Hint())
}

func (j *job) key(hint string) error {
	for _, k := range j.v.cfg.Keys {
		if k.Hint != "" && k.Hint != hint {
			continue
		}
		if len(j.v.cfg.Keys) > 1 && k.Hint == "" {
			return fault.New(fault.Usage, "several keys are configured; each needs the hint that bundles name it by")
		}
		sv, err := signature.LoadDefaultVerifier(k.Public)
		if err != nil {
			return fault.New(fault.Unsupported, "key %q: %w", k.Name, err)
		}
		ek := root.NewExpiringKey(sv, k.NotBefore, k.NotAfter)
		j.trusted = root.TrustedMaterialCollection{j.v.root, root.NewTrustedPublicKeyMaterial(func(h string) (root.TimeConstrainedVerifier, error) {
			if h != hint {
				return nil, errors.New("another key")
			}
			return ek, nil
		})}
		j.signer = seal.Signer{Name: k.Name, KeyID: hint, KeySHA256: dsse.Key{Public: k.Public}.SPKI()}
		return nil
	}
	return fault.New(fault.Signature, "the bundle names the key %q, which is not configured", hint)
}

// whole lets sigstore-go judge the bundle in its own order. What it refuses goes through its steps one by one, because its
// errors have no classes.
func (j *job) whole(a *Artefact) error {
	policy := verify.WithoutArtifactUnsafe()
	switch {
	case j.envelope != nil: // subjects are compared afterwards, by our own rules
	case a == nil:
		return fault.New(fault.Usage, "the bundle signs an artefact itself; it or its digest is needed")
	case a.Bytes != nil:
		policy = verify.WithArtifact(bytes.NewReader(a.Bytes))
	default:
		alg, digest, err := j.messageDigest(a.Digests)
		if err != nil {
			return err
		}
		policy = verify.WithArtifactDigest(alg, digest)
	}
	var options []verify.VerifierOption
	if j.v.cfg.TimestampOnly {
		options = append(options, verify.WithSignedTimestamps(1))
	} else {
		options = append(options, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	}
	if j.leaf != nil && !j.v.cfg.WithoutSCT {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	sv, err := verify.NewVerifier(j.trusted, options...)
	if err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	res, err := sv.Verify(j.b, verify.NewPolicy(policy, verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		for _, step := range []func() error{j.logEntries, j.times, j.certificate} {
			if err := step(); err != nil {
				return err
			}
		}
		class := fault.Signature
		if j.envelope == nil && j.otherArtefact(a) {
			class = fault.Binding
		}
		return fault.New(class, "%w", err)
	}
	for _, t := range res.VerifiedTimestamps {
		origin := "tsa"
		if t.Type == "Tlog" {
			origin = "log"
		}
		j.seen = append(j.seen, seal.Time{At: t.Timestamp.UTC(), Origin: origin, Name: t.URI})
	}
	if len(j.seen) == 0 {
		return fault.New(fault.Internal, "verified without a time")
	}
	return j.recorded()
}

// recorded lists the entries that were verified. Of several, sigstore-go passes over one whose entry timestamp does not
// hold, without saying which.
func (j *job) recorded() error {
	if j.v.cfg.TimestampOnly {
		return nil
	}
	entries, err := j.b.TlogEntries()
	if err != nil {
		return fault.New(fault.Malformed, "%w", err)
	}
	for _, e := range entries {
		l, known := j.trusted.RekorLogs()[hex.EncodeToString([]byte(e.LogKeyID()))]
		if !known || len(entries) > 1 && e.HasInclusionPromise() && tlog.VerifySET(e, j.trusted.RekorLogs()) != nil {
			continue
		}
		j.log = append(j.log, seal.LogEntry{Log: l.BaseURL, Index: strconv.FormatInt(e.LogIndex(), 10)})
	}
	return nil
}

// subject compares the artefact with the statement's subjects.
func (j *job) subject(a *Artefact) error {
	if j.envelope == nil || a == nil {
		return nil
	}
	s, err := intoto.Parse(j.envelope.Payload)
	if err != nil {
		return err
	}
	_, err = s.Find(a.All())
	return err
}

// messageDigest finds the digest of the kind that was signed.
func (j *job) messageDigest(d intoto.Digests) (string, []byte, error) {
	alg := map[string]string{"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}[j.b.GetMessageSignature().GetMessageDigest().GetAlgorithm().String()]
	b, err := hex.DecodeString(d[alg])
	if alg == "" || err != nil || len(b) == 0 {
		return "", nil, fault.New(fault.Unavailable, "the bundle signs by %s, and that digest of the artefact was not given", j.b.GetMessageSignature().GetMessageDigest().GetAlgorithm())
	}
	return alg, b, nil
}
