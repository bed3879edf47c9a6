// Package rekor1 verifies entries of the transparency log Rekor, version 1, offline: the JSON that its API returns, the
// promise of inclusion (signed entry timestamp), the inclusion proof, and the checkpoint (oak.md section 14).
package rekor1

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Limits on an entry.
const (
	maxEntry  = 256 << 10 // bytes
	maxHashes = 64        // a proof has as many hashes as its tree has levels
)

// Entry is one entry as Rekor returns it, not yet verified.
type Entry struct {
	UUID           string
	IntegratedTime time.Time
	LogIndex       int64 // over all shards; the proof counts within its own
	Body           Body
	rawBody        string // base64, as the timestamp signs it
	body           []byte
	integrated     int64
	logID          string
	set            []byte
	proof          proof
}

type proof struct {
	Checkpoint string   `json:"checkpoint"`
	Hashes     []string `json:"hashes"`
	LogIndex   int64    `json:"logIndex"`
	RootHash   string   `json:"rootHash"`
	TreeSize   int64    `json:"treeSize"`
}

// Body is what was logged: kinds rekord and hashedrekord of version 0.0.1.
type Body struct {
	Kind      string
	SHA256    [32]byte // of the artefact
	Signature []byte
	Key       []byte // SubjectPublicKeyInfo in DER, or a certificate when IsCert
	IsCert    bool
}

// Parse reads the JSON {"<uuid>": {…}}, which must have exactly one entry. Errors are malformed or unsupported.
func Parse(b []byte) (*Entry, error) {
	if len(b) > maxEntry {
		return nil, fault.New(fault.Malformed, "a log entry of %d bytes; at most %d are read", len(b), maxEntry)
	}
	list, err := jsonx.Object(b)
	if err != nil {
		return nil, fault.Wrap(err, "log entry")
	}
	if len(list) != 1 {
		return nil, fault.New(fault.Malformed, "%d log entries where one belongs", len(list))
	}
	var raw struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int64  `json:"logIndex"`
		Verification   struct {
			SET   []byte `json:"signedEntryTimestamp"`
			Proof proof  `json:"inclusionProof"`
		} `json:"verification"`
	}
	if err := jsonx.Unmarshal(list[0].Raw, &raw, false); err != nil {
		return nil, fault.Wrap(err, "log entry")
	}
	e := &Entry{UUID: list[0].Name, rawBody: raw.Body, integrated: raw.IntegratedTime, IntegratedTime: time.Unix(raw.IntegratedTime, 0).UTC(),
		logID: raw.LogID, LogIndex: raw.LogIndex, set: raw.Verification.SET, proof: raw.Verification.Proof}
	if e.body, err = base64.StdEncoding.Strict().DecodeString(raw.Body); err != nil {
		return nil, fault.New(fault.Malformed, "body of the log entry: %w", err)
	}
	if len(e.proof.Hashes) > maxHashes {
		return nil, fault.New(fault.Malformed, "an inclusion proof of %d hashes", len(e.proof.Hashes))
	}
	return e, e.Body.parse(e.body)
}

func (o *Body) parse(b []byte) error {
	var raw struct {
		Version string `json:"apiVersion"`
		Kind    string `json:"kind"`
		Spec    struct {
			Data struct {
				Hash struct {
					Algorithm string `json:"algorithm"`
					Value     string `json:"value"`
				} `json:"hash"`
			} `json:"data"`
			Signature struct {
				Content []byte `json:"content"`
				Key     struct {
					Content []byte `json:"content"`
				} `json:"publicKey"`
			} `json:"signature"`
		} `json:"spec"`
	}
	if err := jsonx.Unmarshal(b, &raw, false); err != nil {
		return fault.Wrap(err, "body of the log entry")
	}
	if raw.Kind != "rekord" && raw.Kind != "hashedrekord" || raw.Version != "0.0.1" {
		return fault.New(fault.Unsupported, "the log entry is a %q of version %q; rekord and hashedrekord 0.0.1 are known", raw.Kind, raw.Version)
	}
	sum, err := hex.DecodeString(raw.Spec.Data.Hash.Value)
	if err != nil || raw.Spec.Data.Hash.Algorithm != "sha256" || len(sum) != len(o.SHA256) {
		return fault.New(fault.Malformed, "the log entry has no SHA-256 of its artefact")
	}
	blk, rest := pem.Decode(raw.Spec.Signature.Key.Content)
	if blk == nil || len(bytes.TrimSpace(rest)) > 0 || blk.Type != "PUBLIC KEY" && blk.Type != "CERTIFICATE" {
		return fault.New(fault.Malformed, "the log entry has no public key in PEM")
	}
	*o = Body{Kind: raw.Kind, SHA256: [32]byte(sum), Signature: raw.Spec.Signature.Content, Key: blk.Bytes, IsCert: blk.Type == "CERTIFICATE"}
	return nil
}

// Verify checks everything that the log says: the timestamp, the proof and the checkpoint, under the log's key. Errors
// are of class signature.
func (e *Entry) Verify(key *ecdsa.PublicKey) error {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	id := sha256.Sum256(spki)
	if e.logID != hex.EncodeToString(id[:]) {
		return fault.New(fault.Signature, "the entry is of the log %s, the key of %x", e.logID, id)
	}
	logID, err := json.Marshal(e.logID)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	// RFC 8785: sorted members, no spaces; the body is base64 and the id hex, so nothing needs escapes.
	signed := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":%s,"logIndex":%d}`, e.rawBody, e.integrated, logID, e.LogIndex)
	sum := sha256.Sum256([]byte(signed))
	if !ecdsa.VerifyASN1(key, sum[:], e.set) {
		return fault.New(fault.Signature, "the signed entry timestamp does not verify under the key of the log")
	}
	return e.included(key, id)
}

// included checks the proof against a checkpoint that the log has signed.
func (e *Entry) included(key *ecdsa.PublicKey, id [32]byte) error {
	size, root, err := checkpoint(e.proof.Checkpoint, key, id)
	if err != nil {
		return err
	}
	if size != e.proof.TreeSize || hex.EncodeToString(root[:]) != e.proof.RootHash {
		return fault.New(fault.Signature, "the inclusion proof is for another tree than the checkpoint")
	}
	leaf := tlog.RecordHash(e.body)
	if n := len(e.UUID); n < 64 || e.UUID[n-64:] != hex.EncodeToString(leaf[:]) {
		return fault.New(fault.Signature, "the entry's id %q does not end in its leaf hash %x", e.UUID, leaf[:])
	}
	hashes := make(tlog.RecordProof, len(e.proof.Hashes))
	for i, h := range e.proof.Hashes {
		b, err := hex.DecodeString(h)
		if err != nil || len(b) != tlog.HashSize {
			return fault.New(fault.Malformed, "hash %d of the inclusion proof", i)
		}
		hashes[i] = tlog.Hash(b)
	}
	if err := tlog.CheckRecord(hashes, size, root, e.proof.LogIndex, leaf); err != nil {
		return fault.New(fault.Signature, "the inclusion proof does not lead to the checkpoint: %w", err)
	}
	return nil
}

// checkpoint verifies a signed tree head (C2SP tlog-checkpoint): origin, size, root, then signatures. Rekor's key hint is
// the beginning of its log id.
func checkpoint(text string, key *ecdsa.PublicKey, id [32]byte) (size int64, root tlog.Hash, err error) {
	bad := func(why string) (int64, tlog.Hash, error) {
		return 0, root, fault.New(fault.Malformed, "checkpoint of the log: %s", why)
	}
	body, sigs, ok := strings.Cut(text, "\n\n")
	if !ok {
		return bad("no signature follows")
	}
	body += "\n"
	lines := strings.Split(body, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return bad("fewer than three lines")
	}
	if size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || size <= 0 || lines[1] != strconv.FormatInt(size, 10) {
		return bad("the size is no number")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(b) != tlog.HashSize {
		return bad("the root is no hash")
	}
	root = tlog.Hash(b)
	origin, _, _ := strings.Cut(lines[0], " ")
	sum := sha256.Sum256([]byte(body))
	for _, line := range strings.Split(strings.TrimSuffix(sigs, "\n"), "\n") {
		name, b64, ok := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		if !ok || !strings.HasPrefix(line, "— ") {
			return bad("a signature line of another form")
		}
		sig, err := base64.StdEncoding.DecodeString(b64)
		if err != nil || len(sig) < 5 {
			return bad("a signature that is no base64")
		}
		if name == origin && bytes.Equal(sig[:4], id[:4]) && ecdsa.VerifyASN1(key, sum[:], sig[4:]) {
			return size, root, nil
		}
	}
	return 0, root, fault.New(fault.Signature, "the checkpoint is not signed by the log %s", origin)
}

// ParseBody reads what was logged, as it stands in a leaf of the log.
func ParseBody(b []byte) (*Body, error) {
	o := &Body{}
	return o, o.parse(b)
}

// Covers checks that the entry is about these bytes, and was signed by that endorser's key (SubjectPublicKeyInfo, DER).
// What is about another artefact is class binding.
func (o *Body) Covers(artefact []byte, endorser []byte) error {
	if sum := sha256.Sum256(artefact); sum != o.SHA256 {
		return fault.New(fault.Binding, "the log entry is about the artefact %x, not %x", o.SHA256, sum)
	}
	if o.IsCert || !bytes.Equal(o.Key, endorser) {
		return fault.New(fault.Signature, "the log entry was made with another key than the endorser's")
	}
	pub, err := x509.ParsePKIXPublicKey(o.Key)
	if err != nil {
		return fault.New(fault.Malformed, "key of the log entry: %w", err)
	}
	ec, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return fault.New(fault.Unsupported, "a log entry with a key of type %T", pub)
	}
	if sum := sha256.Sum256(artefact); !ecdsa.VerifyASN1(ec, sum[:], o.Signature) {
		return fault.New(fault.Signature, "the signature in the log entry does not verify")
	}
	return nil
}
