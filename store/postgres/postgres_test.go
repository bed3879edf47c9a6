package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/store"
	"github.com/assay-tee/assay/store/postgres"
	"github.com/assay-tee/assay/store/postgres/pgtest"
	"github.com/assay-tee/assay/store/storetest"
)

func open(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	srv := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) (store.Store, func(*testing.T) store.Store) {
		url := srv.Database(t)
		return open(t, url), func(t *testing.T) store.Store { return open(t, url) }
	})
	t.Run("processes that start together", func(t *testing.T) {
		url := srv.Database(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := postgres.Open(context.Background(), postgres.Config{URL: url})
				if err != nil {
					t.Error(err)
					return
				}
				s.Close()
			})
		}
		wg.Wait()
	})
}

func TestErrorsDoNotShowThePassword(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=1", "postgres://u:hunter2@[bad/db"} {
		_, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
		if !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Usage) {
			t.Errorf("%v", err)
		}
	}
}
