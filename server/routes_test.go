package server_test

import (
	"crypto/sha256"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/assay-tee/assay/server"
)

// TestAuthorizationMatrix: every route times every role, and nobody.
func TestAuthorizationMatrix(t *testing.T) {
	w := newWorld(t, func(c *server.Config) {
		for _, r := range server.Roles() {
			c.Admins = append(c.Admins, server.Admin{Name: string(r), TokenSHA256: sha256.Sum256([]byte("token of " + r)), Roles: []server.Role{r}})
		}
	})
	const all = "admin auditor provisioner policy-author relying-party "
	matrix := map[string]string{
		"POST /kbs/v0/resource/a/b/c":     "admin provisioner ",
		"DELETE /kbs/v0/resource/a/b/c":   "admin provisioner ",
		"GET /v1/secrets":                 "admin auditor provisioner ",
		"PUT /v1/secrets/a/b/c":           "admin provisioner ",
		"DELETE /v1/secrets/a/b/c":        "admin provisioner ",
		"GET /v1/tickets":                 "admin auditor provisioner ",
		"POST /v1/tickets":                "admin provisioner ",
		"POST /v1/tickets/x/revoke":       "admin provisioner ",
		"POST /kbs/v0/resource-policy":    "admin policy-author ",
		"GET /kbs/v0/resource-policy":     "admin auditor policy-author ",
		"POST /kbs/v0/attestation-policy": "admin policy-author ",
		"POST /kbs/v0/reference-value":    "admin policy-author ",
		"GET /kbs/v0/reference-value/x":   "admin auditor policy-author ",
		"GET /v1/policies":                "admin auditor policy-author ",
		"GET /v1/policies/x":              "admin auditor policy-author ",
		"PUT /v1/policies/x":              "admin policy-author ",
		"DELETE /v1/policies/x":           "admin policy-author ",
		"GET /v1/statements":              "admin auditor policy-author ",
		"GET /v1/statements/x":            "admin auditor policy-author ",
		"PUT /v1/statements/x":            "admin policy-author ",
		"DELETE /v1/statements/x":         "admin policy-author ",
		"GET /v1/log/checkpoint":          "admin auditor ",
		"GET /v1/log/leaves":              "admin auditor ",
		"GET /v1/log":                     "admin auditor ",
		"GET /v1/machines":                "admin auditor provisioner ",
		"GET /v1/machines/x":              "admin auditor provisioner ",
		"POST /v1/machines/x/clear":       "admin ",
	}
	// What guests and strangers may call: evidence, or a token, decides there.
	forAll := []string{
		"GET /healthz", "GET /readyz", "GET /metrics", "GET /.well-known/jwks.json",
		"POST /kbs/v0/auth", "POST /kbs/v0/attest", "GET /kbs/v0/resource/{path...}", " /kbs/v0/",
		"POST /v1/nonce", "POST /v1/verify", "POST /v1/release",
	}
	covered := 0
	for _, rt := range w.srv.Routes() {
		if rt.Permission == "" {
			if !slices.Contains(forAll, rt.Method+" "+rt.Pattern) {
				t.Errorf("%s %s is open to everybody; is that meant?", rt.Method, rt.Pattern)
			}
			continue
		}
		found := false
		for line, may := range matrix {
			method, path, _ := strings.Cut(line, " ")
			if method != rt.Method || !matches(rt.Pattern, path) {
				continue
			}
			found = true
			covered++
			for _, role := range strings.Fields(all) {
				status, out := w.callAs("token of "+role, method, path, "{}")
				denied := strings.Contains(string(out), "lacks the permission") || strings.Contains(string(out), "/errors/AdminAuth")
				if denied == strings.Contains(may, role+" ") {
					t.Errorf("%s as %s: %d %s", line, role, status, out)
				}
			}
			for _, token := range []string{"", "wrong"} {
				if status, out := w.callAs(token, method, path, "{}"); status != http.StatusUnauthorized {
					t.Errorf("%s with token %q: %d %s", line, token, status, out)
				}
			}
		}
		if !found {
			t.Errorf("%s %s is in no line of the matrix", rt.Method, rt.Pattern)
		}
	}
	if covered != len(matrix) {
		t.Errorf("%d lines of the matrix have a route, of %d", covered, len(matrix))
	}
}

func matches(pattern, path string) bool {
	prefix, _, wild := strings.Cut(pattern, "{path...}")
	if wild {
		return strings.HasPrefix(path, prefix)
	}
	return strings.NewReplacer("{id}", "x", "{id...}", "x").Replace(pattern) == path
}

func TestNoAdministratorsNoAdministration(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Admins = nil })
	for _, token := range []string{"", adminToken} {
		if status, out := w.callAs(token, "GET", "/v1/secrets", ""); status != http.StatusUnauthorized {
			t.Errorf("%d %s", status, out)
		}
	}
}

func TestSecretsNeverComeBack(t *testing.T) {
	w := newWorld(t, nil)
	w.put("a/b/c", "", "very secret value")
	w.put("a/b/c", "?one_shot=true", "very secret value 2")
	w.put("a/b/c", "", "very secret value 3")
	status, out := w.call("GET", "/v1/secrets", "")
	if status != 200 || strings.Contains(string(out), "very") || !strings.Contains(string(out), `"version":3,"one_shot":true`) {
		t.Errorf("%d %s", status, out)
	}
	if status, out := w.call("PUT", "/v1/secrets/a/b/c?one_shot=maybe", "x"); status != 400 || !strings.Contains(string(out), `"class":"usage"`) {
		t.Errorf("%d %s", status, out)
	}
	if status, _ := w.call("DELETE", "/v1/secrets/a/b/c", ""); status != 204 {
		t.Error(status)
	}
	if status, out := w.call("DELETE", "/v1/secrets/a/b/c", ""); status != 404 || !strings.Contains(string(out), `"reason":"secret_missing"`) {
		t.Errorf("%d %s", status, out)
	}
}

func TestServeAndShutdown(t *testing.T) {
	w := newWorld(t, nil)
	srv, err := server.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/.well-known/jwks.json")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	resp.Body.Close()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
