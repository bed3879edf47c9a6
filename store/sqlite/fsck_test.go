package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/translog"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

func TestCheckAndBackup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "assay.db")
	s := open(t, path)
	ctx, now := t.Context(), time.Now()
	for i := range 3 {
		tk, err := release.NewTicket(release.Ticket{Resource: "a/b/c", Uses: 2, NotAfter: now.Add(time.Hour)}, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.IssueTicket(ctx, tk); err != nil {
			t.Fatal(err)
		}
		slot, err := s.Reserve(ctx, []string{tk.ID}, release.Holder{Session: [32]byte{byte(i)}}, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Deliver(ctx, slot, []byte("reply"), now, release.Record{Time: now, Kind: "release", Ticket: tk.ID, Slot: slot.N}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.GrowLog(ctx, 100, func(b store.LogBatch) (store.LogGrowth, error) {
		hs, tree, err := translog.Grow(b.Size, b.Leaves, func([]int64) ([]translog.Hash, error) { return nil, fmt.Errorf("none") })
		g := store.LogGrowth{Checkpoint: []byte(tree.Root.String())}
		for _, h := range hs {
			g.Hashes = append(g.Hashes, h)
		}
		return g, err
	}); err != nil {
		t.Fatal(err)
	}
	if bad, err := s.Check(ctx); err != nil || bad != nil {
		t.Fatalf("%q %v", bad, err)
	}
	backup := filepath.Join(dir, "backup.db")
	if err := s.Backup(ctx, backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(ctx, backup); !fault.Is(err, fault.Usage) {
		t.Errorf("wrote over a backup: %v", err)
	}
	if st, err := os.Stat(backup); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if bad, err := open(t, backup).Check(ctx); err != nil || bad != nil {
		t.Errorf("backup: %q %v", bad, err)
	}

	for name, tc := range map[string]struct{ change, finding string }{
		"reset slot":   {"UPDATE slots SET state = 'authorised', session = NULL, key = NULL, reserved = NULL, released = NULL, reply = NULL WHERE state = 'released'", "more releases"},
		"lost slot":    {"DELETE FROM slots WHERE n = 1", "not as many"},
		"changed line": {"UPDATE records SET body = replace(body, 'release', 'resend') WHERE seq = 1", "was changed"},
		"lost line":    {"DELETE FROM records WHERE seq = 3", "not in the log"},
		"open again":   {"UPDATE tickets SET open = open + 1", "miscounts"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := filepath.Join(t.TempDir(), "broken.db")
			if err := s.Backup(ctx, broken); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", broken)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(tc.change); err != nil {
				t.Fatal(err)
			}
			db.Close()
			bad, err := open(t, broken).Check(ctx)
			if err != nil || !strings.Contains(strings.Join(bad, "\n"), tc.finding) {
				t.Errorf("%q %v", bad, err)
			}
		})
	}
}
