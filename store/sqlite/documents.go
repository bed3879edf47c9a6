package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// PutSecret implements store.Secrets.
func (s *Store) PutSecret(ctx context.Context, info release.SecretInfo, seal func(int) ([]byte, error), r release.Record) (release.SecretInfo, error) {
	err := s.do(ctx, true, func(w *writer) error {
		if err := w.row("SELECT coalesce(max(version), 0) + 1 FROM secrets WHERE path = ?", info.Path).Scan(&info.Version); err != nil {
			return err
		}
		sealed, err := seal(info.Version)
		if err != nil {
			return err
		}
		if _, err := w.exec("INSERT INTO secrets (path, version, one_shot, size, created, by, sealed) VALUES (?,?,?,?,?,?,?)",
			info.Path, info.Version, info.OneShot, info.Size, nano(info.Created), info.By, sealed); err != nil {
			return err
		}
		return w.record(r)
	})
	return info, err
}

const secretColumns = "path, version, one_shot, size, created, by, deleted"

// LatestSecret implements store.Secrets.
func (s *Store) LatestSecret(ctx context.Context, path string) (release.SecretInfo, bool, error) {
	info, deleted, err := scanSecret(s.row(ctx, "SELECT "+secretColumns+" FROM secrets WHERE path = ? ORDER BY version DESC LIMIT 1", path))
	if errors.Is(err, sql.ErrNoRows) {
		return info, false, nil
	}
	return info, err == nil && !deleted, unavailable(err)
}

type scanner interface{ Scan(...any) error }

func scanSecret(row scanner) (info release.SecretInfo, deleted bool, err error) {
	var created int64
	err = row.Scan(&info.Path, &info.Version, &info.OneShot, &info.Size, &created, &info.By, &deleted)
	info.Created = fromNano(created)
	return info, deleted, err
}

// SealedSecret implements store.Secrets.
func (s *Store) SealedSecret(ctx context.Context, path string, version int) ([]byte, bool, error) {
	var sealed []byte
	err := s.row(ctx, "SELECT sealed FROM secrets WHERE path = ? AND version = ? AND deleted = 0", path, version).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return sealed, err == nil, unavailable(err)
}

// SecretList implements store.Secrets.
func (s *Store) SecretList(ctx context.Context, after string, limit int) ([]release.SecretInfo, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT "+secretColumns+` FROM secrets AS x WHERE path > ? AND deleted = 0
		AND version = (SELECT max(version) FROM secrets WHERE path = x.path) ORDER BY path LIMIT ?`, after, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []release.SecretInfo
	for rows.Next() {
		info, _, err := scanSecret(rows)
		if err != nil {
			return nil, unavailable(err)
		}
		out = append(out, info)
	}
	return out, unavailable(rows.Err())
}

// DeleteSecret implements store.Secrets. The newest row stays without its bytes, so that a version number is never
// used twice.
func (s *Store) DeleteSecret(ctx context.Context, path string, r release.Record) (found bool, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		n, err := w.exec("UPDATE secrets SET deleted = 1, sealed = NULL WHERE path = ? AND deleted = 0", path)
		if err != nil || n == 0 {
			return err
		}
		found = true
		return w.record(r)
	})
	return found, err
}

const policyKind, statementKind = "policy", "statement"

// PutPolicy implements store.Policies.
func (s *Store) PutPolicy(ctx context.Context, id string, data []byte, r release.Record) (store.Document, error) {
	return s.putDocument(ctx, policyKind, id, data, false, r)
}

// Policy implements store.Policies.
func (s *Store) Policy(ctx context.Context, id string) (store.Document, bool, error) {
	return s.document(ctx, policyKind, id)
}

// PolicyList implements store.Policies.
func (s *Store) PolicyList(ctx context.Context) ([]store.Document, error) {
	return s.documents(ctx, policyKind, "AND deleted = 0 AND version = (SELECT max(version) FROM documents WHERE kind = x.kind AND id = x.id) ORDER BY id")
}

// PolicyHistory implements store.Policies.
func (s *Store) PolicyHistory(ctx context.Context, id string) ([]store.Document, error) {
	return s.documents(ctx, policyKind, "AND id = ? ORDER BY version DESC LIMIT 1000", id)
}

// DeletePolicy implements store.Policies.
func (s *Store) DeletePolicy(ctx context.Context, id string, r release.Record) (bool, error) {
	return s.deleteDocument(ctx, policyKind, id, r)
}

// PutStatement implements store.Statements.
func (s *Store) PutStatement(ctx context.Context, id string, data []byte, r release.Record) (store.Document, error) {
	return s.putDocument(ctx, statementKind, id, data, false, r)
}

// Statement implements store.Statements.
func (s *Store) Statement(ctx context.Context, id string) (store.Document, bool, error) {
	return s.document(ctx, statementKind, id)
}

// StatementList implements store.Statements.
func (s *Store) StatementList(ctx context.Context) ([]store.Document, error) {
	return s.documents(ctx, statementKind, "AND deleted = 0 AND version = (SELECT max(version) FROM documents WHERE kind = x.kind AND id = x.id) ORDER BY id")
}

// DeleteStatement implements store.Statements.
func (s *Store) DeleteStatement(ctx context.Context, id string, r release.Record) (bool, error) {
	return s.deleteDocument(ctx, statementKind, id, r)
}

// Generation implements store.Statements.
func (s *Store) Generation(ctx context.Context) (n int64, err error) {
	err = s.row(ctx, "SELECT value FROM meta WHERE key = 'generation'").Scan(&n)
	return n, unavailable(err)
}

func (s *Store) putDocument(ctx context.Context, kind, id string, data []byte, deleted bool, r release.Record) (store.Document, error) {
	d := store.Document{ID: id, Created: r.Time, By: r.Actor, Data: data, Deleted: deleted}
	err := s.do(ctx, true, func(w *writer) error {
		if err := w.row("SELECT coalesce(max(version), 0) + 1 FROM documents WHERE kind = ? AND id = ?", kind, id).Scan(&d.Version); err != nil {
			return err
		}
		if _, err := w.exec("INSERT INTO documents (kind, id, version, created, by, data, deleted) VALUES (?,?,?,?,?,?,?)",
			kind, id, d.Version, nano(d.Created), d.By, data, deleted); err != nil {
			return err
		}
		if _, err := w.exec("UPDATE meta SET value = value + 1 WHERE key = 'generation'"); err != nil {
			return err
		}
		return w.record(r)
	})
	return d, err
}

// deleteDocument adds a version that says deleted; the history stays.
func (s *Store) deleteDocument(ctx context.Context, kind, id string, r release.Record) (bool, error) {
	_, found, err := s.document(ctx, kind, id)
	if err != nil || !found {
		return false, err
	}
	_, err = s.putDocument(ctx, kind, id, nil, true, r)
	return err == nil, err
}

const documentColumns = "id, version, created, by, data, deleted"

func (s *Store) document(ctx context.Context, kind, id string) (store.Document, bool, error) {
	d, err := scanDocument(s.row(ctx, "SELECT "+documentColumns+" FROM documents WHERE kind = ? AND id = ? ORDER BY version DESC LIMIT 1", kind, id))
	if errors.Is(err, sql.ErrNoRows) {
		return d, false, nil
	}
	return d, err == nil && !d.Deleted, unavailable(err)
}

func (s *Store) documents(ctx context.Context, kind, rest string, args ...any) ([]store.Document, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT id, version, created, by, NULL, deleted FROM documents AS x WHERE kind = ? "+rest, append([]any{kind}, args...)...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []store.Document
	for rows.Next() {
		d, err := scanDocument(rows)
		if err != nil {
			return nil, unavailable(err)
		}
		out = append(out, d)
	}
	return out, unavailable(rows.Err())
}

func scanDocument(row scanner) (d store.Document, err error) {
	var created int64
	err = row.Scan(&d.ID, &d.Version, &created, &d.By, &d.Data, &d.Deleted)
	d.Created = fromNano(created)
	return d, err
}
