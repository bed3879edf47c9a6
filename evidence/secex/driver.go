package secex

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"slices"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/internal/lru"
)

// Name is the name of the driver and the "tee" of the KBS protocol.
const Name = "se"

// Config of a [Driver].
type Config struct {
	// SealKeys are 32-byte keys that sessions are sealed under when the Verifier keeps no state; the first seals, all
	// open. Without any, Challenge hands the state to the caller (evidence.Challenge.State).
	SealKeys [][]byte
	// Flags ask for additional data; FlagImagePHKH and FlagAttestationPHKH are always added, because the machine and the
	// image's host key must be known.
	Flags Flags
}

// Driver makes challenges and authenticates the answers.
type Driver struct {
	seal  *sealer
	flags Flags
	known *lru.Cache[[32]byte, *material] // verified documents, by all that they were verified with
}

// New checks cfg.
func New(cfg Config) (*Driver, error) {
	d := &Driver{flags: cfg.Flags | FlagNonce | FlagImagePHKH | FlagAttestationPHKH,
		known: lru.New[[32]byte, *material](lru.Config{MaxEntries: 64, MaxBytes: 16 << 20})}
	if d.flags&^knownFlags != 0 {
		return nil, fault.New(fault.Usage, "attestation flags %#016x are not known", uint64(d.flags&^knownFlags))
	}
	for _, k := range cfg.SealKeys {
		if len(k) != 32 {
			return nil, fault.New(fault.Usage, "a seal key has 32 bytes, not %d", len(k))
		}
	}
	if len(cfg.SealKeys) > 0 {
		d.seal = &sealer{keys: slices.Clone(cfg.SealKeys)}
	}
	return d, nil
}

// wire is the challenge as Trustee's guests know it: the text of the nonce (kbs-evidence section 9.1).
type wire struct {
	Request         []byte `json:"request_blob"`
	MeasurementSize int    `json:"measurement_size"`
	AdditionalSize  int    `json:"additional_size"`
	EncryptedKey    []byte `json:"encr_measurement_key"`
	EncryptedNonce  []byte `json:"encr_request_nonce"`
	HeaderTags      []byte `json:"image_hdr_tags"`
}

// Challenge builds a request for every machine whose host key document is among the collateral. The two encr_ members
// are opaque: the sealed session (or 32 random-looking bytes when the caller keeps the state) and the request's digest.
func (d *Driver) Challenge(ctx context.Context, req evidence.ChallengeRequest) (*evidence.Challenge, error) {
	if req.Time.IsZero() || req.Anchors == nil || len(req.Session) < 16 || req.Lifetime <= 0 {
		return nil, fault.New(fault.Internal, "a challenge needs a clock, anchors, a session id of at least 16 bytes and a lifetime")
	}
	mat, err := d.material(ctx, req.Collateral, req.Anchors, req.Time)
	if err != nil {
		return nil, err
	}
	if len(mat.headers) == 0 {
		return nil, errNoHeader()
	}
	cfg := RequestConfig{Flags: d.flags}
	for _, h := range mat.hosts {
		cfg.HostKeys = append(cfg.HostKeys, h.Key)
	}
	r, err := NewRequest(cfg)
	if err != nil {
		return nil, err
	}
	s := session{flags: r.Flags, request: sha256.Sum256(r.Bytes), tags: mat.headers[0].Tags, expiry: req.Time.Add(req.Lifetime), hosts: r.Hosts}
	copy(s.measurementKey[:], r.MeasurementKey)
	copy(s.nonce[:], r.Nonce)
	plain := s.marshal()
	out := new(evidence.Challenge)
	w := wire{Request: r.Bytes, MeasurementSize: measureSize, AdditionalSize: r.Flags.AdditionalSize(), EncryptedNonce: s.request[:], HeaderTags: s.tags[:]}
	if d.seal != nil {
		if w.EncryptedKey, err = d.seal.seal(req.Session, plain); err != nil {
			return nil, err
		}
	} else {
		handle := sha256.Sum256(sealedAAD(append(slices.Clone(req.Session), s.request[:]...)))
		w.EncryptedKey, out.State = handle[:], plain
	}
	if out.Wire, err = json.Marshal(w); err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return out, nil
}

// answer is the evidence as Trustee's guests send it, or as an exchange file carries it.
type answer struct {
	measurement, additional, userData, cuid []byte
	echoedKey, echoedNonce, echoedTags      []byte // nil in exchange files, which echo the whole request
	request                                 []byte // only in exchange files
}

const maxEvidence = 1 << 20

func parseAnswer(b []byte) (*answer, error) {
	if len(b) > maxEvidence {
		return nil, fault.New(fault.Malformed, "SE evidence of %d bytes; at most %d are read", len(b), maxEvidence)
	}
	if len(b) >= 8 && string(b[:8]) == exchangeMagic {
		e, err := ParseExchange(b)
		if err != nil {
			return nil, err
		}
		if !e.IsResponse() {
			return nil, fault.New(fault.Malformed, "exchange file: this is a request, not an answer")
		}
		a := &answer{measurement: e.Measured, additional: e.Additional, userData: e.UserData, cuid: e.CUID, request: e.Request}
		return a, a.check()
	}
	var j struct {
		Measurement    *string `json:"measurement"`
		AdditionalData *string `json:"additional_data"`
		UserData       *string `json:"user_data"`
		CUID           *string `json:"cuid"`
		EncryptedKey   *string `json:"encr_measurement_key"`
		EncryptedNonce *string `json:"encr_request_nonce"`
		HeaderTags     *string `json:"image_hdr_tags"`
	}
	if err := jsonx.Unmarshal(b, &j, false); err != nil {
		return nil, fault.Wrap(err, "SE evidence")
	}
	a := new(answer)
	for _, m := range []struct {
		name string
		text *string
		into *[]byte
	}{{"measurement", j.Measurement, &a.measurement}, {"additional_data", j.AdditionalData, &a.additional}, {"user_data", j.UserData, &a.userData},
		{"cuid", j.CUID, &a.cuid}, {"encr_measurement_key", j.EncryptedKey, &a.echoedKey}, {"encr_request_nonce", j.EncryptedNonce, &a.echoedNonce},
		{"image_hdr_tags", j.HeaderTags, &a.echoedTags}} {
		if m.text == nil {
			return nil, fault.New(fault.Malformed, "SE evidence without %q", m.name)
		}
		v, err := base64.StdEncoding.Strict().DecodeString(*m.text)
		if err != nil {
			return nil, fault.New(fault.Malformed, "SE evidence: %s is not base64: %w", m.name, err)
		}
		*m.into = v
	}
	if len(a.echoedTags) != tagsSize {
		return nil, fault.New(fault.Malformed, "SE evidence: image_hdr_tags of %d bytes, %d are needed", len(a.echoedTags), tagsSize)
	}
	return a, a.check()
}

func (a *answer) check() error {
	switch {
	case len(a.measurement) != measureSize:
		return fault.New(fault.Malformed, "SE evidence: measurement of %d bytes, %d are needed", len(a.measurement), measureSize)
	case len(a.cuid) != cuidSize:
		return fault.New(fault.Malformed, "SE evidence: configuration UID of %d bytes, %d are needed", len(a.cuid), cuidSize)
	case len(a.userData) > maxUserData:
		return fault.New(fault.Malformed, "SE evidence: %d bytes of user data, at most %d are possible", len(a.userData), maxUserData)
	case len(a.additional) > maxAdditional:
		return fault.New(fault.Malformed, "SE evidence: %d bytes of additional data, at most %d are possible", len(a.additional), maxAdditional)
	}
	return nil
}

// Authenticate implements evidence.Driver. The measurement key and nonce come from the session and from nowhere else,
// the header tags from the reference headers among the collateral.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	a, err := parseAnswer(ev.Data)
	if err != nil {
		return nil, err
	}
	s, err := d.session(a, env)
	if err != nil {
		return nil, err
	}
	bound, err := checkUserData(a.userData, env.Binding)
	if err != nil {
		return nil, err
	}
	add, err := ParseAdditional(s.flags, a.additional)
	if err != nil {
		return nil, err
	}
	// "Validity and revocation are judged when the request is built and again when the answer is verified."
	mat, err := d.material(ctx, env.Collateral, env.Anchors, env.Time)
	if err != nil {
		return nil, err
	}
	header, err := matchMeasurement(s, a, mat.headers)
	if err != nil {
		return nil, err
	}
	host, err := checkHosts(s, add, mat.hosts)
	if err != nil {
		return nil, err
	}
	return sealed.New(content(s, a, add, header, host, bound, env)), nil
}

func (d *Driver) session(a *answer, env evidence.Env) (*session, error) {
	plain := env.ChallengeState
	switch {
	case plain != nil && a.request == nil:
		// the handle is all that the guest can echo; the state is the caller's
	case plain != nil:
	case d.seal == nil || a.echoedKey == nil:
		return nil, fault.New(fault.Unavailable, "no state of the challenge: SE evidence can only be verified by who made the request, within its session: the broker that asked, or assay se verify with the request's ARPK")
	default:
		var err error
		if plain, err = d.seal.open(env.Session, a.echoedKey); err != nil {
			return nil, err
		}
	}
	s, err := parseSession(plain)
	if err != nil {
		return nil, err
	}
	if env.Time.After(s.expiry) {
		return nil, fault.New(fault.Binding, "the challenge expired at %s; ask for a new one", day(s.expiry))
	}
	if s.flags&FlagNonce == 0 {
		return nil, fault.New(fault.Binding, "the request had no nonce, so its answer may be a replay")
	}
	if a.request != nil {
		if got := sha256.Sum256(a.request); got != s.request {
			return nil, fault.New(fault.Binding, "the answer belongs to another request")
		}
		return s, nil
	}
	// The echoed members decide nothing, but one that differs shows that the answer is to another challenge.
	if subtle.ConstantTimeCompare(a.echoedNonce, s.request[:]) != 1 {
		return nil, fault.New(fault.Binding, "encr_request_nonce is not the one that was issued: the answer belongs to another request")
	}
	if subtle.ConstantTimeCompare(a.echoedTags, s.tags[:]) != 1 {
		return nil, fault.New(fault.Binding, "image_hdr_tags are not those that were issued")
	}
	return s, nil
}

func checkUserData(user []byte, b evidence.Binding) (evidence.Bound, error) {
	bound, err := b.Check("user data", user)
	if err != nil || b.Unbound() {
		return bound, err
	}
	// Clients send 48 or 64 bytes; a field shorter than the expectation would compare a part of it only.
	if len(user) < b.Len() || len(user) > 64 && len(user) != b.Len() {
		return evidence.Bound{}, fault.New(fault.Binding, "user data have %d bytes; they must hold the whole digest of %d bytes and at most zeros up to 64", len(user), b.Len())
	}
	return bound, nil
}

func matchMeasurement(s *session, a *answer, headers []*Header) (*Header, error) {
	if len(headers) == 0 {
		return nil, errNoHeader()
	}
	var match *Header
	for _, h := range headers {
		want, err := measure(s.measurementKey[:], measurementInput{tags: &h.Tags, cuid: a.cuid, userData: a.userData, nonce: s.nonce[:], additional: a.additional})
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(want, a.measurement) == 1 {
			match = h
		}
	}
	if match == nil {
		return nil, fault.New(fault.Signature, "the measurement is not that of any of the %d reference headers with this session's key: another image is running, or user data, additional data or configuration UID were changed", len(headers))
	}
	return match, nil
}

// checkHosts demands that both host keys that the Ultravisor reports belong to verified documents.
func checkHosts(s *session, add Additional, hosts []HostKey) (*HostKey, error) {
	var answered *HostKey
	for i := range hosts {
		if subtle.ConstantTimeCompare(hosts[i].Hash[:], add.AttestationPHKH) == 1 && slices.Contains(s.hosts, hosts[i].Hash) {
			answered = &hosts[i]
		}
	}
	if answered == nil {
		return nil, fault.New(fault.Signature, "the host key %x that answered does not belong to a host key document of this request", add.AttestationPHKH)
	}
	if !slices.ContainsFunc(hosts, func(h HostKey) bool { return subtle.ConstantTimeCompare(h.Hash[:], add.ImagePHKH) == 1 }) {
		return nil, fault.New(fault.Signature, "the host key %x that opened the image does not belong to a verified host key document", add.ImagePHKH)
	}
	return answered, nil
}

func errNoHeader() error {
	return fault.New(fault.Unavailable, "no reference header: hand over the SE image, or the header cut out of it, with --collateral")
}
