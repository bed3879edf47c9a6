package rcar

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/release/jwe"
)

// Limits of what a stranger may send, in bytes.
const (
	MaxAuthBody   = 16 << 10
	MaxAttestBody = 2 << 20 // payload_request_size of the existing server
	MaxNonce      = 16 << 10
	MaxInitData   = 1 << 20
)

// CookieName is the session cookie. No Path is set, so that it belongs to /kbs/v0 (section 4.1).
const CookieName = "kbs-session-id"

// NonceSize is the length of a nonce in bytes, before base64.
const NonceSize = 32

// Version is a protocol version on the wire.
type Version string

// The versions that deployed guests speak (section 1).
const (
	V010 Version = "0.1.0"
	V011 Version = "0.1.1"
	V020 Version = "0.2.0"
	V040 Version = "0.4.0"
)

// Known reports whether v is served at all.
func (v Version) Known() bool { return v == V010 || v == V011 || v == V020 || v == V040 }

// NamesNonce reports whether the attest body of v carries the nonce; older ones take it from the session.
func (v Version) NamesNonce() bool { return v == V040 }

// Form is the shape of responses.
func (v Version) Form() jwe.Form {
	if v == V010 || v == V011 {
		return jwe.Legacy
	}
	return jwe.RFC7516
}

// Request is the body of auth.
type Request struct {
	Version Version
	TEE     string
	Offer   []Hash // hash algorithms the client can use; nil when it offers none
}

// ParseRequest reads the body of auth. Any JSON is accepted as extra-params (aproxy and old clients send "").
func ParseRequest(body []byte) (Request, error) {
	var r Request
	members, err := jsonx.Object(body)
	if err != nil {
		return r, fault.Wrap(err, "auth request")
	}
	for _, m := range members {
		switch m.Name {
		case "version":
			var s string
			s, err = jsonx.String(m.Raw)
			r.Version = Version(s)
		case "tee":
			r.TEE, err = jsonx.String(m.Raw)
		case "extra-params":
			r.Offer = parseOffer(m.Raw)
		}
		if err != nil {
			return r, fault.Wrap(err, "auth request: %s", m.Name)
		}
	}
	if r.Version == "" || r.TEE == "" {
		return r, fault.New(fault.Malformed, "auth request: version and tee are required")
	}
	return r, nil
}

func parseOffer(raw []byte) []Hash {
	members, err := jsonx.Object(raw)
	if err != nil {
		return nil
	}
	var out []Hash
	for _, m := range members {
		if m.Name != "supported-hash-algorithms" {
			continue
		}
		items, err := jsonx.Array(m.Raw)
		if err != nil {
			return nil
		}
		for _, it := range items {
			if s, err := jsonx.String(it); err == nil {
				if h, ok := ParseHash(s); ok {
					out = append(out, h)
				}
			}
		}
	}
	return out
}

// JSON writes the request as the stock clients do.
func (r Request) JSON() []byte {
	extra := []byte(`""`)
	if len(r.Offer) > 0 {
		extra = []byte(`{"supported-hash-algorithms":[`)
		for i, h := range r.Offer {
			if i > 0 {
				extra = append(extra, ',')
			}
			extra = jcs.AppendString(extra, string(h))
		}
		extra = append(extra, ']', '}')
	}
	out := jcs.AppendString([]byte(`{"version":`), string(r.Version))
	out = jcs.AppendString(append(out, `,"tee":`...), r.TEE)
	return append(append(append(out, `,"extra-params":`...), extra...), '}')
}

// Challenge is the answer to auth.
type Challenge struct {
	Nonce    string // opaque to the client: echoed and hashed as text
	Selected Hash   // "" when nothing was selected; the client then uses SHA-384
}

// JSON writes the challenge; extra-params is "" unless a hash was selected, because clients of 0.1.0 read a string.
func (c Challenge) JSON() []byte {
	out := jcs.AppendString([]byte(`{"nonce":`), c.Nonce)
	out = append(out, `,"extra-params":`...)
	if c.Selected == "" {
		return append(out, `""}`...)
	}
	out = jcs.AppendString(append(out, `{"selected-hash-algorithm":`...), string(c.Selected))
	return append(out, `}}`...)
}

// ParseChallenge reads the answer to auth on the side of the client.
func ParseChallenge(body []byte) (Challenge, error) {
	var c Challenge
	members, err := jsonx.Object(body)
	if err != nil {
		return c, fault.Wrap(err, "challenge")
	}
	for _, m := range members {
		switch m.Name {
		case "nonce":
			if c.Nonce, err = jsonx.String(m.Raw); err != nil {
				return c, fault.Wrap(err, "challenge: nonce")
			}
		case "extra-params":
			sel, err := jsonx.Object(m.Raw)
			if err != nil {
				continue // a string, or nothing
			}
			for _, e := range sel {
				if e.Name != "selected-hash-algorithm" {
					continue
				}
				name, err := jsonx.String(e.Raw)
				h, ok := ParseHash(name)
				if err != nil || !ok {
					return c, fault.New(fault.Unsupported, "challenge: the server selected hash algorithm %.40q, which is not known here", name)
				}
				c.Selected = h
			}
		}
	}
	if c.Nonce == "" || len(c.Nonce) > MaxNonce {
		return c, fault.New(fault.Malformed, "challenge: no usable nonce")
	}
	return c, nil
}

// InitData is the document that the host was told to bind into hardware (section 8).
type InitData struct {
	Format string
	Body   string
}

// Attestation is the body of attest.
type Attestation struct {
	Nonce      string    // "" in versions that do not name it
	Key        *jwe.Key  // checked
	Primary    []byte    // JSON of the TEE's evidence, as carried
	Additional string    // the transmitted string; hashed as text, never as parsed JSON
	InitData   *InitData // nil when absent or null
}

// ParseAttestation reads the body of attest as version v writes it. When it fails after the nonce could be read, the
// returned Attestation still has it, so that the caller can consume the nonce (keylime-broker.md section 6).
func ParseAttestation(v Version, body []byte) (*Attestation, error) {
	a := &Attestation{}
	members, err := jsonx.Object(body)
	if err != nil {
		return a, fault.Wrap(err, "attest request")
	}
	top := byName(members)
	if v != V040 {
		return a, a.parseOld(v, top)
	}
	runtime, err := object(top, "runtime-data")
	if err != nil {
		return a, err
	}
	if a.Nonce, err = str(runtime, "runtime-data", "nonce"); err != nil {
		return a, err
	}
	if a.Key, err = parseKey(runtime["tee-pubkey"]); err != nil {
		return a, err
	}
	ev, err := object(top, "tee-evidence")
	if err != nil {
		return a, err
	}
	if a.Primary = ev["primary_evidence"]; a.Primary == nil {
		return a, fault.New(fault.Malformed, "attest request: tee-evidence.primary_evidence is missing")
	}
	if a.Additional, err = str(ev, "tee-evidence", "additional_evidence"); err != nil {
		return a, err
	}
	if raw := top["init-data"]; raw != nil && !jsonx.IsNull(raw) {
		init, err := object(top, "init-data")
		if err != nil {
			return a, err
		}
		d := &InitData{}
		if d.Format, err = str(init, "init-data", "format"); err != nil {
			return a, err
		}
		if d.Format != "toml" {
			return a, fault.New(fault.Unsupported, "attest request: init-data.format %.20q is not toml", d.Format)
		}
		if d.Body, err = str(init, "init-data", "body"); err != nil {
			return a, err
		}
		a.InitData = d
	}
	return a, nil
}

// parseOld reads the attest body of versions 0.1.0 to 0.2.0 (section 11.1): two members, no nonce, no init-data.
func (a *Attestation) parseOld(v Version, top map[string][]byte) error {
	var err error
	if a.Key, err = parseKey(top["tee-pubkey"]); err != nil {
		return err
	}
	raw := top["tee-evidence"]
	if raw == nil {
		return fault.New(fault.Malformed, "attest request: tee-evidence is missing")
	}
	if v == V010 {
		text, err := jsonx.String(raw)
		if err != nil {
			return fault.Wrap(err, "attest request: tee-evidence of protocol 0.1.0 is a string that holds JSON")
		}
		if err := jsonx.Check([]byte(text)); err != nil {
			return fault.Wrap(err, "attest request: tee-evidence")
		}
		raw = []byte(text)
	}
	a.Primary = raw
	return nil
}

// JSON writes the attest body of version 0.4.0.
func (a *Attestation) JSON() []byte {
	out := []byte(`{"init-data":`)
	if a.InitData == nil {
		out = append(out, "null"...)
	} else {
		out = jcs.AppendString(append(out, `{"format":`...), a.InitData.Format)
		out = append(jcs.AppendString(append(out, `,"body":`...), a.InitData.Body), '}')
	}
	out = jcs.AppendString(append(out, `,"runtime-data":{"nonce":`...), a.Nonce)
	out = append(append(out, `,"tee-pubkey":`...), a.Key.JSON()...)
	out = append(append(out, `},"tee-evidence":{"primary_evidence":`...), a.Primary...)
	return append(jcs.AppendString(append(out, `,"additional_evidence":`...), a.Additional), `}}`...)
}

// IsAproxy reports whether this is the evidence of an SVSM guest behind aproxy: a raw SNP report and a P-521 key. It is
// recognised by its members, not by a version (section 11.3); the pre-image of its binding (66+66+32 bytes, the first
// below 2) cannot be one of the JSON forms.
func (a *Attestation) IsAproxy() bool {
	if a.Key == nil || a.Key.Curve() != "P-521" || a.Additional != "" {
		return false
	}
	members, err := jsonx.Object(a.Primary)
	if err != nil {
		return false
	}
	_, ok := byName(members)["snp-report"]
	return ok
}

// Device is the evidence of one device, from additional_evidence.
type Device struct {
	TEE  TEE
	Data []byte // JSON as carried
}

// Devices splits additional_evidence, sorted by TEE name so that numbering is a function of the input (trustee-superset
// C8). Unknown TEEs and TEEs that may not stand there are errors.
func (a *Attestation) Devices() ([]Device, error) {
	if a.Additional == "" {
		return nil, nil
	}
	if err := jsonx.Check([]byte(a.Additional)); err != nil {
		return nil, fault.Wrap(err, "additional_evidence")
	}
	members, err := jsonx.Object([]byte(a.Additional))
	if err != nil {
		return nil, fault.Wrap(err, "additional_evidence")
	}
	var out []Device
	for _, m := range members {
		tee, ok := ParseTEE(m.Name)
		if !ok {
			return nil, fault.New(fault.Unsupported, "additional_evidence: unknown TEE %.40q", m.Name)
		}
		if tee.Primary && tee.Name != "tpm" {
			return nil, fault.New(fault.Malformed, "additional_evidence: %s is not a device", tee.Name)
		}
		at := len(out)
		for i, d := range out {
			if d.TEE.Name == tee.Name {
				return nil, fault.New(fault.Malformed, "additional_evidence: %s occurs twice", tee.Name)
			}
			if at == len(out) && tee.Name < d.TEE.Name {
				at = i
			}
		}
		out = append(out, Device{})
		copy(out[at+1:], out[at:])
		out[at] = Device{TEE: tee, Data: m.Raw}
	}
	return out, nil
}

// TokenJSON writes the answer to attest.
func TokenJSON(token string) []byte {
	return append(jcs.AppendString([]byte(`{"token":`), token), '}')
}

// EncodeNonce writes 32 random bytes as the clients expect it: standard base64 with padding, 44 characters.
func EncodeNonce(n [NonceSize]byte) string { return base64.StdEncoding.EncodeToString(n[:]) }

// SetCookie writes the session cookie. HttpOnly and Secure do not disturb the clients' cookie jars, a Path would.
func SetCookie(h http.Header, id string, expires time.Time, secure bool) {
	v := CookieName + "=" + id + "; Expires=" + expires.UTC().Format(http.TimeFormat) + "; HttpOnly"
	if secure {
		v += "; Secure"
	}
	h.Add("Set-Cookie", v)
}

// SessionID returns the session cookie of a request; "" when there is none or it is not one of ours.
func SessionID(r *http.Request) string {
	c, err := r.Cookie(CookieName)
	if err != nil || len(c.Value) != 32 || strings.Trim(c.Value, "0123456789abcdef") != "" {
		return ""
	}
	return c.Value
}

// Bearer returns the token of an Authorization header, "" when there is none.
func Bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func parseKey(raw []byte) (*jwe.Key, error) {
	if raw == nil {
		return nil, fault.New(fault.Malformed, "attest request: tee-pubkey is missing")
	}
	k, err := jwe.ParseKey(raw)
	if err == nil && k.Curve() == "P-384" {
		return nil, fault.New(fault.Unsupported, "attest request: tee-pubkey: the KBS protocol knows P-256 and P-521, not P-384")
	}
	return k, err
}

func byName(members []jsonx.Member) map[string][]byte {
	out := make(map[string][]byte, len(members))
	for _, m := range members {
		out[m.Name] = m.Raw
	}
	return out
}

func object(m map[string][]byte, name string) (map[string][]byte, error) {
	raw := m[name]
	if raw == nil {
		return nil, fault.New(fault.Malformed, "attest request: %s is missing", name)
	}
	members, err := jsonx.Object(raw)
	if err != nil {
		return nil, fault.Wrap(err, "attest request: %s", name)
	}
	return byName(members), nil
}

func str(m map[string][]byte, where, name string) (string, error) {
	raw := m[name]
	if raw == nil {
		return "", fault.New(fault.Malformed, "attest request: %s.%s is missing", where, name)
	}
	s, err := jsonx.String(raw)
	return s, fault.Wrap(err, "attest request: %s.%s", where, name)
}
