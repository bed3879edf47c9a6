package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/assay-tee/assay/store"
)

// GrowLog implements store.Journal.
func (s *Store) GrowLog(ctx context.Context, limit int, grow func(store.LogBatch) (store.LogGrowth, error)) (n int, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		b := store.LogBatch{}
		err := w.row("SELECT size FROM log_head").Scan(&b.Size)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		seqs, err := w.pending(limit, &b)
		if err != nil || len(seqs) == 0 {
			return err
		}
		b.Read = func(indexes []int64) ([][32]byte, error) { return w.hashes(indexes) }
		g, err := grow(b)
		if err != nil {
			return err
		}
		for i, seq := range seqs {
			if _, err := w.exec("UPDATE records SET leaf = ? WHERE seq = ? AND leaf IS NULL", b.Size+int64(i), seq); err != nil {
				return err
			}
		}
		for i, h := range g.Hashes {
			if _, err := w.exec("INSERT INTO log_hashes (i, hash) VALUES (?,?)", g.First+int64(i), h[:]); err != nil {
				return err
			}
		}
		n = len(seqs)
		_, err = w.exec("INSERT INTO log_head (one, size, checkpoint) VALUES (1,?,?) ON CONFLICT (one) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint", b.Size+int64(n), g.Checkpoint)
		return err
	})
	return n, err
}

func (w *writer) pending(limit int, b *store.LogBatch) ([]int64, error) {
	st, err := w.stmt("SELECT seq, body FROM records WHERE leaf IS NULL ORDER BY seq LIMIT ?")
	if err != nil {
		return nil, err
	}
	rows, err := st.QueryContext(w.ctx, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var seqs []int64
	for rows.Next() {
		var seq int64
		var body string
		if err := rows.Scan(&seq, &body); err != nil {
			return nil, err
		}
		seqs, b.Leaves = append(seqs, seq), append(b.Leaves, []byte(body))
	}
	return seqs, rows.Err()
}

func (w *writer) hashes(indexes []int64) ([][32]byte, error) {
	out := make([][32]byte, len(indexes))
	for i, x := range indexes {
		var h []byte
		if err := w.row("SELECT hash FROM log_hashes WHERE i = ?", x).Scan(&h); err != nil {
			return nil, err
		}
		if len(h) != 32 {
			return nil, errors.New("a stored hash of the log is damaged")
		}
		out[i] = [32]byte(h)
	}
	return out, nil
}

// LogCheckpoint implements store.Journal.
func (s *Store) LogCheckpoint(ctx context.Context) ([]byte, error) {
	var cp []byte
	err := s.row(ctx, "SELECT checkpoint FROM log_head").Scan(&cp)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return cp, unavailable(err)
}

// LogLeaves implements store.Journal.
func (s *Store) LogLeaves(ctx context.Context, from int64, limit int) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT body FROM records WHERE leaf >= ? ORDER BY leaf LIMIT ?", from, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, unavailable(err)
		}
		out = append(out, strings.Clone(body))
	}
	return out, unavailable(rows.Err())
}
