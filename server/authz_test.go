package server_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/server"
)

type adminVectors struct {
	Config struct {
		Providers []struct {
			Issuer, Audience string
			PEM              string `json:"public_key_pem"`
		} `json:"identity_providers"`
		ACLs []struct {
			Role    string
			Allowed string `json:"allowed_endpoints"`
		}
	}
	Cases []struct {
		Name, Token, Expect string
		URI                 string `json:"request_uri"`
		Error               string `json:"error_contains"`
	}
	Patterns []struct {
		Pattern string
		Valid   bool
	} `json:"acl_patterns"`
}

func TestAdminJWT(t *testing.T) {
	var v adminVectors
	readVectors(t, "kbs/admin-jwt.json", &v)
	var auth server.Authorization
	for _, p := range v.Config.Providers {
		block, _ := pem.Decode([]byte(p.PEM))
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		auth.Providers = append(auth.Providers, server.Provider{Issuer: p.Issuer, Audience: p.Audience, Keys: []crypto.PublicKey{key}})
	}
	for _, a := range v.Config.ACLs {
		auth.ACLs = append(auth.ACLs, server.ACL{Role: a.Role, AllowedEndpoints: a.Allowed})
	}
	w := newWorld(t, func(c *server.Config) { c.Authorization = auth })
	for _, tc := range v.Cases {
		method := "POST"
		if strings.Contains(tc.URI, "reference-value") {
			method = "GET"
		}
		status, out := w.callAs(tc.Token, method, tc.URI, "x")
		denied := strings.Contains(string(out), "/errors/AdminAuth")
		if denied != (tc.Expect == "deny") || denied && (status != http.StatusUnauthorized || !strings.Contains(string(out), tc.Error)) {
			t.Errorf("%s: %d %s", tc.Name, status, out)
		}
	}
	for _, p := range v.Patterns {
		cfg := w.cfg
		cfg.Authorization = server.Authorization{ACLs: []server.ACL{{Role: "x", AllowedEndpoints: p.Pattern}}}
		s, err := server.New(cfg)
		if (err == nil) != p.Valid || err != nil && !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", p.Pattern, err)
		}
		if s != nil {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAuthorizationModes(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Authorization.Mode = server.DenyAll })
	if status, out := w.call("POST", "/kbs/v0/resource/a/b/c", "x"); status != 401 || !strings.Contains(string(out), "DenyAll authorization_mode is enabled") {
		t.Errorf("%d %s", status, out)
	}
	w = newWorld(t, func(c *server.Config) { c.Authorization.Mode = server.InsecureAllowAll })
	if status, out := w.callAs("", "POST", "/kbs/v0/resource/a/b/c", "x"); status != 200 || len(out) != 0 {
		t.Errorf("%d %s", status, out)
	}
	if _, out := w.callAs("", "GET", "/v1/log", ""); !strings.Contains(string(out), "InsecureAllowAll") {
		t.Errorf("the audit line does not say that anybody could have done it: %s", out)
	}
	cfg := w.cfg
	cfg.Authorization.Mode = "nonsense"
	if _, err := server.New(cfg); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}
