package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
)

// IssueTicket implements release.Ledger.
func (s *Store) IssueTicket(ctx context.Context, t release.Ticket) error {
	conds, err := json.Marshal(t.Where)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	return s.do(ctx, true, func(w *writer) error {
		if _, err := w.exec("INSERT INTO tickets (id, resource, secret, subject, key, conditions, uses, not_after, created, by, open, allow_clone) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
			t.ID, t.Resource, t.Secret, t.Subject, t.Key(), string(conds), t.Uses, nano(t.NotAfter), nano(t.Created), t.By, len(t.Slots), t.AllowClone); err != nil {
			return err
		}
		for _, slot := range t.Slots {
			if _, err := w.exec("INSERT INTO slots (ticket, n, state) VALUES (?,?,'authorised')", t.ID, slot.N); err != nil {
				return err
			}
		}
		return nil
	})
}

// Tickets implements release.Ledger. With facts, tickets that can still release come first, newest first.
func (s *Store) Tickets(ctx context.Context, q release.TicketQuery) ([]release.Ticket, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = 1000
	}
	query, args := "SELECT id, resource, secret, subject, conditions, uses, not_after, created, by, revoked, allow_clone FROM tickets WHERE id > ?", []any{q.After}
	if q.Resource != "" {
		query, args = query+" AND resource = ?", append(args, q.Resource)
	}
	order := " ORDER BY id"
	if q.Facts != nil {
		query += " AND key IN ('',?" + strings.Repeat(",?", len(q.Facts)) + ")"
		args = append(args, "")
		for _, f := range q.Facts {
			args = append(args, f)
		}
		order = " ORDER BY open > 0 DESC, created DESC"
	}
	rows, err := s.read.QueryContext(ctx, query+order+" LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []release.Ticket
	for rows.Next() {
		var t release.Ticket
		var conds string
		var notAfter, created int64
		if err := rows.Scan(&t.ID, &t.Resource, &t.Secret, &t.Subject, &conds, &t.Uses, &notAfter, &created, &t.By, &t.Revoked, &t.AllowClone); err != nil {
			return nil, unavailable(err)
		}
		if err := json.Unmarshal([]byte(conds), &t.Where); err != nil {
			return nil, unavailable(err)
		}
		t.NotAfter, t.Created = fromNano(notAfter), fromNano(created)
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	for i := range out {
		if out[i].Slots, err = s.slots(ctx, out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) slots(ctx context.Context, ticket string) ([]release.Slot, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT n, state, coalesce(reserved, 0), coalesce(released, 0) FROM slots WHERE ticket = ? ORDER BY n", ticket)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var out []release.Slot
	for rows.Next() {
		x := release.Slot{Ticket: ticket}
		var reserved, released int64
		if err := rows.Scan(&x.N, &x.State, &reserved, &released); err != nil {
			return nil, unavailable(err)
		}
		x.Reserved, x.Released = optional(reserved), optional(released)
		out = append(out, x)
	}
	return out, unavailable(rows.Err())
}

func optional(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return fromNano(n)
}

// RevokeTicket implements release.Ledger.
func (s *Store) RevokeTicket(ctx context.Context, id string, now time.Time) (found bool, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		n, err := w.exec("UPDATE tickets SET revoked = 1, open = 0 WHERE id = ?", id)
		if err != nil {
			return err
		}
		found = n == 1
		_, err = w.exec("UPDATE slots SET state = 'revoked' WHERE ticket = ? AND state IN ('authorised', 'reserved')", id)
		return err
	})
	return found, err
}

// Reserve implements release.Ledger.
func (s *Store) Reserve(ctx context.Context, tickets []string, h release.Holder, now time.Time) (out release.Slot, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		for _, id := range tickets {
			slot, ok, err := w.held(id, h)
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
			slot, no, err := w.reserve(id, h, now)
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
func (w *writer) held(id string, h release.Holder) (release.Slot, bool, error) {
	x := release.Slot{Ticket: id, Holder: h}
	var reserved, released int64
	err := w.row("SELECT n, state, reserved, coalesce(released, 0), reply FROM slots WHERE ticket = ? AND session = ? AND key = ? AND state IN ('reserved', 'released') ORDER BY n LIMIT 1",
		id, h.Session[:], h.Key[:]).Scan(&x.N, &x.State, &reserved, &released, &x.Reply)
	if errors.Is(err, sql.ErrNoRows) {
		return x, false, nil
	}
	x.Reserved, x.Released = fromNano(reserved), optional(released)
	return x, err == nil, err
}

// reserve is the compare-and-swap; no says why it did not happen.
func (w *writer) reserve(id string, h release.Holder, now time.Time) (slot release.Slot, no, err error) {
	var notAfter int64
	var revoked bool
	err = w.row("SELECT not_after, revoked FROM tickets WHERE id = ?", id).Scan(&notAfter, &revoked)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return slot, release.Deny(release.TicketMissing, "the ticket is gone"), nil
	case err != nil:
		return slot, nil, err
	case revoked:
		return slot, release.Deny(release.TicketRevoked, "the ticket %s was revoked", id), nil
	}
	slot = release.Slot{Ticket: id, State: release.Reserved, Holder: h, Reserved: now}
	if now.UnixNano() > notAfter {
		return slot, release.Deny(release.TicketExpired, "the ticket %s ran out at %s", id, fromNano(notAfter).Format(time.RFC3339)), nil
	}
	err = w.row(`UPDATE slots SET state = 'reserved', session = ?, key = ?, reserved = ?
		WHERE ticket = ? AND state = 'authorised' AND n = (SELECT min(n) FROM slots WHERE ticket = ? AND state = 'authorised') RETURNING n`,
		h.Session[:], h.Key[:], nano(now), id, id).Scan(&slot.N)
	if errors.Is(err, sql.ErrNoRows) {
		return slot, release.Deny(release.TicketUsed, "the ticket %s is used up", id), nil
	}
	if err != nil {
		return slot, nil, err
	}
	_, err = w.exec("UPDATE tickets SET open = open - 1 WHERE id = ?", id)
	return slot, nil, err
}

// Deliver implements release.Ledger.
func (s *Store) Deliver(ctx context.Context, slot release.Slot, reply []byte, now time.Time, r release.Record) (out release.Slot, err error) {
	err = s.do(ctx, true, func(w *writer) error {
		n, err := w.exec("UPDATE slots SET state = 'released', released = ?, reply = ? WHERE ticket = ? AND n = ? AND state = 'reserved' AND session = ? AND key = ?",
			nano(now), reply, slot.Ticket, slot.N, slot.Holder.Session[:], slot.Holder.Key[:])
		if err != nil {
			return err
		}
		if n == 1 {
			out = slot
			out.State, out.Released, out.Reply = release.Released, now, reply
			return w.record(r)
		}
		held, ok, err := w.held(slot.Ticket, slot.Holder)
		switch {
		case err != nil:
			return err
		case ok && held.State == release.Released && len(held.Reply) > 0:
			out = held
			return nil
		}
		return release.Deny(release.TicketRevoked, "the reservation on ticket %s was taken back before the secret was sent", slot.Ticket)
	})
	return out, err
}

// Sweep implements release.Ledger.
func (s *Store) Sweep(ctx context.Context, burn, forget time.Time, limit int) error {
	return s.do(ctx, true, func(w *writer) error {
		if _, err := w.exec("UPDATE slots SET state = 'burned' WHERE rowid IN (SELECT rowid FROM slots WHERE state = 'reserved' AND reserved < ? LIMIT ?)", nano(burn), limit); err != nil {
			return err
		}
		_, err := w.exec("UPDATE slots SET reply = NULL WHERE rowid IN (SELECT rowid FROM slots WHERE reply IS NOT NULL AND released < ? LIMIT ?)", nano(forget), limit)
		return err
	})
}

// AppendRecord implements release.Log.
func (s *Store) AppendRecord(ctx context.Context, r release.Record) error {
	return s.do(ctx, false, func(w *writer) error { return w.record(r) })
}

func (w *writer) record(r release.Record) error {
	r.Seq = 0
	body, err := json.Marshal(r)
	if err != nil {
		return fault.As(fault.Internal, err)
	}
	_, err = w.exec("INSERT INTO records (time, body) VALUES (?,?)", nano(r.Time), string(body))
	return err
}

// Records implements store.Records.
func (s *Store) Records(ctx context.Context, after int64, limit int) ([]release.Record, error) {
	rows, err := s.read.QueryContext(ctx, "SELECT seq, body FROM records WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
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
