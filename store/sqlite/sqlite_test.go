package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
	"github.com/assay-tee/assay/store/sqlite"
	"github.com/assay-tee/assay/store/storetest"
)

func open(t testing.TB, path string) *sqlite.Store {
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: path, MaxSessions: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, func(*testing.T) store.Store) {
		path := filepath.Join(t.TempDir(), "assay.db")
		return open(t, path), func(t *testing.T) store.Store { return open(t, path) }
	})
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assay.db")
	s := open(t, path)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if st, err := os.Stat(path + suffix); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", suffix, st, err)
		}
	}
}

// TestLostLedger: without its file the ledger refuses, with class unavailable, even though the open file would still take writes.
func TestLostLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "assay.db")
	s := open(t, path)
	now := time.Now()
	tk, err := release.NewTicket(release.Ticket{Resource: "a/b/c", NotAfter: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.IssueTicket(t.Context(), tk); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve(t.Context(), []string{tk.ID}, release.Holder{}, now); !fault.Is(err, fault.Unavailable) {
		t.Errorf("released from a lost ledger: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reserve(t.Context(), []string{tk.ID}, release.Holder{}, now); !fault.Is(err, fault.Unavailable) {
		t.Errorf("released from a replaced ledger: %v", err)
	}
	if err := s.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("ready without a ledger: %v", err)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "assay.db"))
	now := time.Now()
	for i := range 1001 {
		err := s.CreateSession(t.Context(), store.Session{ID: [32]byte{byte(i), byte(i >> 8)}, Created: now, Expires: now.Add(time.Minute)})
		if i < 1000 && err != nil || i == 1000 && !fault.Is(err, fault.Unavailable) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	// Expired ones make room, a few at a time.
	if err := s.CreateSession(t.Context(), store.Session{ID: [32]byte{1, 2, 3}, Created: now.Add(time.Hour), Expires: now.Add(2 * time.Hour)}); err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "assay.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "no/such/dir/x.db")}); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

func BenchmarkReserveDeliver(b *testing.B) {
	for _, clients := range []int{1, 100} {
		b.Run(map[int]string{1: "1", 100: "100"}[clients], func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "assay.db"))
			now := time.Now()
			b.SetParallelism(clients)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					tk, err := release.NewTicket(release.Ticket{Resource: "a/b/c", NotAfter: now.Add(time.Hour)}, now)
					if err != nil {
						b.Fatal(err)
					}
					if err := s.IssueTicket(context.Background(), tk); err != nil {
						b.Fatal(err)
					}
					slot, err := s.Reserve(context.Background(), []string{tk.ID}, release.Holder{}, now)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := s.Deliver(context.Background(), slot, []byte("reply"), now, release.Record{Time: now}); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
