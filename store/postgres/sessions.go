package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// sweepPerCreate is how many expired sessions each new one removes, so that the table shrinks as fast as it grows.
const sweepPerCreate = 2

const sweepSQL = `DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)`

// CreateSession implements store.Sessions.
func (s *Store) CreateSession(ctx context.Context, x store.Session) error {
	if err := s.room(ctx, x.Created); err != nil {
		return err
	}
	return s.do(ctx, false, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sweepSQL, nano(x.Created), sweepPerCreate); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO sessions (id, version, tee, nonce, hash, created, expires, state) VALUES ($1,$2,$3,$4,$5,$6,$7,'challenged')",
			x.ID[:], x.Version, x.TEE, x.Nonce, x.Hash, nano(x.Created), nano(x.Expires))
		return err
	})
}

// room refuses when the table is full by the database's own estimate, which costs nothing and is asked once a second.
func (s *Store) room(ctx context.Context, now time.Time) error {
	if last := s.counted.Load(); now.Unix() > last && s.counted.CompareAndSwap(last, now.Unix()) {
		var n int64
		if err := s.pool.QueryRow(ctx, "SELECT coalesce(n_live_tup, 0) FROM pg_stat_user_tables WHERE relname = 'sessions'").Scan(&n); err != nil {
			return unavailable(err)
		}
		s.sessions.Store(n)
	}
	if s.sessions.Load() >= s.cfg.MaxSessions {
		return release.Deny(release.TooMany, "there are about %d handshakes under way, as many as are allowed; try again in a minute", s.sessions.Load())
	}
	return nil
}

// Session implements store.Sessions.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (store.Session, bool, error) {
	x := store.Session{ID: id}
	var created, expires int64
	err := s.pool.QueryRow(ctx, "SELECT version, tee, nonce, hash, created, expires, state, evidence FROM sessions WHERE id = $1", id[:]).
		Scan(&x.Version, &x.TEE, &x.Nonce, &x.Hash, &created, &expires, &x.State, &x.Evidence)
	if none(err) {
		return store.Session{}, false, nil
	}
	if err != nil {
		return store.Session{}, false, unavailable(err)
	}
	x.Created, x.Expires = fromNano(created), fromNano(expires)
	return x, now.Before(x.Expires), nil
}

// UseNonce implements store.Sessions.
func (s *Store) UseNonce(ctx context.Context, id [32]byte, now time.Time) (first bool, err error) {
	err = s.do(ctx, false, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE sessions SET state = 'attesting' WHERE id = $1 AND state = 'challenged' AND expires > $2", id[:], nano(now))
		first = tag.RowsAffected() == 1
		return err
	})
	return first && err == nil, err
}

// FinishSession implements store.Sessions.
func (s *Store) FinishSession(ctx context.Context, id [32]byte, state store.SessionState, evidence []byte) error {
	return s.do(ctx, false, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE sessions SET state = $1, evidence = $2 WHERE id = $3 AND state = 'attesting'", string(state), evidence, id[:])
		return err
	})
}

// SweepSessions implements store.Sessions.
func (s *Store) SweepSessions(ctx context.Context, now time.Time, limit int) (n int, err error) {
	err = s.do(ctx, false, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sweepSQL, nano(now), limit)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}
