package server_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/jwe"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
	"github.com/assay-tee/assay/store/sqlite"
)

// TestCrashPoints takes the files of the store as they are at each named point, which is what a process that is killed
// there leaves behind, and goes on from them.
func TestCrashPoints(t *testing.T) {
	for _, point := range []release.Point{release.AfterReserve, release.AfterOpen, release.AfterWrap, release.AfterDeliver} {
		t.Run(string(point), func(t *testing.T) {
			dir := t.TempDir()
			var w *world
			armed := true
			w = newWorld(t, func(c *server.Config) {
				c.Reached = func(p release.Point) {
					if armed && p == point {
						armed = false
						copyStore(t, w.dir, dir)
					}
				}
			})
			w.put("a/b/c", "?one_shot=1", "once")
			id := w.ticket(`{"resource":"a/b/c"}`)
			g := w.guest(simulator.GuestConfig{Measurement: good})
			priv, key := keyPair(t)
			session, nonce := w.auth(authBody, "")
			if resp, out := w.raw("POST", "/kbs/v0/attest", session, w.attestBody(g, nonce, key)); resp.StatusCode != 200 {
				t.Fatal(out)
			}
			_, lost := w.raw("GET", "/kbs/v0/resource/a/b/c", session, "")
			if armed {
				t.Fatal("the point was not reached")
			}
			// The process died; its answer was lost. Another one opens what it left.
			st, err := sqlite.Open(context.Background(), sqlite.Config{Path: filepath.Join(dir, "assay.db")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { st.Close() })
			w.close()
			w.cfg.Store = st
			w.start()

			// Nobody else gets it, and the ticket is not lost: it is there, and says where it stands.
			other := w.clientOf(g)
			if _, err := other.Attest(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := other.Get(t.Context(), "a/b/c", ""); reason(err) != "ticket_used" {
				t.Errorf("a second session got %q, %v", got, err)
			}
			if _, out := w.call("GET", "/v1/tickets", ""); !strings.Contains(string(out), id) {
				t.Errorf("the ticket is gone: %s", out)
			}
			// The session that holds it goes on to its end, under the key that its evidence bound and no other.
			resp, out := w.raw("GET", "/kbs/v0/resource/a/b/c", session, "")
			got, err := jwe.Decrypt(priv, []byte(out))
			if err != nil || string(got) != "once" {
				t.Errorf("%d %s: %v", resp.StatusCode, out, err)
			}
			if point == release.AfterDeliver && out != lost {
				t.Error("after delivery it is the identical reply")
			}
			n := 0
			for _, r := range mustRecords(t, w) {
				if r.Kind == "release" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d releases in the log", n)
			}
		})
	}
}

func mustRecords(t *testing.T, w *world) []release.Record {
	t.Helper()
	r, err := w.cfg.Store.Records(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func copyStore(t *testing.T, from, to string) {
	for _, name := range []string{"assay.db", "assay.db-wal"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Error(err)
			return
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Error(err)
		}
	}
}

func keyPair(t *testing.T) (jwe.PrivateKey, *jwe.Key) {
	t.Helper()
	priv, err := jwe.Generate("P-256")
	if err != nil {
		t.Fatal(err)
	}
	key, err := priv.Public()
	if err != nil {
		t.Fatal(err)
	}
	return priv, key
}

// TestLostLedgerStopsReleases: with the file gone a one-shot secret stays, with class unavailable.
func TestLostLedgerStopsReleases(t *testing.T) {
	w := newWorld(t, nil)
	w.put("a/b/c", "?one_shot=1", "once")
	w.ticket(`{"resource":"a/b/c"}`)
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(w.dir, "assay.db"), filepath.Join(w.dir, "away.db")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "a/b/c", ""); reason(err) != "ledger_unavailable" {
		t.Errorf("%q %v", got, err)
	}
	if resp, out := w.raw("GET", "/readyz", "", ""); resp.StatusCode != 503 || !strings.Contains(out, `"class":"unavailable"`) {
		t.Errorf("%d %s", resp.StatusCode, out)
	}
	if resp, _ := w.raw("GET", "/healthz", "", ""); resp.StatusCode != 200 {
		t.Error("alive all the same")
	}
	if err := os.Rename(filepath.Join(w.dir, "away.db"), filepath.Join(w.dir, "assay.db")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "a/b/c", ""); err != nil || string(got) != "once" {
		t.Errorf("after its return: %q %v", got, err)
	}
}

func decrypt(priv jwe.PrivateKey, body string) (string, error) {
	out, err := jwe.Decrypt(priv, []byte(body))
	return string(out), err
}
