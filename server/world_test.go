package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release/seal"
	"github.com/assay-tee/assay/result"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
	"github.com/assay-tee/assay/store"
	"github.com/assay-tee/assay/store/sqlite"
)

const adminToken = "admin-token-of-the-test"

// amd is made once: RSA keys take their time.
var amd = sync.OnceValues(func() (*simulator.AMD, error) {
	return simulator.NewAMD(simulator.AMDConfig{KeyBits: 2048})
})

var (
	good = [48]byte{1, 2, 3}
	bad  = [48]byte{9, 9, 9}
)

// world is a broker with simulated hardware around it.
type world struct {
	t      testing.TB
	srv    *server.Server
	http   *httptest.Server
	store  store.Store
	sealer *seal.Sealer
	amd    *simulator.AMD
	clock  *clock
	dir    string
	cfg    server.Config
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) add(d time.Duration) { c.mu.Lock(); c.at = c.at.Add(d); c.mu.Unlock() }

func newWorld(t testing.TB, change func(*server.Config)) *world {
	t.Helper()
	a, err := amd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	st, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(dir, "assay.db")})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.LoadOrCreate(filepath.Join(dir, "age.key"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, sealer: sealer, amd: a, dir: dir, clock: &clock{at: time.Now()}}
	w.cfg = server.Config{
		Store: st, Sealer: sealer, Clock: w.clock.now, Explain: true, Parts: parts(t, a, w.clock.now()),
		Admins: []server.Admin{{Name: "root", TokenSHA256: sha256.Sum256([]byte(adminToken)), Roles: []server.Role{server.RoleAdmin}}},
	}
	if change != nil {
		change(&w.cfg)
	}
	w.start()
	t.Cleanup(func() {
		w.close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) start() {
	srv, err := server.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.srv, w.http = srv, httptest.NewServer(srv.Handler())
}

func (w *world) close() {
	w.http.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.srv.Shutdown(ctx); err != nil {
		w.t.Error(err)
	}
}

func parts(t testing.TB, a *simulator.AMD, now time.Time) server.Parts {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	driver, err := snp.New(snp.Config{})
	check(err)
	anchors, err := evidence.NewAnchors(a.Anchors())
	check(err)
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	check(err)
	check(b.Local("the test", "snp", []endorse.Expectation{{Name: "measurement", Values: [][]byte{good[:]}}}))
	set := b.Set()
	pol, err := rego.Builtin(rego.Params{AllowSimulatorUnsafe: true})
	check(err)
	key, err := keys.Generate(keys.ES256)
	check(err)
	issuer, err := result.NewIssuer(result.IssuerConfig{Key: key})
	check(err)
	return server.Parts{
		Drivers: map[string]evidence.Driver{"snp": driver}, Anchors: anchors, Statements: func() *endorse.Set { return set }, Policy: pol,
		Issue: func(_ context.Context, a *appraise.Appraisal, d *policy.Decision, in server.TokenInput) (string, error) {
			out, err := issuer.Issue(a, d, result.Options{Time: in.Now})
			return string(out), err
		},
		JWKS: func() []byte {
			out, err := json.Marshal(keys.JWKS(issuer.Public()))
			if err != nil {
				return nil
			}
			return out
		},
	}
}

// source is a simulated guest for the client.
type source struct{ a attester.Attester }

func (s source) TEE() string { return s.a.TEE() }

func (s source) Primary(ctx context.Context, digest []byte) ([]byte, error) {
	ev, err := s.a.Evidence(ctx, digest)
	if err != nil {
		return nil, err
	}
	return attester.KBSEvidence(ev)
}

func (w *world) guest(cfg simulator.GuestConfig) *simulator.Guest {
	w.t.Helper()
	chip, err := w.amd.NewChip(simulator.Milan)
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := chip.Launch(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) client(cfg simulator.GuestConfig) *rcar.Client {
	w.t.Helper()
	return w.clientOf(w.guest(cfg))
}

func (w *world) clientOf(g *simulator.Guest) *rcar.Client {
	w.t.Helper()
	at, err := g.Attester()
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: source{at}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// call makes a request as the administrator.
func (w *world) call(method, path, body string) (int, []byte) {
	w.t.Helper()
	return w.callAs(adminToken, method, path, body)
}

func (w *world) callAs(token, method, path, body string) (int, []byte) {
	w.t.Helper()
	req, err := http.NewRequest(method, w.http.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
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
	return resp.StatusCode, out
}

func (w *world) put(path, query, value string) {
	w.t.Helper()
	if status, out := w.call("PUT", "/v1/secrets/"+path+query, value); status != 200 {
		w.t.Fatalf("%d %s", status, out)
	}
}

func (w *world) ticket(body string) string {
	w.t.Helper()
	status, out := w.call("POST", "/v1/tickets", body)
	var t struct{ ID string }
	if status != 200 || json.Unmarshal(out, &t) != nil || t.ID == "" {
		w.t.Fatalf("%d %s", status, out)
	}
	return t.ID
}
