// Package sqlite keeps everything in one SQLite file: the store of a single machine.
//
// One connection writes. Writes that arrive together share a transaction (each behind its own savepoint), so that the
// cost of making a release durable is shared by those that happen at the same time. Transactions that touch the ledger
// are synced to disk before anybody is answered (synchronous=FULL); others survive a crash of the process but not
// necessarily one of the machine, and nothing that they hold can lead to a second release.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config configures a store.
type Config struct {
	// Path of the file; it and its companions are made readable by the owner only.
	Path string
	// MaxSessions bounds the stored handshakes; 0 means 1,000,000.
	MaxSessions int64
}

// Store is a [store.Store] in one file.
type Store struct {
	cfg      Config
	read     *sql.DB
	write    *sql.DB
	conn     *sql.Conn
	file     fs.FileInfo // the file that was opened; a ledger that was replaced under us must stop releases
	ops      chan *op
	closing  chan struct{}
	done     chan struct{}
	closed   atomic.Bool
	sessions atomic.Int64
	stmts    map[string]*sql.Stmt // of the writing connection; used by the writer only
	reads    sync.Map             // query text → *sql.Stmt of the reading connections
	sync     string
}

var _ store.Store = (*Store)(nil)

// Open opens or makes the file and brings its schema up to date.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, fault.New(fault.Usage, "the SQLite store needs a file path")
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 1_000_000
	}
	abs, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fault.As(fault.Usage, err)
	}
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "store: %w", err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fault.New(fault.Unavailable, "store: %w", err)
	}
	s := &Store{cfg: cfg, file: info, ops: make(chan *op, 1024), closing: make(chan struct{}), done: make(chan struct{}), stmts: map[string]*sql.Stmt{}}
	s.cfg.Path = abs
	if s.write, err = sql.Open("sqlite", s.dsn("&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=wal_autocheckpoint(4000)&_pragma=trusted_schema(0)&_txlock=immediate")); err != nil {
		return nil, fault.New(fault.Unavailable, "store: %w", err)
	}
	s.sync = "full"
	s.write.SetMaxOpenConns(1)
	if s.read, err = sql.Open("sqlite", s.dsn("&_pragma=query_only(1)")); err != nil {
		return nil, errors.Join(fault.New(fault.Unavailable, "store: %w", err), s.write.Close())
	}
	s.read.SetMaxOpenConns(4)
	s.read.SetMaxIdleConns(4)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(fault.New(fault.Unavailable, "store %s: %w", cfg.Path, err), s.read.Close(), s.write.Close())
	}
	go s.loop()
	return s, nil
}

func (s *Store) dsn(extra string) string {
	return "file:" + (&url.URL{Path: s.cfg.Path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&_pragma=temp_store(memory)" + extra
}

func (s *Store) start(ctx context.Context) error {
	var err error
	if s.conn, err = s.write.Conn(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	var n int64
	if err := s.conn.QueryRowContext(ctx, "SELECT count(*) FROM sessions").Scan(&n); err != nil {
		return err
	}
	s.sessions.Store(n)
	return nil
}

// migrate applies the numbered scripts that the file has not seen, each in a transaction of its own.
func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for i, name := range names {
		script, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		tx, err := s.conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		var have int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if have > len(names) {
			return errors.Join(fmt.Errorf("the file has schema %d, this program knows %d; use a newer one", have, len(names)), tx.Rollback())
		}
		if have > i {
			if err := tx.Rollback(); err != nil {
				return err
			}
			continue
		}
		if _, err := tx.ExecContext(ctx, string(script)); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err), tx.Rollback())
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// Close waits for the writes under way.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.closing)
	<-s.done
	for _, st := range s.stmts {
		st.Close()
	}
	s.reads.Range(func(_, st any) bool { st.(*sql.Stmt).Close(); return true })
	err := errors.Join(s.conn.Close(), s.read.Close(), s.write.Close())
	return fault.As(fault.Unavailable, err)
}

// Ping implements store.Store by writing.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, true, func(w *writer) error {
		_, err := w.exec("UPDATE meta SET value = value + 1 WHERE key = 'ping'")
		return err
	})
}

// row runs a fixed query on a reading connection and keeps it prepared: SQLite takes longer to prepare than to answer.
func (s *Store) row(ctx context.Context, query string, args ...any) *sql.Row {
	if st, ok := s.reads.Load(query); ok {
		return st.(*sql.Stmt).QueryRowContext(ctx, args...)
	}
	st, err := s.read.PrepareContext(ctx, query)
	if err != nil {
		return s.read.QueryRowContext(ctx, query, args...) // its error is the one to report
	}
	if other, loaded := s.reads.LoadOrStore(query, st); loaded {
		st.Close()
		st = other.(*sql.Stmt)
	}
	return st.QueryRowContext(ctx, args...)
}

// op is one write that waits for the writer.
type op struct {
	ctx     context.Context
	durable bool
	fn      func(*writer) error
	done    chan error
}

// maxBatch bounds how many writes share a transaction.
const maxBatch = 256

// do runs fn in a transaction of the writer and returns when that is committed; with durable, when it is on disk.
func (s *Store) do(ctx context.Context, durable bool, fn func(*writer) error) error {
	o := &op{ctx: ctx, durable: durable, fn: fn, done: make(chan error, 1)}
	select {
	case s.ops <- o:
	case <-s.closing:
		return fault.New(fault.Unavailable, "the store is closed")
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "store: %w", ctx.Err())
	}
	select {
	case err := <-o.done:
		return err
	case <-s.done:
		select {
		case err := <-o.done:
			return err
		default:
			return fault.New(fault.Unavailable, "the store is closed")
		}
	}
}

func (s *Store) loop() {
	defer close(s.done)
	for {
		var batch []*op
		select {
		case o := <-s.ops:
			batch = append(batch, o)
		case <-s.closing:
			select {
			case o := <-s.ops:
				batch = append(batch, o)
			default:
				return
			}
		}
	more:
		for len(batch) < maxBatch {
			select {
			case o := <-s.ops:
				batch = append(batch, o)
			default:
				break more
			}
		}
		s.run(batch)
	}
}

// run commits a batch. An operation that fails is rolled back alone; when the commit fails, all have failed.
func (s *Store) run(batch []*op) {
	errs := make([]error, len(batch))
	err := s.transaction(batch, errs)
	for i, o := range batch {
		if err != nil && errs[i] == nil {
			errs[i] = fault.New(fault.Unavailable, "store: %w", err)
		}
		o.done <- errs[i]
	}
}

func (s *Store) transaction(batch []*op, errs []error) (err error) {
	mode := "normal"
	for _, o := range batch {
		if o.durable {
			mode = "full"
		}
	}
	if mode == "full" {
		if st, err := os.Stat(s.cfg.Path); err != nil || !os.SameFile(st, s.file) {
			return errors.New("the database file was removed or replaced; restart after putting the right one back")
		}
	}
	w := &writer{s: s, ctx: context.Background()}
	if mode != s.sync {
		if _, err := w.exec("PRAGMA synchronous = " + mode); err != nil {
			return err
		}
		s.sync = mode
	}
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = w.exec("ROLLBACK") // the first error is the one that says why
		}
	}()
	for i, o := range batch {
		if o.ctx.Err() != nil {
			errs[i] = fault.New(fault.Unavailable, "store: %w", o.ctx.Err())
			continue
		}
		if _, err := w.exec("SAVEPOINT op"); err != nil {
			return err
		}
		if errs[i] = fault.As(fault.Unavailable, o.fn(w)); errs[i] != nil {
			if _, err := w.exec("ROLLBACK TO op"); err != nil {
				return err
			}
		}
		if _, err := w.exec("RELEASE op"); err != nil {
			return err
		}
	}
	_, err = w.exec("COMMIT")
	return err
}

// writer runs statements on the writing connection and keeps them prepared.
type writer struct {
	s   *Store
	ctx context.Context
}

func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if st := w.s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := w.s.conn.PrepareContext(w.ctx, query)
	if err == nil {
		w.s.stmts[query] = st
	}
	return st, err
}

// exec returns how many rows changed.
func (w *writer) exec(query string, args ...any) (int64, error) {
	st, err := w.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(w.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (w *writer) row(query string, args ...any) *sql.Row {
	st, err := w.stmt(query)
	if err != nil {
		return w.s.conn.QueryRowContext(w.ctx, query, args...)
	}
	return st.QueryRowContext(w.ctx, args...)
}

func nano(t time.Time) int64 { return t.UnixNano() }

func fromNano(n int64) time.Time { return time.Unix(0, n).UTC() }

// unavailable gives a class to errors of reads.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, "store: %w", err)
}
