// Package postgres keeps everything in one PostgreSQL database, which any number of servers share. Nothing else
// coordinates them: what must happen once is decided by row locks and conditional updates there.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config configures a store.
type Config struct {
	// URL is postgres://user@host/database?…; it may hold a password, and is never logged.
	URL string
	// MaxConns bounds the connections of this process; 0 means 16.
	MaxConns int32
	// MaxSessions bounds the stored handshakes; 0 means 1,000,000. The count is the database's own estimate.
	MaxSessions int64
}

// Store is a [store.Store] in PostgreSQL.
type Store struct {
	cfg      Config
	pool     *pgxpool.Pool
	sessions atomic.Int64 // estimate
	counted  atomic.Int64 // when it was made, Unix seconds
}

var _ store.Store = (*Store)(nil)

// writeTimeout bounds one transaction. A caller who goes away does not break it off in the middle.
const writeTimeout = 10 * time.Second

// Open connects and brings the schema up to date; servers that start at the same time wait for each other.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		// The parser's error repeats the URL with the password in it.
		return nil, fault.New(fault.Usage, "the database URL is not of the form postgres://user@host/database")
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 1_000_000
	}
	pc.MaxConns = cfg.MaxConns
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "store: %w", err)
	}
	s := &Store{cfg: cfg, pool: pool}
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		return nil, fault.New(fault.Unavailable, "store: %w", err)
	}
	return s, nil
}

// lockKey is the advisory lock of migrations.
const lockKey = 0x6173736179 // "assay"

func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)"); err != nil {
			return err
		}
		var have int
		if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&have); err != nil {
			return err
		}
		if have > len(names) {
			return fmt.Errorf("the database has schema %d, this program knows %d; use a newer one", have, len(names))
		}
		for i := have; i < len(names); i++ {
			script, err := migrations.ReadFile(names[i])
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, string(script)); err != nil {
				return fmt.Errorf("%s: %w", names[i], err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO schema_version VALUES ($1)", i+1); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Ping implements store.Store by writing.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE meta SET value = value + 1 WHERE key = 'ping'")
		return err
	})
}

// do runs fn in a transaction; with durable the commit waits for the disk. Errors without a class become unavailable.
func (s *Store) do(ctx context.Context, durable bool, fn func(context.Context, pgx.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unavailable, "store: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		mode := "off"
		if durable {
			mode = "on"
		}
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = "+mode); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
	var f *fault.Error
	if err != nil && !errors.As(err, &f) {
		return fault.New(fault.Unavailable, "store: %w", err)
	}
	return err
}

func nano(t time.Time) int64 { return t.UnixNano() }

func fromNano(n int64) time.Time { return time.Unix(0, n).UTC() }

func optional(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return fromNano(n)
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, "store: %w", err)
}

func none(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
