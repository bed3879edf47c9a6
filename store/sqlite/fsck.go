package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/translog"
	"github.com/assay-tee/assay/release"
)

// Check tests the invariants of the store from outside and returns what does not hold; nil means that all do.
func (s *Store) Check(ctx context.Context) ([]string, error) {
	var bad []string
	var text string
	if err := s.read.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&text); err != nil {
		return nil, unavailable(err)
	}
	if text != "ok" {
		bad = append(bad, "the file is damaged: "+text)
	}
	for _, q := range []struct{ what, query string }{
		{"ticket %s has not as many releases as it allows", "SELECT id FROM tickets AS t WHERE uses <> (SELECT count(*) FROM slots WHERE ticket = t.id)"},
		{"ticket %s miscounts its open releases", "SELECT id FROM tickets AS t WHERE open <> (SELECT count(*) FROM slots WHERE ticket = t.id AND state = 'authorised')"},
		{"ticket %s is revoked and can still release", "SELECT id FROM tickets AS t WHERE revoked AND EXISTS (SELECT 1 FROM slots WHERE ticket = t.id AND state IN ('authorised', 'reserved'))"},
		{"a release of ticket %s was recorded for nobody", "SELECT ticket FROM slots WHERE state IN ('reserved', 'released') AND (length(session) <> 32 OR length(key) <> 32)"},
		{"a release of ticket %s is in the ledger and not in the log",
			"SELECT ticket FROM slots WHERE state = 'released' AND (ticket, n) NOT IN (SELECT coalesce(json_extract(body, '$.ticket'), ''), coalesce(json_extract(body, '$.slot'), 0) FROM records WHERE json_extract(body, '$.kind') = 'release')"},
		{"the log has more releases of ticket %s than the ledger",
			"SELECT ticket FROM (SELECT json_extract(body, '$.ticket') AS ticket, count(*) AS n FROM records WHERE json_extract(body, '$.kind') = 'release' AND json_extract(body, '$.ticket') IS NOT NULL GROUP BY 1) AS l WHERE n > (SELECT count(*) FROM slots WHERE slots.ticket = l.ticket AND state = 'released')"},
		{"secret %s has a version without its sealed bytes", "SELECT path FROM secrets WHERE NOT deleted AND sealed IS NULL"},
	} {
		found, err := s.names(ctx, q.query)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			bad = append(bad, fmt.Sprintf(q.what, id))
		}
	}
	log, err := s.checkLog(ctx)
	if err == nil && log != "" {
		bad = append(bad, log)
	}
	return bad, err
}

// maxFindings bounds how much is said about one invariant.
const maxFindings = 20

func (s *Store) names(ctx context.Context, query string) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, query+" LIMIT ?", maxFindings)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, unavailable(err)
		}
		out = append(out, id)
	}
	return out, unavailable(rows.Err())
}

// checkLog computes the tree over all leaves in batches and compares it with what is stored. The signature of the head is
// the business of `assay log verify`, which has the key.
func (s *Store) checkLog(ctx context.Context) (string, error) {
	var size int64
	err := s.row(ctx, "SELECT size FROM log_head").Scan(&size)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", unavailable(err)
	}
	const batch = 1000
	for at := int64(0); at < size; {
		texts, err := s.LogLeaves(ctx, at, int(min(batch, size-at)))
		if err != nil {
			return "", err
		}
		if len(texts) == 0 {
			return fmt.Sprintf("the log covers %d lines, only %d are there", size, at), nil
		}
		leaves := make([][]byte, len(texts))
		for i := range texts {
			leaves[i] = []byte(texts[i])
		}
		fresh, _, err := translog.Grow(at, leaves, s.storedHashes(ctx))
		if err != nil {
			return "", unavailable(err)
		}
		first := translog.Stored(at)
		want := make([]int64, len(fresh))
		for i := range want {
			want[i] = first + int64(i)
		}
		have, err := s.storedHashes(ctx)(want)
		if err != nil {
			return "the log's stored hashes are incomplete", nil
		}
		for i := range fresh {
			if have[i] != fresh[i] {
				return fmt.Sprintf("a line of the log between %d and %d was changed", at, at+int64(len(texts))), nil
			}
		}
		at += int64(len(texts))
	}
	return "", nil
}

func (s *Store) storedHashes(ctx context.Context) func([]int64) ([]translog.Hash, error) {
	return func(indexes []int64) ([]translog.Hash, error) {
		out := make([]translog.Hash, len(indexes))
		for i, x := range indexes {
			var h []byte
			if err := s.row(ctx, "SELECT hash FROM log_hashes WHERE i = ?", x).Scan(&h); err != nil {
				return nil, err
			}
			if len(h) != len(out[i]) {
				return nil, errors.New("a stored hash is damaged")
			}
			out[i] = translog.Hash(h)
		}
		return out, nil
	}
}

// Backup writes a consistent copy of the store to a new file at path, while it is in use.
func (s *Store) Backup(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.Usage, "%s is there already; a backup never writes over a file", path)
	}
	// Made readable by the owner before anything is in it.
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fault.New(fault.Usage, "backup: %w", err)
	}
	if err := f.Close(); err != nil {
		return fault.As(fault.Internal, err)
	}
	defer os.Remove(tmp)
	// A connection of its own: the reading ones may not write anywhere, the writing one is busy.
	db, err := sql.Open("sqlite", s.dsn("&mode=rw"))
	if err != nil {
		return unavailable(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return unavailable(err)
	}
	if err := os.Link(tmp, path); err != nil {
		return fault.New(fault.Usage, "backup: %w", err)
	}
	return nil
}

// BurnOpen burns every release that is authorised or reserved, with a line in the log. A ledger that comes out of a backup
// does not know what was released since; nothing that it believes to be open may be released.
func (s *Store) BurnOpen(ctx context.Context, r release.Record) (n int64, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		var err error
		if n, err = w.exec("UPDATE slots SET state = 'burned' WHERE state IN ('authorised', 'reserved')"); err != nil {
			return err
		}
		if _, err := w.exec("UPDATE tickets SET open = 0"); err != nil {
			return err
		}
		r.Detail = fmt.Sprintf("%s: %d open releases burned", r.Detail, n)
		return w.record(r)
	})
	return n, err
}
