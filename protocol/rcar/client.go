package rcar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/release/jwe"
)

// Source collects evidence on the side of the Attester.
type Source interface {
	// TEE is the TEE string of the evidence ("snp").
	TEE() string
	// Primary returns the JSON of primary_evidence, bound to digest in the way of the TEE (section 7).
	Primary(ctx context.Context, digest []byte) ([]byte, error)
}

// DeviceSource is a Source that also has devices.
type DeviceSource interface {
	// Devices returns additional_evidence as it is to be transmitted, "" when there are none.
	Devices(ctx context.Context, digest []byte) (string, error)
}

// ClientConfig configures a [Client].
type ClientConfig struct {
	URL      string       // of the broker, without /kbs/v0
	Source   Source       // where evidence comes from
	HTTP     *http.Client // nil for http.DefaultClient; it carries timeouts and roots
	KeyKind  string       // key to make: "P-256" (the default), "P-521", "RSA", "ML-KEM-768"
	Key      *jwe.PrivateKey
	InitData string // TOML text that the host bound into hardware, "" when none
}

// Client does the handshake of protocol 0.4.0 and fetches resources. It is not safe for concurrent use: it is one
// session with one key.
type Client struct {
	cfg    ClientConfig
	base   string
	priv   jwe.PrivateKey
	pub    *jwe.Key
	cookie string
}

// NewClient checks cfg and makes the key pair that the evidence will bind.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fault.New(fault.Usage, "broker URL %q: expected http(s)://host[:port]", cfg.URL)
	}
	if cfg.Source == nil {
		return nil, fault.New(fault.Internal, "rcar.ClientConfig without a Source")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.KeyKind == "" {
		cfg.KeyKind = "P-256"
	}
	c := &Client{cfg: cfg, base: strings.TrimSuffix(cfg.URL, "/") + "/kbs/v0"}
	if cfg.Key != nil {
		c.priv = *cfg.Key
	} else if c.priv, err = jwe.Generate(cfg.KeyKind); err != nil {
		return nil, err
	}
	c.pub, err = c.priv.Public()
	return c, err
}

// Key returns the public key that evidence binds.
func (c *Client) Key() *jwe.Key { return c.pub }

// Attest does auth and attest, and returns the token. The session stays with the client for [Client.Get].
func (c *Client) Attest(ctx context.Context) (string, error) {
	c.cookie = ""
	req := Request{Version: V040, TEE: c.cfg.Source.TEE(), Offer: []Hash{SHA256, SHA384, SHA512, SM3}}
	body, err := c.do(ctx, http.MethodPost, c.base+"/auth", req.JSON(), "")
	if err != nil {
		return "", fault.Wrap(err, "auth")
	}
	ch, err := ParseChallenge(body)
	if err != nil {
		return "", err
	}
	a := &Attestation{Nonce: ch.Nonce, Key: c.pub}
	if c.cfg.InitData != "" {
		a.InitData = &InitData{Format: "toml", Body: c.cfg.InitData}
	}
	if d, ok := c.cfg.Source.(DeviceSource); ok {
		if a.Additional, err = d.Devices(ctx, DeviceDigest(ch.Selected, ch.Nonce, c.pub)); err != nil {
			return "", fault.Wrap(err, "collecting device evidence")
		}
	}
	if a.Primary, err = c.cfg.Source.Primary(ctx, PrimaryDigest(ch.Selected, ch.Nonce, c.pub, a.Additional)); err != nil {
		return "", fault.Wrap(err, "collecting evidence")
	}
	if err := jsonx.Check(a.Primary); err != nil {
		return "", fault.Wrap(err, "collected evidence")
	}
	if body, err = c.do(ctx, http.MethodPost, c.base+"/attest", a.JSON(), ""); err != nil {
		return "", fault.Wrap(err, "attest")
	}
	m, err := jsonx.Object(body)
	if err != nil {
		return "", fault.Wrap(err, "the answer to attest")
	}
	return jsonx.String(byName(m)["token"])
}

var resourcePath = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9_.-]*(/[a-zA-Z0-9_-][a-zA-Z0-9_.-]*){2}$`)

// ValidResource reports whether path is repository/type/tag (section 14).
func ValidResource(path string) bool { return len(path) <= 768 && resourcePath.MatchString(path) }

// Get fetches a resource (repository/type/tag) and opens it. It needs [Client.Attest] before, or a bearer token for
// the client's key.
func (c *Client) Get(ctx context.Context, path, bearer string) ([]byte, error) {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "kbs://"), "/")
	if !ValidResource(path) {
		return nil, fault.New(fault.Usage, "resource %q is not of the form repository/type/tag", path)
	}
	if c.cookie == "" && bearer == "" {
		return nil, fault.New(fault.Usage, "attest first, or give a token")
	}
	body, err := c.do(ctx, http.MethodGet, c.base+"/resource/"+path, nil, bearer)
	if err != nil {
		return nil, fault.Wrap(err, "resource %s", path)
	}
	secret, err := jwe.Decrypt(c.priv, body)
	return secret, fault.Wrap(err, "resource %s", path)
}

func (c *Client) do(ctx context.Context, method, target string, body []byte, bearer string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.cookie != "" {
		req.AddCookie(&http.Cookie{Name: CookieName, Value: c.cookie})
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = fmt.Errorf("%s %s: %w", ue.Op, ue.URL, ue.Err)
		}
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
	for _, k := range resp.Cookies() {
		if k.Name == CookieName {
			c.cookie = k.Value
		}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, parseError(resp.StatusCode, out)
	}
	return out, nil
}
