package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
)

// IssueTicket implements release.Ledger.
func (s *Store) IssueTicket(ctx context.Context, t release.Ticket) error {
	conds, err := json.Marshal(t.Where)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	return s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO tickets (id, resource, secret, subject, key, conditions, uses, not_after, created, by, open, allow_clone) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12)",
			t.ID, t.Resource, t.Secret, t.Subject, t.Key(), string(conds), t.Uses, nano(t.NotAfter), nano(t.Created), t.By, len(t.Slots), t.AllowClone); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO slots (ticket, n, state) SELECT $1, n, 'authorised' FROM generate_series(0, $2::integer - 1) AS n", t.ID, len(t.Slots))
		return err
	})
}

// Tickets implements release.Ledger. With facts, tickets that can still release come first, newest first.
func (s *Store) Tickets(ctx context.Context, q release.TicketQuery) ([]release.Ticket, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 1000
	}
	const columns = "SELECT id, resource, secret, subject, conditions, uses, not_after, created, by, revoked, allow_clone FROM tickets WHERE id > $1 AND ($2 = '' OR resource = $2) "
	var rows pgx.Rows
	var err error
	if q.Facts != nil {
		rows, err = s.pool.Query(ctx, columns+"AND key = ANY($3) ORDER BY open > 0 DESC, created DESC LIMIT $4", q.After, q.Resource, append([]string{""}, q.Facts...), limit)
	} else {
		rows, err = s.pool.Query(ctx, columns+"ORDER BY id LIMIT $3", q.After, q.Resource, limit)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	var out []release.Ticket
	at := map[string]int{}
	var ids []string
	for rows.Next() {
		var t release.Ticket
		var conds string
		var notAfter, created int64
		if err := rows.Scan(&t.ID, &t.Resource, &t.Secret, &t.Subject, &conds, &t.Uses, &notAfter, &created, &t.By, &t.Revoked, &t.AllowClone); err != nil {
			rows.Close()
			return nil, unavailable(err)
		}
		if err := json.Unmarshal([]byte(conds), &t.Where); err != nil {
			rows.Close()
			return nil, unavailable(err)
		}
		t.NotAfter, t.Created = fromNano(notAfter), fromNano(created)
		at[t.ID] = len(out)
		ids, out = append(ids, t.ID), append(out, t)
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		return nil, unavailable(err)
	}
	rows, err = s.pool.Query(ctx, "SELECT ticket, n, state, coalesce(reserved, 0), coalesce(released, 0) FROM slots WHERE ticket = ANY($1) ORDER BY ticket, n", ids)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	for rows.Next() {
		var x release.Slot
		var reserved, released int64
		if err := rows.Scan(&x.Ticket, &x.N, &x.State, &reserved, &released); err != nil {
			return nil, unavailable(err)
		}
		x.Reserved, x.Released = optional(reserved), optional(released)
		t := &out[at[x.Ticket]]
		t.Slots = append(t.Slots, x)
	}
	return out, unavailable(rows.Err())
}

// RevokeTicket implements release.Ledger.
func (s *Store) RevokeTicket(ctx context.Context, id string, now time.Time) (found bool, err error) {
	err = s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE tickets SET revoked = true, open = 0 WHERE id = $1", id)
		if err != nil {
			return err
		}
		found = tag.RowsAffected() == 1
		_, err = tx.Exec(ctx, "UPDATE slots SET state = 'revoked' WHERE ticket = $1 AND state IN ('authorised', 'reserved')", id)
		return err
	})
	return found, err
}

// Reserve implements release.Ledger.
func (s *Store) Reserve(ctx context.Context, tickets []string, h release.Holder, now time.Time) (out release.Slot, err error) {
	err = s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		for _, id := range tickets {
			slot, ok, err := held(ctx, tx, id, h)
			if err != nil {
				return err
			}
			if ok {
				out = slot
				return nil
			}
		}
		var why error
		for _, id := range tickets {
			slot, no, err := reserve(ctx, tx, id, h, now)
			if err != nil {
				return err
			}
			if no == nil {
				out = slot
				return nil
			}
			if why == nil || release.ReasonOf(no) == string(release.TicketUsed) {
				why = no
			}
		}
		if why == nil {
			why = release.Deny(release.TicketMissing, "no ticket matches")
		}
		return why
	})
	return out, err
}

// held returns the slot of ticket id that h holds already.
func held(ctx context.Context, tx pgx.Tx, id string, h release.Holder) (release.Slot, bool, error) {
	x := release.Slot{Ticket: id, Holder: h}
	var reserved, released int64
	err := tx.QueryRow(ctx, "SELECT n, state, reserved, coalesce(released, 0), reply FROM slots WHERE ticket = $1 AND session = $2 AND key = $3 AND state IN ('reserved', 'released') ORDER BY n LIMIT 1",
		id, h.Session[:], h.Key[:]).Scan(&x.N, &x.State, &reserved, &released, &x.Reply)
	if none(err) {
		return x, false, nil
	}
	x.Reserved, x.Released = fromNano(reserved), optional(released)
	return x, err == nil, err
}

// reserve is the compare-and-swap; no says why it did not happen. The lock on the ticket's row makes all who want the
// ticket wait for each other, so that what is read after it is what will be written.
func reserve(ctx context.Context, tx pgx.Tx, id string, h release.Holder, now time.Time) (slot release.Slot, no, err error) {
	var notAfter int64
	var revoked bool
	err = tx.QueryRow(ctx, "SELECT not_after, revoked FROM tickets WHERE id = $1 FOR UPDATE", id).Scan(&notAfter, &revoked)
	switch {
	case none(err):
		return slot, release.Deny(release.TicketMissing, "the ticket is gone"), nil
	case err != nil:
		return slot, nil, err
	case revoked:
		return slot, release.Deny(release.TicketRevoked, "the ticket %s was revoked", id), nil
	}
	// The same holder may have been served while this transaction waited.
	if mine, ok, err := held(ctx, tx, id, h); err != nil || ok {
		return mine, nil, err
	}
	slot = release.Slot{Ticket: id, State: release.Reserved, Holder: h, Reserved: now}
	if now.UnixNano() > notAfter {
		return slot, release.Deny(release.TicketExpired, "the ticket %s ran out at %s", id, fromNano(notAfter).Format(time.RFC3339)), nil
	}
	err = tx.QueryRow(ctx, `UPDATE slots SET state = 'reserved', session = $1, key = $2, reserved = $3
		WHERE ticket = $4 AND state = 'authorised' AND n = (SELECT min(n) FROM slots WHERE ticket = $4 AND state = 'authorised') RETURNING n`,
		h.Session[:], h.Key[:], nano(now), id).Scan(&slot.N)
	if none(err) {
		return slot, release.Deny(release.TicketUsed, "the ticket %s is used up", id), nil
	}
	if err != nil {
		return slot, nil, err
	}
	_, err = tx.Exec(ctx, "UPDATE tickets SET open = open - 1 WHERE id = $1", id)
	return slot, nil, err
}

// Deliver implements release.Ledger.
func (s *Store) Deliver(ctx context.Context, slot release.Slot, reply []byte, now time.Time, r release.Record) (out release.Slot, err error) {
	err = s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE slots SET state = 'released', released = $1, reply = $2 WHERE ticket = $3 AND n = $4 AND state = 'reserved' AND session = $5 AND key = $6",
			nano(now), reply, slot.Ticket, slot.N, slot.Holder.Session[:], slot.Holder.Key[:])
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			out = slot
			out.State, out.Released, out.Reply = release.Released, now, reply
			return record(ctx, tx, r)
		}
		mine, ok, err := held(ctx, tx, slot.Ticket, slot.Holder)
		switch {
		case err != nil:
			return err
		case ok && mine.State == release.Released && len(mine.Reply) > 0:
			out = mine
			return nil
		}
		return release.Deny(release.TicketRevoked, "the reservation on ticket %s was taken back before the secret was sent", slot.Ticket)
	})
	return out, err
}

// Sweep implements release.Ledger.
func (s *Store) Sweep(ctx context.Context, burn, forget time.Time, limit int) error {
	return s.do(ctx, true, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE slots SET state = 'burned' WHERE (ticket, n) IN
			(SELECT ticket, n FROM slots WHERE state = 'reserved' AND reserved < $1 LIMIT $2 FOR UPDATE SKIP LOCKED) AND state = 'reserved'`, nano(burn), limit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE slots SET reply = NULL WHERE (ticket, n) IN
			(SELECT ticket, n FROM slots WHERE reply IS NOT NULL AND released < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)`, nano(forget), limit)
		return err
	})
}

// AppendRecord implements release.Log.
func (s *Store) AppendRecord(ctx context.Context, r release.Record) error {
	return s.do(ctx, false, func(ctx context.Context, tx pgx.Tx) error { return record(ctx, tx, r) })
}

func record(ctx context.Context, tx pgx.Tx, r release.Record) error {
	r.Seq = 0
	body, err := json.Marshal(r)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO records (time, body) VALUES ($1,$2)", nano(r.Time), string(body))
	return err
}

// Records implements store.Records.
func (s *Store) Records(ctx context.Context, after int64, limit int) ([]release.Record, error) {
	rows, err := s.pool.Query(ctx, "SELECT seq, body FROM records WHERE seq > $1 ORDER BY seq LIMIT $2", after, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []release.Record
	for rows.Next() {
		var seq int64
		var body string
		var r release.Record
		if err := rows.Scan(&seq, &body); err != nil {
			return nil, unavailable(err)
		}
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return nil, unavailable(err)
		}
		r.Seq = seq
		out = append(out, r)
	}
	return out, unavailable(rows.Err())
}
