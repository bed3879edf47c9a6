package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

func reason(err error) string {
	var we *rcar.WireError
	if errors.As(err, &we) {
		return we.Reason
	}
	return ""
}

func TestAGuestGetsASecret(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	c := w.client(simulator.GuestConfig{Measurement: good})
	token, err := c.Attest(t.Context())
	if err != nil || strings.Count(token, ".") != 2 {
		t.Fatalf("%q %v", token, err)
	}
	for range 2 {
		got, err := c.Get(t.Context(), "default/key/1", "")
		if err != nil || string(got) != "the secret" {
			t.Fatalf("%q %v", got, err)
		}
	}
	if got, err := c.Get(t.Context(), "kbs:///default/key/1", ""); err != nil || string(got) != "the secret" {
		t.Fatalf("%q %v", got, err)
	}
}

// TestRefusals: the same handshake with one thing wrong each.
func TestRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	for _, tc := range []struct {
		name   string
		guest  simulator.GuestConfig
		class  fault.Class
		reason string
	}{
		{"unknown measurement", simulator.GuestConfig{Measurement: bad}, fault.Denied, "policy_denied"},
		{"debug", simulator.GuestConfig{Measurement: good, Policy: 0x30000 | 1<<19}, fault.Denied, "policy_denied"},
		{"VMPL 1", simulator.GuestConfig{Measurement: good, VMPL: 1}, fault.Denied, "policy_denied"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := w.client(tc.guest)
			if _, err := c.Attest(t.Context()); err != nil {
				t.Fatalf("authentic evidence is attested, whatever the verdict: %v", err)
			}
			got, err := c.Get(t.Context(), "default/key/1", "")
			if !fault.Is(err, tc.class) || reason(err) != tc.reason {
				t.Errorf("%q %v (%s)", got, err, reason(err))
			}
		})
	}
	t.Run("forged", func(t *testing.T) {
		c := w.client(simulator.GuestConfig{Measurement: good, Change: func(r *simulator.Report) {
			r.MutateSigned = func(b []byte) { b[0x90] ^= 1 }
		}})
		if _, err := c.Attest(t.Context()); !fault.Is(err, fault.Signature) {
			t.Error(err)
		}
		if _, err := c.Get(t.Context(), "default/key/1", ""); err == nil {
			t.Error("released to forged evidence")
		}
	})
	t.Run("bound to another key", func(t *testing.T) {
		c := w.client(simulator.GuestConfig{Measurement: good, Change: func(r *simulator.Report) { r.ReportData[0] ^= 1 }})
		if _, err := c.Attest(t.Context()); !fault.Is(err, fault.Binding) {
			t.Error(err)
		}
	})
	t.Run("missing resource", func(t *testing.T) {
		c := w.client(simulator.GuestConfig{Measurement: good})
		if _, err := c.Attest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), "default/key/none", ""); reason(err) != "secret_missing" {
			t.Error(err)
		}
	})
}

func TestOneShot(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "once")
	attested := func(cfg simulator.GuestConfig) *rcar.Client {
		c := w.client(cfg)
		if _, err := c.Attest(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	get := func(c *rcar.Client) (string, string) {
		b, err := c.Get(t.Context(), "default/key/1", "")
		if err != nil {
			return "", reason(err)
		}
		return string(b), ""
	}
	a := attested(simulator.GuestConfig{Measurement: good, HostData: [32]byte{0xaa}})
	if s, r := get(a); s != "" || r != "ticket_missing" {
		t.Fatalf("without a ticket: %q %s", s, r)
	}
	w.ticket(`{"resource":"default/key/1","where":[{"claim":"host_data","equals":"bb00000000000000000000000000000000000000000000000000000000000000"}]}`)
	if s, r := get(a); s != "" || r != "ticket_missing" {
		t.Fatalf("with another machine's ticket: %q %s", s, r)
	}
	w.ticket(`{"resource":"default/key/1","subject":"vm-a","where":[{"claim":"host-data","equals":"AA00000000000000000000000000000000000000000000000000000000000000"}]}`)
	if s, r := get(a); s != "once" {
		t.Fatalf("with its ticket: %q %s", s, r)
	}
	if s, r := get(a); s != "once" {
		t.Fatalf("again inside the window: %q %s", s, r)
	}
	b := attested(simulator.GuestConfig{Measurement: good, HostData: [32]byte{0xaa}})
	if s, r := get(b); s != "" || r != "ticket_used" {
		t.Fatalf("another session: %q %s", s, r)
	}
	w.clock.add(2 * time.Minute)
	if s, r := get(a); s != "" || r != "ticket_used" {
		t.Fatalf("after the window: %q %s", s, r)
	}
	// The log says all of it.
	_, out := w.call("GET", "/v1/log?limit=1000", "")
	for _, want := range []string{`"kind":"release"`, `"kind":"resend"`, `"event":"clone_suspect"`, `"reason":"ticket_used"`, `"subject":"vm-a"`, `"actor":"root"`} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the log has no %s", want)
		}
	}
	if bytes.Contains(out, []byte("once")) {
		t.Error("the log has the secret")
	}
}

// TestParallelReleases: 100 sessions, one ticket, one secret.
func TestParallelReleases(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "?one_shot=true", "once")
	w.ticket(`{"resource":"default/key/1"}`)
	g := w.guest(simulator.GuestConfig{Measurement: good})
	var got, spent atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		c := w.clientOf(g)
		wg.Go(func() {
			if _, err := c.Attest(t.Context()); err != nil {
				t.Error(err)
				return
			}
			s, err := c.Get(t.Context(), "default/key/1", "")
			switch {
			case err == nil && string(s) == "once":
				got.Add(1)
			case fault.Is(err, fault.Spent):
				spent.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 || spent.Load() != 99 {
		t.Errorf("%d got it, %d were refused", got.Load(), spent.Load())
	}
}

// raw does one request of the KBS protocol by hand.
func (w *world) raw(method, path, cookie, body string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if cookie != "" {
		req.Header.Set("Cookie", rcar.CookieName+"="+cookie)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(out)
}

const authBody = `{"version":"0.4.0","tee":"snp","extra-params":""}`

func (w *world) auth(body, cookie string) (session, nonce string) {
	w.t.Helper()
	resp, out := w.raw("POST", "/kbs/v0/auth", cookie, body)
	var ch struct{ Nonce string }
	if resp.StatusCode != 200 || json.Unmarshal([]byte(out), &ch) != nil {
		w.t.Fatalf("%d %s", resp.StatusCode, out)
	}
	for _, k := range resp.Cookies() {
		if k.Name == rcar.CookieName {
			session = k.Value
		}
	}
	return session, ch.Nonce
}

// attestBody is evidence of g for that nonce, bound to key.
func (w *world) attestBody(g *simulator.Guest, nonce string, key *jwe.Key) string {
	w.t.Helper()
	at, err := g.Attester()
	if err != nil {
		w.t.Fatal(err)
	}
	prim, err := source{at}.Primary(w.t.(*testing.T).Context(), rcar.PrimaryDigest("", nonce, key, ""))
	if err != nil {
		w.t.Fatal(err)
	}
	return string((&rcar.Attestation{Nonce: nonce, Key: key, Primary: prim}).JSON())
}

func newKey(t *testing.T) *jwe.Key {
	p, err := jwe.Generate("P-256")
	if err != nil {
		t.Fatal(err)
	}
	k, err := p.Public()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCookieAndChallengeForm(t *testing.T) {
	w := newWorld(t, nil)
	resp, out := w.raw("POST", "/kbs/v0/auth", "", authBody)
	c := resp.Header.Get("Set-Cookie")
	id, rest, _ := strings.Cut(strings.TrimPrefix(c, "kbs-session-id="), ";")
	if len(id) != 32 || id[12] != '4' || strings.Trim(id, "0123456789abcdef") != "" || !strings.Contains(rest, "Expires=") || strings.Contains(rest, "Path") {
		t.Errorf("Set-Cookie: %s", c)
	}
	if !strings.HasPrefix(out, `{"nonce":"`) || !strings.HasSuffix(out, `=","extra-params":""}`) || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s", out)
	}
}

// TestANonceIsUsedOnce: whatever becomes of the first evidence, there is no second.
func TestANonceIsUsedOnce(t *testing.T) {
	w := newWorld(t, nil)
	g, key := w.guest(simulator.GuestConfig{Measurement: good}), newKey(t)
	session, nonce := w.auth(authBody, "")
	body := w.attestBody(g, nonce, key)
	if resp, out := w.raw("POST", "/kbs/v0/attest", session, body); resp.StatusCode != 200 {
		t.Fatalf("%s", out)
	}
	refused := func(what, session, body, reason string) {
		t.Helper()
		resp, out := w.raw("POST", "/kbs/v0/attest", session, body)
		if resp.StatusCode != 401 || !strings.Contains(out, "RCAR handshake Attest failed") || !strings.Contains(out, `"reason":"`+reason+`"`) {
			t.Errorf("%s: %d %s", what, resp.StatusCode, out)
		}
	}
	refused("replay", session, body, "nonce_used")
	s2, n2 := w.auth(authBody, "")
	refused("evidence of another session", s2, body, "nonce_unknown")
	swapped := strings.Replace(body, nonce, n2, 1)
	refused("old evidence under a new nonce", s2, swapped, "binding")
	refused("second try on a failed session", s2, w.attestBody(g, n2, key), "nonce_used")
	s3, n3 := w.auth(authBody, "")
	refused("malformed evidence that names the nonce", s3, `{"runtime-data":{"nonce":"`+n3+`","tee-pubkey":{}},"tee-evidence":{}}`, "malformed")
	refused("good evidence after it", s3, w.attestBody(g, n3, key), "nonce_used")
	s4, n4 := w.auth(authBody, "")
	refused("no JSON", s4, `{`, "malformed")
	if resp, out := w.raw("POST", "/kbs/v0/attest", s4, w.attestBody(g, n4, key)); resp.StatusCode != 200 {
		t.Errorf("a body that names no nonce must not consume it: %s", out)
	}
	refused("no cookie", "", body, "nonce_unknown")
	refused("unknown cookie", strings.Repeat("a", 32), body, "nonce_expired")
	s5, n5 := w.auth(authBody, "")
	late := w.attestBody(g, n5, key)
	w.clock.add(6 * time.Minute)
	refused("too late", s5, late, "nonce_expired")
}

func TestAuthAlwaysGivesAFreshSession(t *testing.T) {
	w := newWorld(t, nil)
	s1, n1 := w.auth(authBody, "")
	s2, n2 := w.auth(authBody, s1)
	if s1 == s2 || n1 == n2 {
		t.Error("a cookie selected the session at auth")
	}
}

func TestConcurrentAttestsOfOneSession(t *testing.T) {
	w := newWorld(t, nil)
	session, nonce := w.auth(authBody, "")
	body := w.attestBody(w.guest(simulator.GuestConfig{Measurement: good}), nonce, newKey(t))
	var ok atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if resp, _ := w.raw("POST", "/kbs/v0/attest", session, body); resp.StatusCode == 200 {
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1 {
		t.Errorf("%d of 16 attests of one session succeeded", ok.Load())
	}
}

func TestErrorBodies(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Explain = false })
	const base = "https://github.com/confidential-containers/kbs/errors/"
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		variant, detail          string
	}{
		{"version", "POST", "/kbs/v0/auth", `{"version":"9.9.9","tee":"snp","extra-params":""}`, 401, "AttestationError", "KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is 9.9.9"},
		{"unknown tee", "POST", "/kbs/v0/auth", `{"version":"0.4.0","tee":"nonsense","extra-params":""}`, 401, "AttestationError", ""},
		{"device as primary", "POST", "/kbs/v0/auth", `{"version":"0.4.0","tee":"nvidia","extra-params":""}`, 401, "AttestationError", ""},
		{"not JSON", "POST", "/kbs/v0/auth", `{`, 401, "AttestationError", "RCAR handshake Auth failed"},
		{"too long", "POST", "/kbs/v0/auth", strings.Repeat(" ", rcar.MaxAuthBody+1), 401, "PluginInternalError", ""},
		{"no cookie", "POST", "/kbs/v0/attest", `{}`, 401, "AttestationError", "RCAR handshake Attest failed"},
		{"no token", "GET", "/kbs/v0/resource/default/key/1", ``, 401, "TokenNotFound", "Attestation Token not found"},
		{"no plugin", "GET", "/kbs/v0/nonesuch/x", ``, 404, "PluginNotFound", "Plugin nonesuch not found"},
		{"method of a built-in", "GET", "/kbs/v0/auth", ``, 404, "PluginNotFound", "Plugin auth not found"},
		{"no admin", "POST", "/kbs/v0/resource/a/b/c", `x`, 401, "AdminAuthInitialization", "Cannot verify token with any of the issuers"},
		{"outside", "GET", "/kbs/v1/x", ``, 404, "InvalidRequestPath", "Request path /kbs/v1/x is invalid"},
		{"dots", "GET", "/kbs/v0/resource/a/../../x", ``, 404, "InvalidRequestPath", ""},
		{"encoded dots", "GET", "/kbs/v0/resource/a/%2e%2e/c", ``, 404, "InvalidRequestPath", ""},
		{"encoded slash", "GET", "/kbs/v0/resource/a%2fb/c/d", ``, 404, "InvalidRequestPath", ""},
		{"double slash", "GET", "/kbs/v0//resource/a/b/c", ``, 404, "InvalidRequestPath", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, out := w.raw(tc.method, tc.path, "", tc.body)
			var e struct{ Type, Detail string }
			if err := json.Unmarshal([]byte(out), &e); err != nil {
				t.Fatalf("%d %q: %v", resp.StatusCode, out, err)
			}
			if resp.StatusCode != tc.status || e.Type != base+tc.variant || !strings.Contains(e.Detail, tc.detail) {
				t.Errorf("%d %s", resp.StatusCode, out)
			}
			if strings.Contains(out, `"reason"`) {
				t.Error("the reason is told to a stranger")
			}
		})
	}
}

// TestRestart: what was attested before a restart can be fetched after it; a one-shot secret stays spent.
func TestRestart(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	w.put("default/key/2", "?one_shot=1", "once")
	w.ticket(`{"resource":"default/key/2"}`)
	g := w.guest(simulator.GuestConfig{Measurement: good})
	session, nonce := w.auth(authBody, "")
	priv, err := jwe.Generate("P-256")
	if err != nil {
		t.Fatal(err)
	}
	key, err := priv.Public()
	if err != nil {
		t.Fatal(err)
	}
	if resp, out := w.raw("POST", "/kbs/v0/attest", session, w.attestBody(g, nonce, key)); resp.StatusCode != 200 {
		t.Fatal(out)
	}
	_, first := w.raw("GET", "/kbs/v0/resource/default/key/2", session, "")
	w.close()
	w.start()
	resp, out := w.raw("GET", "/kbs/v0/resource/default/key/1", session, "")
	if got, err := jwe.Decrypt(priv, []byte(out)); err != nil || string(got) != "the secret" {
		t.Errorf("%d %s: %v", resp.StatusCode, out, err)
	}
	if _, again := w.raw("GET", "/kbs/v0/resource/default/key/2", session, ""); again != first {
		t.Errorf("a reply sent again is the same bytes: %s", again)
	}
}

func TestTicketSelectsTheSecret(t *testing.T) {
	w := newWorld(t, nil)
	w.put("vms/a/vsk", "?one_shot=1", "of a")
	w.put("vms/b/vsk", "?one_shot=1", "of b")
	for vm, host := range map[string]string{"a": "aa", "b": "bb"} {
		w.ticket(fmt.Sprintf(`{"resource":"default/sample/test","secret":"vms/%s/vsk","where":[{"claim":"host_data","equals":"%s%s"}]}`, vm, host, strings.Repeat("00", 31)))
	}
	for host, want := range map[byte]string{0xaa: "of a", 0xbb: "of b"} {
		c := w.client(simulator.GuestConfig{Measurement: good, HostData: [32]byte{host}})
		if _, err := c.Attest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(t.Context(), "default/sample/test", ""); err != nil || string(got) != want {
			t.Errorf("%q %v", got, err)
		}
	}
}

func TestRevokedTicket(t *testing.T) {
	w := newWorld(t, nil)
	w.put("a/b/c", "?one_shot=1", "x")
	id := w.ticket(`{"resource":"a/b/c"}`)
	if status, out := w.call("POST", "/v1/tickets/"+id+"/revoke", ""); status != 204 {
		t.Fatalf("%d %s", status, out)
	}
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "a/b/c", ""); reason(err) != string(release.TicketRevoked) {
		t.Error(err)
	}
}

func Test200ConcurrentSessions(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	g := w.guest(simulator.GuestConfig{Measurement: good})
	var wg sync.WaitGroup
	for range 200 {
		c := w.clientOf(g)
		wg.Go(func() {
			if _, err := c.Attest(t.Context()); err != nil {
				t.Error(err)
				return
			}
			if s, err := c.Get(t.Context(), "default/key/1", ""); err != nil || string(s) != "the secret" {
				t.Errorf("%q %v", s, err)
			}
		})
	}
	wg.Wait()
}

func TestUnfinishedHandshakesAreBoundedPerAddress(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Limits.UnfinishedPerAddress = 3 })
	for range 3 {
		w.auth(authBody, "")
	}
	resp, out := w.raw("POST", "/kbs/v0/auth", "", authBody)
	if resp.StatusCode != 401 || !strings.Contains(out, "too_many_sessions") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	w.clock.add(6 * time.Minute)
	w.auth(authBody, "")
}
