package sigstore

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/dsse"
)

// What sigstore-go has refused is gone through once more, step by step, to say why: its errors have no classes. Nothing
// here can accept a bundle.

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

// otherArtefact reports whether the digest that the bundle names is not that of a.
func (j *job) otherArtefact(a *Artefact) bool {
	d := j.b.GetMessageSignature().GetMessageDigest()
	alg := map[string]string{"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}[d.GetAlgorithm().String()]
	have := a.All()[alg]
	return have != "" && have != hex.EncodeToString(d.GetDigest())
}
