package native

import (
	"encoding/json"
	"mime"
	"slices"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/release/jwe"
)

// Limits of what a stranger may send.
const (
	MaxNonceBody  = 4 << 10 // bytes
	MaxBody       = 1 << 20 // bytes
	MaxCollateral = 32      // items
	minRSABits    = 3072
)

// NonceRequest is the body of POST /v1/nonce.
type NonceRequest struct {
	TEE     string
	Purpose Purpose
}

// ParseNonceRequest reads it. A purpose that is not known is class unsupported.
func ParseNonceRequest(body []byte) (NonceRequest, error) {
	var r NonceRequest
	m, err := members(body, "nonce request", "tee", "purpose")
	if err != nil {
		return r, err
	}
	if r.TEE, err = text(m, "tee"); err != nil {
		return r, err
	}
	p, err := text(m, "purpose")
	r.Purpose = Purpose(p)
	if err == nil && !r.Purpose.known() {
		err = fault.New(fault.Unsupported, "purpose %.20q is not release, verify or spire", p)
	}
	return r, err
}

// NonceReply is the answer.
type NonceReply struct {
	Session   string    `json:"session"`
	Nonce     string    `json:"nonce"`
	Expires   time.Time `json:"expires"` // RFC 3339
	Challenge *Item     `json:"challenge,omitempty"`
}

// Item is bytes with a media type.
type Item struct {
	Type  string `json:"type"`
	Value string `json:"value"` // base64url
	bytes []byte
}

// NewItem makes an item.
func NewItem(mediaType string, b []byte) Item {
	return Item{Type: mediaType, Value: Encode(b), bytes: b}
}

// Bytes are the decoded bytes of a parsed item.
func (i Item) Bytes() []byte { return i.bytes }

// Media types of this wire. Evidence may have any type: the driver of the TEE recognises its form by the bytes, and the
// type decides nothing.
const (
	TypeChallengeSE = "application/vnd.assay.se-challenge+json" // in the answer to nonce
	TypeAux         = "application/vnd.assay.platform-aux"      // what the platform delivers beside evidence: configfs-tsm auxblob, certificate table
	TypeEventLog    = "application/vnd.assay.event-log"         // boot or runtime log
	TypeCert        = "application/pkix-cert"                   // DER
	TypePEM         = "application/pem-certificate-chain"       // PEM
	typeBytes       = "application/octet-stream"
)

// Form is how a secret goes out.
type Form string

// The forms.
const (
	JWE       Form = "jwe"        // compact JWE to the key
	AddSecret Form = "add-secret" // IBM Secure Execution: a request that only this one guest's Ultravisor opens
)

// Submission is the body of POST /v1/release and POST /v1/verify.
type Submission struct {
	Session  [SessionSize]byte
	Named    bool // Session could be read, whatever became of the rest
	TEE      string
	Evidence Item
	// Certificates, Aux and EventLog are the collateral, sorted by type. All of it is untrusted.
	Certificates [][]byte
	Aux          []byte
	EventLog     []byte
	Key          *jwe.Key
	Resource     string // release only
	Form         Form   // release only
	collateral   []Item
}

// ParseSubmission reads a body for that purpose. When it fails after the session could be read, the returned Submission
// names it, so that the caller can consume the nonce (keylime-broker.md section 6).
func ParseSubmission(p Purpose, body []byte) (*Submission, error) {
	s := &Submission{}
	all, err := jsonx.Object(body)
	if err != nil {
		return s, fault.Wrap(err, "request")
	}
	for _, m := range all {
		if m.Name == "session" {
			if s.Session, err = parseSession(m.Raw); err != nil {
				return s, err
			}
			s.Named = true
		}
	}
	if !s.Named {
		return s, fault.New(fault.Malformed, "session is missing; ask for one with /v1/nonce")
	}
	names := []string{"session", "tee", "evidence", "collateral", "key"}
	if p == Release {
		names = append(names, "resource", "form", "wrapped_key")
	}
	m, err := members(body, "request", names...)
	if err != nil {
		return s, err
	}
	if m["wrapped_key"] != nil {
		return s, fault.New(fault.Unsupported, "wrapped_key: this broker has no TEE attestation key; store the secret and name it as resource")
	}
	if s.TEE, err = text(m, "tee"); err != nil {
		return s, err
	}
	if s.Evidence, err = parseItem("evidence", m["evidence"]); err != nil {
		return s, err
	}
	if err := s.parseCollateral(m["collateral"]); err != nil {
		return s, err
	}
	if m["key"] == nil {
		return s, fault.New(fault.Malformed, "key is missing")
	}
	if s.Key, err = parseKey(m["key"]); err != nil {
		return s, err
	}
	if p != Release {
		return s, nil
	}
	if s.Resource, err = text(m, "resource"); err != nil {
		return s, err
	}
	s.Form = JWE
	if m["form"] != nil {
		f, err := text(m, "form")
		if err != nil {
			return s, err
		}
		if s.Form = Form(f); s.Form != JWE && s.Form != AddSecret {
			return s, fault.New(fault.Unsupported, "form %.20q is not jwe or add-secret", f)
		}
	}
	return s, nil
}

func parseSession(raw []byte) (id [SessionSize]byte, err error) {
	t, err := jsonx.String(raw)
	if err != nil {
		return id, fault.Wrap(err, "session")
	}
	b, err := Decode("session", t)
	if err == nil && len(b) != SessionSize {
		err = fault.New(fault.Malformed, "session has %d bytes, not %d", len(b), SessionSize)
	}
	copy(id[:], b)
	return id, err
}

func parseItem(name string, raw []byte) (Item, error) {
	var it Item
	if raw == nil {
		return it, fault.New(fault.Malformed, "%s is missing", name)
	}
	m, err := members(raw, name, "type", "value")
	if err != nil {
		return it, err
	}
	if it.Type, err = text(m, "type"); err != nil {
		return it, fault.Wrap(err, "%s", name)
	}
	if it.Type, _, err = mime.ParseMediaType(it.Type); err != nil {
		return it, fault.New(fault.Malformed, "%s: type is not a media type", name)
	}
	if it.Value, err = text(m, "value"); err != nil {
		return it, fault.Wrap(err, "%s", name)
	}
	if it.bytes, err = Decode(name+": value", it.Value); err == nil && len(it.bytes) == 0 {
		err = fault.New(fault.Malformed, "%s: value is empty", name)
	}
	return it, err
}

func (s *Submission) parseCollateral(raw []byte) error {
	if raw == nil {
		return nil
	}
	items, err := jsonx.Array(raw)
	if err != nil {
		return fault.Wrap(err, "collateral")
	}
	if len(items) > MaxCollateral {
		return fault.New(fault.Malformed, "collateral has %d items; at most %d are read", len(items), MaxCollateral)
	}
	for _, r := range items {
		it, err := parseItem("collateral", r)
		if err != nil {
			return err
		}
		switch {
		case it.Type == TypeAux && s.Aux == nil:
			s.Aux = it.bytes
		case it.Type == TypeEventLog && s.EventLog == nil:
			s.EventLog = it.bytes
		case it.Type == TypeAux, it.Type == TypeEventLog:
			return fault.New(fault.Malformed, "collateral has more than one %s", it.Type)
		case slices.Contains([]string{TypeCert, TypePEM, "application/x-pem-file", typeBytes}, it.Type):
			s.Certificates = append(s.Certificates, it.bytes)
		default:
			return fault.New(fault.Unsupported, "collateral of type %.60q is not known", it.Type)
		}
	}
	return nil
}

// parseKey accepts the reply keys of section 5: EC keys and RSA-OAEP-256 with at least 3072 bits.
func parseKey(raw []byte) (*jwe.Key, error) {
	k, err := jwe.ParseKey(raw)
	if err != nil {
		return nil, err
	}
	switch k.Alg() {
	case jwe.ECDHES:
		return k, nil
	case jwe.OAEP256:
		n, _ := k.RSATexts()
		if b, err := Decode("n", n); err == nil && modulusBits(b) >= minRSABits {
			return k, nil
		}
		return nil, fault.New(fault.Malformed, "key: an RSA modulus has at least %d bits", minRSABits)
	}
	return nil, fault.New(fault.Unsupported, "key: algorithm %s is not accepted here; use an EC key or RSA-OAEP-256", k.Alg())
}

func modulusBits(b []byte) int {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0
	}
	n := 8 * (len(b) - 1)
	for v := b[0]; v != 0; v >>= 1 {
		n++
	}
	return n
}

// AddCollateral adds an item to a submission that is to be written.
func (s *Submission) AddCollateral(i Item) { s.collateral = append(s.collateral, i) }

// JSON writes the body, on the side of the guest.
func (s *Submission) JSON() ([]byte, error) {
	out, err := json.Marshal(struct {
		Session    string          `json:"session"`
		TEE        string          `json:"tee"`
		Evidence   Item            `json:"evidence"`
		Collateral []Item          `json:"collateral,omitempty"`
		Key        json.RawMessage `json:"key"`
		Resource   string          `json:"resource,omitempty"`
		Form       Form            `json:"form,omitempty"`
	}{Encode(s.Session[:]), s.TEE, s.Evidence, s.collateral, s.Key.JSON(), s.Resource, s.Form})
	return out, fault.As(fault.Internal, err)
}

// ReleaseReply is the answer to POST /v1/release; it has either Secret or AddSecret.
type ReleaseReply struct {
	Secret    string `json:"secret,omitempty"`     // compact JWE of the padded secret
	AddSecret string `json:"add_secret,omitempty"` // base64url of the request for the Ultravisor
	SecretID  string `json:"secret_id,omitempty"`  // hex: SHA-256 of the resource's path, under which the Ultravisor keeps it
	Release   string `json:"release"`              // session in the log
}

// VerifyReply is the answer to POST /v1/verify.
type VerifyReply struct {
	EAR string `json:"ear"` // the signed result, a JWT
}

// members splits a closed object.
func members(raw []byte, what string, names ...string) (map[string][]byte, error) {
	all, err := jsonx.Object(raw)
	if err != nil {
		return nil, fault.Wrap(err, "%s", what)
	}
	out := make(map[string][]byte, len(all))
	for _, m := range all {
		if !slices.Contains(names, m.Name) {
			return nil, fault.New(fault.Malformed, "%s: member %.40q is not known", what, m.Name)
		}
		out[m.Name] = m.Raw
	}
	return out, nil
}

func text(m map[string][]byte, name string) (string, error) {
	if m[name] == nil {
		return "", fault.New(fault.Malformed, "%s is missing", name)
	}
	s, err := jsonx.String(m[name])
	return s, fault.Wrap(err, "%s", name)
}
