package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// machinesLock is one lock for the whole registry: an endorsement key can concern two entries, in either order.
const machinesLock = "machines"

// SeeMachine implements store.Machines.
func (s *Store) SeeMachine(ctx context.Context, seen registry.Seen, live time.Duration, r release.Record) (out registry.Outcome, err error) {
	err = s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		if err := serialise(ctx, tx, machinesLock); err != nil {
			return err
		}
		was, _, err := scanMachine(tx.QueryRow(ctx, "SELECT body FROM machines WHERE id = $1", seen.Machine))
		if err != nil {
			return err
		}
		var owner *registry.Machine
		if seen.EK != "" {
			o, found, err := scanMachine(tx.QueryRow(ctx, "SELECT body FROM machines WHERE ek = $1 AND id <> $2", seen.EK, seen.Machine))
			if err != nil {
				return err
			}
			if found {
				owner = &o
			}
		}
		out = registry.Judge(was, owner, seen, live)
		if err := putMachine(ctx, tx, out.Machine); err != nil {
			return err
		}
		if out.Owner != nil {
			if err := putMachine(ctx, tx, *out.Owner); err != nil {
				return err
			}
		}
		for _, a := range out.Raised {
			if err := record(ctx, tx, store.AlarmRecord(r, out.Machine, a)); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Machine implements store.Machines.
func (s *Store) Machine(ctx context.Context, id string) (registry.Machine, bool, error) {
	m, found, err := scanMachine(s.pool.QueryRow(ctx, "SELECT body FROM machines WHERE id = $1", id))
	return m, found, unavailable(err)
}

// MachineList implements store.Machines.
func (s *Store) MachineList(ctx context.Context, q store.MachineQuery) ([]registry.Machine, error) {
	rows, err := s.pool.Query(ctx, "SELECT body FROM machines WHERE id > $1 AND (suspect OR NOT $2) AND ($3 = '' OR ek = $3) ORDER BY id LIMIT $4",
		q.After, q.Suspect, q.EK, q.PageSize())
	if err != nil {
		return nil, unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (registry.Machine, error) {
		m, _, err := scanMachine(row)
		return m, err
	})
	return out, unavailable(err)
}

// ClearMachine implements store.Machines.
func (s *Store) ClearMachine(ctx context.Context, id string, now time.Time, r release.Record) (found bool, err error) {
	err = s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		if err := serialise(ctx, tx, machinesLock); err != nil {
			return err
		}
		var m registry.Machine
		var err error
		if m, found, err = scanMachine(tx.QueryRow(ctx, "SELECT body FROM machines WHERE id = $1", id)); err != nil || !found {
			return err
		}
		if err := putMachine(ctx, tx, m.Clear(now)); err != nil {
			return err
		}
		return record(ctx, tx, r)
	})
	return found, err
}

func putMachine(ctx context.Context, tx pgx.Tx, m registry.Machine) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO machines (id, ek, suspect, body) VALUES ($1,nullif($2, ''),$3,$4) ON CONFLICT (id) DO UPDATE SET ek = excluded.ek, suspect = excluded.suspect, body = excluded.body",
		m.ID, m.EK, m.Suspect(), string(body))
	return err
}

func scanMachine(row pgx.Row) (m registry.Machine, found bool, err error) {
	var body string
	switch err := row.Scan(&body); {
	case none(err):
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	err = json.Unmarshal([]byte(body), &m)
	return m, err == nil, err
}
