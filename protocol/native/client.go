package native

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/release/jwe"
)

// Source collects evidence on the side of the Attester.
type Source interface {
	// TEE is the name of the TEE ("snp").
	TEE() string
	// Evidence returns evidence whose field for this purpose is reportData, all of it, and what belongs beside it.
	// challenge is what the broker sent for TEEs that answer a request of the verifier, else nil.
	Evidence(ctx context.Context, reportData [DigestSize]byte, challenge []byte) (ev Item, collateral []Item, err error)
}

// ClientConfig configures a [Client].
type ClientConfig struct {
	URL     string       // of the broker, without /v1
	Source  Source       // where evidence comes from
	HTTP    *http.Client // nil for http.DefaultClient; it carries timeouts and roots
	KeyKind string       // key to make for each exchange: "P-256" (the default), "P-384", "P-521", "RSA"
	// Repeats is how often a request for a release is sent again when its reply is lost; the broker answers the identical
	// request with the identical reply. 0 means 2, negative never.
	Repeats int
}

// Client does exchanges on this wire, each in a session and with a key of its own. It is safe for concurrent use if its
// Source is.
type Client struct {
	cfg  ClientConfig
	base string
}

// NewClient checks cfg.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.New(fault.Usage, "broker URL %q: expected http(s)://host[:port]", cfg.URL)
	}
	if cfg.Source == nil {
		return nil, fault.New(fault.Internal, "native.ClientConfig without a Source")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.KeyKind == "" {
		cfg.KeyKind = "P-256"
	}
	if cfg.Repeats == 0 {
		cfg.Repeats = 2
	}
	return &Client{cfg: cfg, base: strings.TrimSuffix(cfg.URL, "/") + "/v1"}, nil
}

// Verify returns the broker's signed result about this machine.
func (c *Client) Verify(ctx context.Context) (ear string, err error) {
	_, body, err := c.begin(ctx, Verify, "", "")
	if err != nil {
		return "", err
	}
	out, err := c.post(ctx, "/verify", body)
	if err != nil {
		return "", err
	}
	var r VerifyReply
	return r.EAR, fault.Wrap(readReply(out, &r), "the answer to verify")
}

// Get has a secret released and opens it.
func (c *Client) Get(ctx context.Context, resource string) ([]byte, error) {
	r, key, err := c.release(ctx, resource, JWE)
	if err != nil {
		return nil, err
	}
	secret, err := jwe.DecryptCompact(key, []byte(r.Secret))
	return secret, fault.Wrap(err, "resource %s", resource)
}

// AddSecret has a secret released as a request for the Ultravisor below this guest, which keeps it under id.
func (c *Client) AddSecret(ctx context.Context, resource string) (request, id []byte, err error) {
	r, _, err := c.release(ctx, resource, AddSecret)
	if err != nil {
		return nil, nil, err
	}
	if request, err = Decode("add_secret", r.AddSecret); err != nil {
		return nil, nil, err
	}
	if id, err = hex.DecodeString(r.SecretID); err != nil {
		return nil, nil, fault.New(fault.Malformed, "secret_id is not hex")
	}
	return request, id, nil
}

func (c *Client) release(ctx context.Context, resource string, form Form) (*ReleaseReply, jwe.PrivateKey, error) {
	r, key, lost, err := c.tryRelease(ctx, resource, form)
	if lost && fault.Is(err, fault.Stale) {
		// The lost reply was that of a secret without a ticket: another exchange may have it.
		r, key, _, err = c.tryRelease(ctx, resource, form)
	}
	return r, key, fault.Wrap(err, "resource %s", resource)
}

// tryRelease is one exchange; lost says that a reply of it was lost.
func (c *Client) tryRelease(ctx context.Context, resource string, form Form) (r *ReleaseReply, key jwe.PrivateKey, lost bool, err error) {
	key, body, err := c.begin(ctx, Release, resource, form)
	if err != nil {
		return nil, key, false, err
	}
	var out []byte
	for n := 0; ; n++ {
		out, err = c.post(ctx, "/release", body)
		if err == nil || !fault.Is(err, fault.Unavailable) || n >= c.cfg.Repeats || ctx.Err() != nil {
			break
		}
		lost = true
	}
	if err != nil {
		return nil, key, lost, err
	}
	r = new(ReleaseReply)
	return r, key, lost, fault.Wrap(readReply(out, r), "the answer to release")
}

// begin asks for a nonce and makes the body that answers it.
func (c *Client) begin(ctx context.Context, p Purpose, resource string, form Form) (jwe.PrivateKey, []byte, error) {
	key, err := jwe.Generate(c.cfg.KeyKind)
	if err != nil {
		return key, nil, err
	}
	pub, err := key.Public()
	if err != nil {
		return key, nil, err
	}
	tee := c.cfg.Source.TEE()
	ask, err := json.Marshal(struct {
		TEE     string  `json:"tee"`
		Purpose Purpose `json:"purpose"`
	}{tee, p})
	if err != nil {
		return key, nil, fault.As(fault.Internal, err)
	}
	out, err := c.post(ctx, "/nonce", ask)
	if err != nil {
		return key, nil, err
	}
	var r NonceReply
	if err := readReply(out, &r); err != nil {
		return key, nil, fault.Wrap(err, "the answer to nonce")
	}
	bind := Binding{TEE: tee, Purpose: p, Key: pub}
	var challenge []byte
	if err := fixed("session", r.Session, bind.Session[:]); err != nil {
		return key, nil, err
	}
	if err := fixed("nonce", r.Nonce, bind.Nonce[:]); err != nil {
		return key, nil, err
	}
	if r.Challenge != nil {
		if challenge, err = Decode("challenge", r.Challenge.Value); err != nil {
			return key, nil, err
		}
	}
	rd, err := bind.ReportData()
	if err != nil {
		return key, nil, err
	}
	s := Submission{Session: bind.Session, TEE: tee, Key: pub, Resource: resource, Form: form}
	if s.Evidence, s.collateral, err = c.cfg.Source.Evidence(ctx, rd, challenge); err != nil {
		return key, nil, fault.Wrap(err, "collecting evidence")
	}
	body, err := s.JSON()
	return key, body, err
}

func fixed(name, text string, into []byte) error {
	b, err := Decode(name, text)
	if err == nil && len(b) != len(into) {
		err = fault.New(fault.Malformed, "%s has %d bytes, not %d", name, len(b), len(into))
	}
	copy(into, b)
	return err
}

func (c *Client) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the broker cannot be reached: %w", err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, jwe.MaxSize+1))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the broker's answer breaks off: %w", err)
	}
	if len(out) > jwe.MaxSize {
		return nil, fault.New(fault.Malformed, "the broker's answer is longer than %d bytes", jwe.MaxSize)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.StatusCode, out)
	}
	return out, nil
}

// Refusal is a problem document that the broker answered with.
type Refusal struct {
	Status                         int
	Class, Reason, Detail, Request string
}

func (r *Refusal) Error() string {
	return r.Detail + " (" + r.Reason + ", request " + r.Request + ")"
}

func refusal(status int, body []byte) error {
	r := &Refusal{Status: status}
	if err := readReply(body, r); err != nil {
		return fault.New(fault.Unavailable, "the broker answered %d without a problem document", status)
	}
	class, ok := fault.ClassByName(r.Class)
	if !ok {
		class = fault.Denied
	}
	return fault.New(class, "the broker refused: %w", r)
}

// reply is what a broker answers with.
type reply interface {
	*NonceReply | *ReleaseReply | *VerifyReply | *Refusal
}

// readReply reads an answer; members that a later broker adds are passed over.
func readReply[T reply](body []byte, into T) error { return jsonx.Unmarshal(body, into, false) }
