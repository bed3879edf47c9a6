package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// sweepPerCreate is how many expired sessions each new one removes, so that the table shrinks as fast as it grows and
// nobody ever walks all of it.
const sweepPerCreate = 4

// CreateSession implements store.Sessions.
func (s *Store) CreateSession(ctx context.Context, x store.Session) error {
	return s.do(ctx, false, func(w *writer) error {
		if _, err := s.sweep(w, x.Created, sweepPerCreate); err != nil {
			return err
		}
		if s.sessions.Load() >= s.cfg.MaxSessions {
			return release.Deny(release.TooMany, "there are %d handshakes under way, as many as are allowed; try again in a minute", s.cfg.MaxSessions)
		}
		if _, err := w.exec("INSERT INTO sessions (id, version, tee, nonce, hash, created, expires, state) VALUES (?,?,?,?,?,?,?,?)",
			x.ID[:], x.Version, x.TEE, x.Nonce, x.Hash, nano(x.Created), nano(x.Expires), string(store.Challenged)); err != nil {
			return err
		}
		s.sessions.Add(1)
		return nil
	})
}

// Session implements store.Sessions.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (store.Session, bool, error) {
	x := store.Session{ID: id}
	var created, expires int64
	err := s.row(ctx, "SELECT version, tee, nonce, hash, created, expires, state, evidence FROM sessions WHERE id = ?", id[:]).
		Scan(&x.Version, &x.TEE, &x.Nonce, &x.Hash, &created, &expires, &x.State, &x.Evidence)
	if errors.Is(err, sql.ErrNoRows) {
		return store.Session{}, false, nil
	}
	if err != nil {
		return store.Session{}, false, unavailable(err)
	}
	x.Created, x.Expires = fromNano(created), fromNano(expires)
	return x, now.Before(x.Expires), nil
}

// UseNonce implements store.Sessions.
func (s *Store) UseNonce(ctx context.Context, id [32]byte, now time.Time) (bool, error) {
	var n int64
	err := s.do(ctx, false, func(w *writer) (err error) {
		n, err = w.exec("UPDATE sessions SET state = 'attesting' WHERE id = ? AND state = 'challenged' AND expires > ?", id[:], nano(now))
		return err
	})
	return n == 1, err
}

// FinishSession implements store.Sessions.
func (s *Store) FinishSession(ctx context.Context, id [32]byte, state store.SessionState, evidence []byte) error {
	return s.do(ctx, false, func(w *writer) error {
		_, err := w.exec("UPDATE sessions SET state = ?, evidence = ? WHERE id = ? AND state = 'attesting'", string(state), evidence, id[:])
		return err
	})
}

// SweepSessions implements store.Sessions.
func (s *Store) SweepSessions(ctx context.Context, now time.Time, limit int) (n int, err error) {
	err = s.do(ctx, false, func(w *writer) (err error) {
		n, err = s.sweep(w, now, limit)
		return err
	})
	return n, err
}

func (s *Store) sweep(w *writer, now time.Time, limit int) (int, error) {
	n, err := w.exec("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires <= ? ORDER BY expires LIMIT ?)", nano(now), limit)
	s.sessions.Add(-n)
	return int(n), err
}
