package server

import (
	"context"
	"net/http"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/store"
)

// seeMachine enters a machine whose evidence was accepted into the registry: one that is affirmed, or that the policy of a
// deployment allows a release to all the same. Others stay out, or anybody with an authentic machine of their own could
// bring another's under suspicion. Only what evidence was authenticated to say takes part. Where the trace cannot be kept,
// the attempt fails: a copy must not pass because nobody was looking.
func (s *Server) seeMachine(ctx context.Context, a *appraise.Appraisal, rec release.Record) error {
	facts := release.Facts(a.Attesters()[0].Evidence.Claims())
	seen, ok := s.cfg.MachineIdentity.Read(facts, rec.Tier, s.cfg.Clock())
	if !ok {
		return nil
	}
	rec.Reason = ""
	out, err := s.cfg.Store.SeeMachine(context.WithoutCancel(ctx), seen, s.cfg.MachineLive, rec)
	if err != nil {
		return err
	}
	for _, x := range out.Raised {
		s.metrics.alarms.WithLabelValues(string(x.Signal)).Inc()
		s.cfg.Log.Warn("clone alarm", "request", rec.Request, "signal", string(x.Signal), "machine", seen.Machine, "detail", x.Detail)
	}
	return nil
}

// clones is what the broker asks about machines.
type clones struct{ cfg *Config }

var _ release.Clones = clones{}

// CloneSuspect implements release.Clones.
func (c clones) CloneSuspect(ctx context.Context, facts []string) (string, error) {
	seen, ok := c.cfg.MachineIdentity.Read(facts, "", c.cfg.Clock())
	if !ok {
		return "", nil
	}
	m, found, err := c.cfg.Store.Machine(ctx, seen.Machine)
	if err != nil || !found || !m.Suspect() {
		return "", err
	}
	return string(m.Alarms[0].Signal) + ", " + m.Alarms[0].Detail, nil
}

func (s *Server) listMachines(c *call) error {
	q := c.r.URL.Query()
	list, err := s.cfg.Store.MachineList(c.r.Context(), store.MachineQuery{
		Suspect: q.Get("suspect") == "true", EK: q.Get("ek"), After: q.Get("after"), Limit: min(limit(c), maxMachines),
	})
	if err != nil {
		return err
	}
	return c.json(doc(struct {
		Machines []registry.Machine `json:"machines"`
	}{orEmpty(list)}))
}

// maxMachines is the longest page: an entry with its history has up to some 20 KiB.
const maxMachines = 200

func (s *Server) getMachine(c *call) error {
	m, found, err := s.cfg.Store.Machine(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	if !found {
		return noMachine(c)
	}
	return c.json(doc(m))
}

func (s *Server) clearMachine(c *call) error {
	id := c.r.PathValue("id")
	rec := s.audit(c, "", "clone alarms cleared")
	rec.Subject = id
	found, err := s.cfg.Store.ClearMachine(c.r.Context(), id, s.cfg.Clock(), rec)
	if err != nil {
		return err
	}
	if !found {
		return noMachine(c)
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func noMachine(c *call) error {
	return &wireError{status: http.StatusNotFound, err: fault.New(fault.Usage, "there is no machine %q in the registry", clip(c.r.PathValue("id")))}
}
