package server_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
	"github.com/assay-tee/assay/store/postgres"
	"github.com/assay-tee/assay/store/postgres/pgtest"
)

// TestThreeServersOverOneDatabase: sessions begun at one are attested at the next and served by the third, and of 100
// parallel releases on one ticket one gets the secret.
func TestThreeServersOverOneDatabase(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	var worlds []*world
	base := newWorld(t, nil)
	for range 3 {
		st, err := postgres.Open(context.Background(), postgres.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		w := *base
		w.cfg.Store, w.store = st, st
		w.start()
		t.Cleanup(func() { w.close(); st.Close() })
		worlds = append(worlds, &w)
	}
	worlds[0].put("default/key/1", "", "the secret")
	worlds[1].put("default/key/2", "?one_shot=1", "once")
	g := base.guest(simulator.GuestConfig{Measurement: good})
	priv, key := keyPair(t)
	session, nonce := worlds[0].auth(authBody, "")
	if resp, out := worlds[1].raw("POST", "/kbs/v0/attest", session, base.attestBody(g, nonce, key)); resp.StatusCode != 200 {
		t.Fatal(out)
	}
	resp, out := worlds[2].raw("GET", "/kbs/v0/resource/default/key/1", session, "")
	if got, err := decrypt(priv, out); err != nil || got != "the secret" {
		t.Errorf("%d %s %v", resp.StatusCode, out, err)
	}

	worlds[2].ticket(`{"resource":"default/key/2"}`)
	var got, spent atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		c := worlds[i%3].clientOf(g)
		wg.Go(func() {
			if _, err := c.Attest(t.Context()); err != nil {
				t.Error(err)
				return
			}
			s, err := c.Get(t.Context(), "default/key/2", "")
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
