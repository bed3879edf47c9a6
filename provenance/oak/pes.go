package oak

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"strconv"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/internal/rekor1"
	"github.com/assay-tee/assay/internal/tlogproof"
)

// c2sp verifies a proof of inclusion (oak.md section 15). With an extra line that is the leaf, and must be about this
// endorsement by this endorser; else the leaf is the endorsement itself.
func (e *Endorsement) c2sp(policy string, endorser *Key) error {
	if len(e.C2SPProof) == 0 {
		return fault.New(fault.Policy, "a C2SP proof is asked for, and the endorsement has none")
	}
	p, err := tlogproof.ParsePolicy(policy)
	if err != nil {
		return err
	}
	proof, err := tlogproof.Parse(e.C2SPProof)
	if err != nil {
		return err
	}
	if proof.Extra == nil {
		return proof.Verify(e.Serialized, p)
	}
	body, err := rekor1.ParseBody(proof.Extra)
	if err != nil {
		return err
	}
	if err := body.Covers(e.Serialized, endorser.Raw); err != nil {
		return err
	}
	return proof.Verify(proof.Extra, p)
}

// Confirmation is a PES confirmation (oak.md section 16): one party's signed word that it has seen an endorsement. No
// certificate path and no log proof stands behind it, and it is never told as more than that.
type Confirmation struct {
	Serialized []byte // the endorsement
	Endorser   []byte // SubjectPublicKeyInfo
	endorsed   []byte // the endorser's signature
	entryID    []byte
	signer     []byte // SubjectPublicKeyInfo of PES
	signature  []byte
}

type pesSignature struct {
	Signature []byte `json:"signature"`
	Material  struct {
		X509 *struct {
			DER []byte `json:"derBytes"`
		} `json:"x509Certificate"`
		Key *struct {
			DER []byte `json:"derBytes"`
		} `json:"ecdsaP256Sha256"`
	} `json:"verificationMaterial"`
}

// key is the key in the verification material; a certificate counts for its key alone.
func (s *pesSignature) key() (der, spki []byte, err error) {
	switch m := s.Material; {
	case m.Key != nil && m.X509 == nil:
		return m.Key.DER, m.Key.DER, nil
	case m.X509 != nil && m.Key == nil:
		c, err := x509.ParseCertificate(m.X509.DER)
		if err != nil {
			return nil, nil, fault.New(fault.Malformed, "PES: certificate: %w", err)
		}
		return m.X509.DER, c.RawSubjectPublicKeyInfo, nil
	}
	return nil, nil, fault.New(fault.Malformed, "PES: a signature needs one key or certificate")
}

// ParseConfirmation reads the JSON of a PublicEndorsement. Errors are malformed or unsupported.
func ParseConfirmation(b []byte) (*Confirmation, error) {
	var raw struct {
		Statement struct {
			Format     string `json:"format"`
			Serialized []byte `json:"serialized"`
		} `json:"statement"`
		Signature    pesSignature   `json:"statementSignature"`
		Endorsements []pesSignature `json:"endorsementSignatures"`
		Receipt      struct {
			EntryID string `json:"entryId"`
		} `json:"tlogReceipt"`
	}
	if len(b) > 256<<10 {
		return nil, fault.New(fault.Malformed, "a PES confirmation of %d bytes", len(b))
	}
	if err := jsonx.Unmarshal(b, &raw, false); err != nil {
		return nil, fault.Wrap(err, "PES")
	}
	if raw.Statement.Format != "JSON_INTOTO" || len(raw.Endorsements) == 0 {
		return nil, fault.New(fault.Unsupported, "PES: statement of format %q, %d signatures", raw.Statement.Format, len(raw.Endorsements))
	}
	c := &Confirmation{Serialized: raw.Statement.Serialized, endorsed: raw.Signature.Signature, entryID: []byte(raw.Receipt.EntryID), signature: raw.Endorsements[0].Signature}
	var err error
	if c.Endorser, _, err = raw.Signature.key(); err != nil {
		return nil, err
	}
	_, c.signer, err = raw.Endorsements[0].key()
	return c, err
}

// Verify checks both signatures: the endorser's by the trusted endorser key, the confirmation's by a key of the set that
// is found by its bytes.
func (c *Confirmation) Verify(endorser *Key, set KeySet) error {
	if !bytes.Equal(c.Endorser, endorser.Raw) {
		return fault.New(fault.Signature, "PES: the confirmed endorsement is by another endorser")
	}
	if err := endorser.verify(c.Serialized, c.endorsed); err != nil {
		return fault.Wrap(err, "PES")
	}
	signed := []byte("PES")
	for _, part := range [][]byte{c.Serialized, c.Endorser, c.endorsed, c.entryID} {
		signed = append(append(append(signed, ' '), strconv.Itoa(len(part))...), ' ')
		signed = append(signed, part...)
	}
	for i := range set.Keys {
		if k := &set.Keys[i]; bytes.Equal(k.Raw, c.signer) {
			return fault.Wrap(k.verify(signed, c.signature), "PES")
		}
	}
	return fault.New(fault.Signature, "PES: signed by a key that the reference value does not name")
}

func (e *Endorsement) pes(set *KeySet, endorser *Key) error {
	if len(e.PES) == 0 {
		return fault.New(fault.Policy, "a PES confirmation is asked for, and the endorsement has none")
	}
	c, err := ParseConfirmation(e.PES)
	if err != nil {
		return err
	}
	if sha256.Sum256(c.Serialized) != sha256.Sum256(e.Serialized) {
		return fault.New(fault.Binding, "PES: another endorsement is confirmed")
	}
	return c.Verify(endorser, *set)
}
