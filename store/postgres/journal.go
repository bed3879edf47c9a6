package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/assay-tee/assay/store"
)

// GrowLog implements store.Journal. Servers that share the log take turns.
func (s *Store) GrowLog(ctx context.Context, limit int, grow func(store.LogBatch) (store.LogGrowth, error)) (n int, err error) {
	err = s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		if err := serialise(ctx, tx, "log"); err != nil {
			return err
		}
		b := store.LogBatch{}
		if err := tx.QueryRow(ctx, "SELECT size FROM log_head").Scan(&b.Size); err != nil && !none(err) {
			return err
		}
		seqs, err := pending(ctx, tx, limit, &b)
		if err != nil || len(seqs) == 0 {
			return err
		}
		b.Read = func(indexes []int64) ([][32]byte, error) { return hashes(ctx, tx, indexes) }
		g, err := grow(b)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "UPDATE records SET leaf = $1 + x.k - 1 FROM unnest($2::bigint[]) WITH ORDINALITY AS x (seq, k) WHERE records.seq = x.seq", b.Size, seqs); err != nil {
			return err
		}
		flat := make([][]byte, len(g.Hashes))
		for i := range g.Hashes {
			flat[i] = g.Hashes[i][:]
		}
		if _, err := tx.Exec(ctx, "INSERT INTO log_hashes (i, hash) SELECT $1 + k - 1, h FROM unnest($2::bytea[]) WITH ORDINALITY AS x (h, k)", g.First, flat); err != nil {
			return err
		}
		n = len(seqs)
		_, err = tx.Exec(ctx, "INSERT INTO log_head (one, size, checkpoint) VALUES (1,$1,$2) ON CONFLICT (one) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint", b.Size+int64(n), g.Checkpoint)
		return err
	})
	return n, err
}

func pending(ctx context.Context, tx pgx.Tx, limit int, b *store.LogBatch) ([]int64, error) {
	rows, err := tx.Query(ctx, "SELECT seq, body FROM records WHERE leaf IS NULL ORDER BY seq LIMIT $1", limit)
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

func hashes(ctx context.Context, tx pgx.Tx, indexes []int64) ([][32]byte, error) {
	rows, err := tx.Query(ctx, "SELECT i, hash FROM log_hashes WHERE i = ANY($1)", indexes)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int64][32]byte{}
	for rows.Next() {
		var i int64
		var h []byte
		if err := rows.Scan(&i, &h); err != nil {
			return nil, err
		}
		if len(h) == 32 {
			found[i] = [32]byte(h)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out := make([][32]byte, len(indexes))
	for k, i := range indexes {
		h, ok := found[i]
		if !ok {
			return nil, errors.New("a stored hash of the log is missing or damaged")
		}
		out[k] = h
	}
	return out, nil
}

// LogCheckpoint implements store.Journal.
func (s *Store) LogCheckpoint(ctx context.Context) ([]byte, error) {
	var cp []byte
	err := s.pool.QueryRow(ctx, "SELECT checkpoint FROM log_head").Scan(&cp)
	if none(err) {
		return nil, nil
	}
	return cp, unavailable(err)
}

// LogLeaves implements store.Journal.
func (s *Store) LogLeaves(ctx context.Context, from int64, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, "SELECT body FROM records WHERE leaf >= $1 ORDER BY leaf LIMIT $2", from, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, unavailable(err)
}
