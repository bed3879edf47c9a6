package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
)

// adminClient speaks the administration API of a server.
type adminClient struct {
	base  string
	token string
	http  *http.Client
}

// adminFlags are the flags that every administrative verb has.
type adminFlags struct {
	server, tokenFile, format string
}

func (f *adminFlags) add(a *app, cmds ...*cobra.Command) {
	for _, c := range cmds {
		c.Flags().StringVar(&f.server, "server", "http://127.0.0.1:8080", "`URL` of the server")
		c.Flags().StringVar(&f.tokenFile, "token-file", filepath.Join(stateDir(a.getenv), "admin.token"), "`FILE` with the administrator's bearer token")
		c.Flags().StringVar(&f.format, "format", "text", "`text` or json")
	}
}

func (f *adminFlags) client() (*adminClient, error) {
	u, err := url.Parse(f.server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fault.New(fault.Usage, "--server %q is not an http or https address", f.server)
	}
	b, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return nil, fault.New(fault.Usage, "no administrator's token: %w (the server writes admin.token into its state directory)", err)
	}
	return &adminClient{base: strings.TrimSuffix(f.server, "/"), token: strings.TrimSpace(string(b)), http: &http.Client{Timeout: time.Minute}}, nil
}

const maxAnswer = 16 << 20 // bytes

// do sends one request and decodes a JSON answer into out unless that is nil.
func (c *adminClient) do(ctx context.Context, method, path string, body []byte, out jsonValue) error {
	b, err := c.send(ctx, method, path, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fault.New(fault.Unavailable, "the answer is not what this version understands: %w", err)
	}
	return nil
}

// fetch returns the bytes of an answer.
func (c *adminClient) fetch(ctx context.Context, path string) ([]byte, error) {
	return c.send(ctx, "GET", path, nil)
}

func (c *adminClient) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.New(fault.Usage, "%w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the server does not answer: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "the answer breaks off: %w", err)
	}
	if resp.StatusCode >= 300 {
		return nil, problemError(resp.StatusCode, b)
	}
	return b, nil
}

// problemError turns problem details (RFC 9457) back into an error of their class.
func problemError(status int, body []byte) error {
	var p struct{ Type, Title, Detail, Class string }
	if json.Unmarshal(body, &p) == nil {
		for _, r := range fault.Table() {
			if p.Type == r.ProblemType || (p.Class != "" && p.Class == r.Name) {
				return fault.New(r.Class, "%s", cmp(p.Detail, p.Title))
			}
		}
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return fault.New(fault.Denied, "the server refused: %s", cmp(p.Detail, http.StatusText(status)))
	}
	return fault.New(fault.Unavailable, "the server answered %d %s", status, cmp(p.Detail, http.StatusText(status)))
}

func cmp(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
