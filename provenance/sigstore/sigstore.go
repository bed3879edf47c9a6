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
		j.logEntries,
		j.times,
		j.certificate,
		func() error { return j.signature(artefact) },
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

func (j *job) logEntries() error {
	if j.v.cfg.TimestampOnly {
		return nil
	}
	times, err := verify.VerifyTlogEntry(j.b, j.trusted, 1, true)
	if err != nil {
		return j.logClass(err)
	}
	for _, t := range times {
		j.stamps = append(j.stamps, verify.TimestampVerificationResult{Type: "log", URI: t.URI, Timestamp: t.Time})
	}
	for _, e := range j.b.GetVerificationMaterial().GetTlogEntries() {
		if l, known := j.trusted.RekorLogs()[hex.EncodeToString(e.GetLogId().GetKeyId())]; known {
			j.log = append(j.log, seal.LogEntry{Log: l.BaseURL, Index: strconv.FormatInt(e.GetLogIndex(), 10)})
		}
	}
	return nil
}

// logClass tells what sigstore-go's one kind of error means. What it compares between entry and bundle is binding, the
// life of the certificate expired, all the rest signature; texts are those of the version in go.mod and each is tested.
func (j *job) logClass(err error) error {
	text := err.Error()
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	class := fault.Signature
	switch {
	case has("signature does not match", "certificate does not match", "does not match artifact", "algorithm mismatch",
		"does not match envelope payload hash", "is not a hashedrekord", "is not a dsse_v001"):
		class = fault.Binding
		// An entry that was made for another signature may also hold it that the bundle's own does not verify at all,
		// which is the worse thing to say.
		if j.envelope != nil && !j.envelopeHolds() {
			class = fault.Signature
		}
	case has("integrated time outside certificate validity"):
		class = fault.Expired
	case has("duplicate tlog entries", "too many tlog entries", "must have an inclusion proof", "must contain an inclusion proof"):
		class = fault.Malformed
	case has("unsupported entry type", "unsupported rekor v2"):
		class = fault.Unsupported
	case has("verifying log entry") && j.envelope != nil:
		// The leaf of a v2 log is rebuilt from the bundle, so that a good signature that is not the logged one shows as
		// another leaf.
		if j.envelopeHolds() {
			class = fault.Binding
		}
	case has("root hash"):
		class = fault.Binding
	}
	return fault.New(class, "log: %w", err)
}

// envelopeHolds reports whether the envelope's signature verifies under the bundle's own key.
func (j *job) envelopeHolds() bool {
	var pub crypto.PublicKey
	if j.leaf != nil {
		pub = j.leaf.PublicKey
	} else if pk := j.vc.PublicKey(); pk != nil {
		if v, err := j.trusted.PublicKeyVerifier(pk.Hint()); err == nil {
			pub, _ = v.PublicKey()
		}
	}
	return pub != nil && dsse.Key{Public: pub}.Check(dsse.PAE(j.envelope.PayloadType, j.envelope.Payload), j.envelope.Signatures[0].Sig) == nil
}

func (j *job) times() error {
	tokens, bad, err := verify.VerifySignedTimestamp(j.b, j.trusted)
	if err != nil {
		return fault.New(fault.Malformed, "timestamps: %w", err)
	}
	for _, t := range tokens {
		j.stamps = append(j.stamps, verify.TimestampVerificationResult{Type: "tsa", URI: t.URI, Timestamp: t.Time})
	}
	if len(j.stamps) == 0 || j.v.cfg.TimestampOnly && len(tokens) == 0 {
		why := errors.Join(bad...)
		if why == nil {
			return fault.New(fault.Stale, "no time that can be trusted: neither a signed entry timestamp nor a signed timestamp")
		}
		if strings.Contains(why.Error(), "validity period") {
			return fault.New(fault.Expired, "timestamp: %w", why)
		}
		return fault.New(fault.Signature, "timestamp: %w", why)
	}
	for _, t := range j.stamps {
		j.seen = append(j.seen, seal.Time{At: t.Timestamp.UTC(), Origin: t.Type, Name: t.URI})
	}
	return nil
}

// certificate checks the path at each time, never now, and the SCT; or the life of a key.
func (j *job) certificate() error {
	if j.leaf == nil {
		for _, t := range j.stamps {
			if !j.vc.ValidAtTime(t.Timestamp, j.trusted) {
				return fault.New(fault.Expired, "signed at %s, outside the life of the key", t.Timestamp.UTC().Format(time.RFC3339))
			}
		}
		return nil
	}
	j.leaf.UnhandledCriticalExtensions = withoutSAN(j.leaf)
	var chains [][]*x509.Certificate
	for _, t := range j.stamps {
		var err error
		if chains, err = verify.VerifyLeafCertificate(t.Timestamp, j.leaf, j.trusted); err != nil {
			if j.chainsAtSomeTime() {
				return fault.New(fault.Expired, "signed at %s, outside the life of the certificate or of its authority", t.Timestamp.UTC().Format(time.RFC3339))
			}
			return fault.New(fault.Signature, "the certificate has no path to an authority of the trusted root")
		}
	}
	if j.v.cfg.WithoutSCT {
		return nil
	}
	if err := verify.VerifySignedCertificateTimestamp(chains, 1, j.trusted); err != nil {
		return fault.New(fault.Signature, "certificate transparency: %w", err)
	}
	return nil
}

// withoutSAN drops the subject alternative name from the critical extensions that Go has not understood: it holds an
// othername, which package fulcio has read.
func withoutSAN(c *x509.Certificate) (rest []asn1OID) {
	for _, id := range c.UnhandledCriticalExtensions {
		if id.String() != "2.5.29.17" {
			rest = append(rest, id)
		}
	}
	return rest
}

// chainsAtSomeTime reports whether the certificate leads to an authority of the root when time is left aside.
func (j *job) chainsAtSomeTime() bool {
	for _, ca := range j.trusted.FulcioCertificateAuthorities() {
		f, ok := ca.(*root.FulcioCertificateAuthority)
		if !ok {
			continue
		}
		open := *f
		open.ValidityPeriodStart, open.ValidityPeriodEnd = time.Time{}, time.Time{}
		if _, err := open.Verify(j.leaf, j.leaf.NotBefore); err == nil {
			return true
		}
	}
	return false
}

func (j *job) signature(a *Artefact) error {
	policy := verify.WithoutArtifactUnsafe()
	switch {
	case j.envelope != nil: // subjects are compared below, by our own rules
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
	// The whole of sigstore-go's own order runs once more, so that what it demands is demanded whatever the steps above say.
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
	if _, err := sv.Verify(j.b, verify.NewPolicy(policy, verify.WithoutIdentitiesUnsafe())); err != nil {
		class := fault.Signature
		if j.envelope == nil && j.otherArtefact(a) {
			class = fault.Binding
		}
		return fault.New(class, "%w", err)
	}
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

// otherArtefact reports whether the digest that the bundle names is not that of a.
func (j *job) otherArtefact(a *Artefact) bool {
	d := j.b.GetMessageSignature().GetMessageDigest()
	alg := map[string]string{"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}[d.GetAlgorithm().String()]
	have := a.All()[alg]
	return have != "" && have != hex.EncodeToString(d.GetDigest())
}
