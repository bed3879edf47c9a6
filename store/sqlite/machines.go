package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// SeeMachine implements store.Machines.
func (s *Store) SeeMachine(ctx context.Context, seen registry.Seen, live time.Duration, r release.Record) (out registry.Outcome, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		was, _, err := scanMachine(w.row("SELECT body FROM machines WHERE id = ?", seen.Machine))
		if err != nil {
			return err
		}
		var owner *registry.Machine
		if seen.EK != "" {
			o, found, err := scanMachine(w.row("SELECT body FROM machines WHERE ek = ? AND id <> ?", seen.EK, seen.Machine))
			if err != nil {
				return err
			}
			if found {
				owner = &o
			}
		}
		out = registry.Judge(was, owner, seen, live)
		if err := w.putMachine(out.Machine); err != nil {
			return err
		}
		if out.Owner != nil {
			if err := w.putMachine(*out.Owner); err != nil {
				return err
			}
		}
		for _, a := range out.Raised {
			if err := w.record(store.AlarmRecord(r, out.Machine, a)); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Machine implements store.Machines.
func (s *Store) Machine(ctx context.Context, id string) (registry.Machine, bool, error) {
	m, found, err := scanMachine(s.row(ctx, "SELECT body FROM machines WHERE id = ?", id))
	return m, found, unavailable(err)
}

// MachineList implements store.Machines.
func (s *Store) MachineList(ctx context.Context, q store.MachineQuery) ([]registry.Machine, error) {
	query, args := "SELECT body FROM machines WHERE id > ?", []any{q.After}
	if q.Suspect {
		query += " AND suspect"
	}
	if q.EK != "" {
		query, args = query+" AND ek = ?", append(args, q.EK)
	}
	rows, err := s.read.QueryContext(ctx, query+" ORDER BY id LIMIT ?", append(args, q.PageSize())...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []registry.Machine
	for rows.Next() {
		m, _, err := scanMachine(rows)
		if err != nil {
			return nil, unavailable(err)
		}
		out = append(out, m)
	}
	return out, unavailable(rows.Err())
}

// ClearMachine implements store.Machines.
func (s *Store) ClearMachine(ctx context.Context, id string, now time.Time, r release.Record) (found bool, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		var m registry.Machine
		var err error
		if m, found, err = scanMachine(w.row("SELECT body FROM machines WHERE id = ?", id)); err != nil || !found {
			return err
		}
		if err := w.putMachine(m.Clear(now)); err != nil {
			return err
		}
		return w.record(r)
	})
	return found, err
}

func (w *writer) putMachine(m registry.Machine) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	_, err = w.exec("INSERT INTO machines (id, ek, suspect, body) VALUES (?,nullif(?, ''),?,?) ON CONFLICT (id) DO UPDATE SET ek = excluded.ek, suspect = excluded.suspect, body = excluded.body",
		m.ID, m.EK, m.Suspect(), string(body))
	return err
}

func scanMachine(row interface{ Scan(...any) error }) (m registry.Machine, found bool, err error) {
	var body string
	switch err := row.Scan(&body); {
	case errors.Is(err, sql.ErrNoRows):
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	err = json.Unmarshal([]byte(body), &m)
	return m, err == nil, err
}
