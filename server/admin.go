package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release"
)

func (s *Server) healthz(c *call) error { return c.raw("", nil) }

// readyz writes to the store: a broker that cannot write its ledger releases nothing, so it should get no guests.
func (s *Server) readyz(c *call) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), 5*time.Second)
	defer cancel()
	if err := s.cfg.Store.Ping(ctx); err != nil {
		return err
	}
	return c.raw("text/plain; charset=utf-8", []byte("ready\n"))
}

func (s *Server) jwks(c *call) error {
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	return c.raw("application/json", s.cfg.Parts.JWKS())
}

func (s *Server) appraise(c *call) error {
	out, err := s.cfg.Appraise(c.r.Context(), c.body)
	if err != nil {
		return err
	}
	return c.raw("application/json", out)
}

// audit is the log line of an administrative change.
func (s *Server) audit(c *call, resource, detail string) release.Record {
	return release.Record{Time: s.cfg.Clock(), Kind: "admin", Request: c.id, Actor: c.admin.Name, Resource: resource, Detail: detail}
}

// storeSecret stores the body under the path. Whether a secret is one-shot is said by the query; a new version of a
// one-shot secret stays one unless the caller says otherwise.
func (s *Server) storeSecret(c *call) (release.SecretInfo, error) {
	path, err := resourcePath(c)
	if err != nil {
		return release.SecretInfo{}, err
	}
	info := release.SecretInfo{Path: path, Created: s.cfg.Clock(), By: c.admin.Name}
	switch q := c.r.URL.Query().Get("one_shot"); q {
	case "":
		old, found, err := s.cfg.Store.LatestSecret(c.r.Context(), path)
		if err != nil {
			return info, err
		}
		info.OneShot = found && old.OneShot
	default:
		if info.OneShot, err = strconv.ParseBool(q); err != nil {
			return info, fault.New(fault.Usage, "one_shot is true or false, not %q", clip(q))
		}
	}
	return vault{s.cfg.Store, s.cfg.Sealer}.put(c.r.Context(), info, c.body, s.audit(c, path, "secret stored"))
}

func (s *Server) kbsPutResource(c *call) error {
	if _, err := s.storeSecret(c); err != nil {
		return err
	}
	return c.raw("text/xml", nil)
}

func (s *Server) kbsDeleteResource(c *call) error {
	path, err := resourcePath(c)
	if err != nil {
		return err
	}
	if _, err := s.cfg.Store.DeleteSecret(c.r.Context(), path, s.audit(c, path, "secret deleted")); err != nil {
		return err
	}
	return c.raw("text/xml", nil)
}

func (s *Server) putSecret(c *call) error {
	info, err := s.storeSecret(c)
	if err != nil {
		return err
	}
	return c.json(doc(info))
}

func (s *Server) deleteSecret(c *call) error {
	path, err := resourcePath(c)
	if err != nil {
		return err
	}
	found, err := s.cfg.Store.DeleteSecret(c.r.Context(), path, s.audit(c, path, "secret deleted"))
	if err != nil {
		return err
	}
	if !found {
		return &wireError{status: http.StatusNotFound, err: release.Deny(release.SecretMissing, "nothing is stored under %s", path)}
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listSecrets(c *call) error {
	list, err := s.cfg.Store.SecretList(c.r.Context(), c.r.URL.Query().Get("after"), limit(c))
	if err != nil {
		return err
	}
	return c.json(doc(struct {
		Secrets []release.SecretInfo `json:"secrets"`
	}{orEmpty(list)}))
}

// ticketRequest is the body of POST /v1/tickets.
type ticketRequest struct {
	Resource string              `json:"resource"`
	Secret   string              `json:"secret"`
	Subject  string              `json:"subject"`
	Where    []release.Condition `json:"where"`
	Uses     int                 `json:"uses"`
	NotAfter time.Time           `json:"not_after"`
	Life     string              `json:"life"` // instead of not_after: "24h"
	// AllowClone: also for machines under a clone alarm.
	AllowClone bool `json:"allow_clone"`
}

func (s *Server) issueTicket(c *call) error {
	var q ticketRequest
	if err := jsonx.Unmarshal(c.body, &q, true); err != nil {
		return err
	}
	now := s.cfg.Clock()
	if q.Life != "" {
		d, err := time.ParseDuration(q.Life)
		if err != nil || !q.NotAfter.IsZero() {
			return fault.New(fault.Usage, "life is a duration such as 24h, and stands instead of not_after")
		}
		q.NotAfter = now.Add(d)
	}
	if q.NotAfter.IsZero() {
		q.NotAfter = now.Add(24 * time.Hour)
	}
	for _, p := range []string{q.Resource, q.Secret} {
		if p != "" && !rcar.ValidResource(p) {
			return fault.New(fault.Malformed, "%q is not of the form repository/type/tag", clip(p))
		}
	}
	t, err := release.NewTicket(release.Ticket{
		Resource: q.Resource, Secret: q.Secret, Subject: q.Subject, Where: q.Where, Uses: q.Uses, NotAfter: q.NotAfter, By: c.admin.Name, AllowClone: q.AllowClone,
	}, now)
	if err != nil {
		return err
	}
	if err := s.cfg.Store.IssueTicket(c.r.Context(), t); err != nil {
		return err
	}
	rec := s.audit(c, t.Resource, "ticket issued")
	rec.Ticket, rec.Subject = t.ID, t.Subject
	if t.AllowClone {
		rec.Detail += ", for machines under a clone alarm too"
	}
	if err := s.cfg.Store.AppendRecord(c.r.Context(), rec); err != nil {
		return err
	}
	return c.json(doc(t))
}

func (s *Server) listTickets(c *call) error {
	q := c.r.URL.Query()
	list, err := s.cfg.Store.Tickets(c.r.Context(), release.TicketQuery{Resource: q.Get("resource"), After: q.Get("after"), Limit: limit(c)})
	if err != nil {
		return err
	}
	now := s.cfg.Clock()
	for i := range list {
		list[i] = list[i].At(now)
	}
	return c.json(doc(struct {
		Tickets []release.Ticket `json:"tickets"`
	}{orEmpty(list)}))
}

func (s *Server) revokeTicket(c *call) error {
	id := c.r.PathValue("id")
	found, err := s.cfg.Store.RevokeTicket(c.r.Context(), id, s.cfg.Clock())
	if err != nil {
		return err
	}
	if !found {
		return &wireError{status: http.StatusNotFound, err: release.Deny(release.TicketMissing, "there is no ticket %q", clip(id))}
	}
	rec := s.audit(c, "", "ticket revoked")
	rec.Ticket = id
	if err := s.cfg.Store.AppendRecord(c.r.Context(), rec); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listLog(c *call) error {
	after, _ := strconv.ParseInt(c.r.URL.Query().Get("after"), 10, 64)
	list, err := s.cfg.Store.Records(c.r.Context(), after, limit(c))
	if err != nil {
		return err
	}
	return c.json(doc(struct {
		Records []release.Record `json:"records"`
	}{orEmpty(list)}))
}

const defaultList, maxList = 100, 1000

func limit(c *call) int {
	n, err := strconv.Atoi(c.r.URL.Query().Get("limit"))
	if err != nil || n <= 0 {
		return defaultList
	}
	return min(n, maxList)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
