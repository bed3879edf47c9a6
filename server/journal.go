package server

import (
	"context"
	"strconv"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/translog"
	"github.com/assay-tee/assay/store"
)

const (
	growEvery = time.Second
	growBatch = 1000
)

// journal takes new records into the log's tree and signs its head. Until then a record can be changed by whoever can
// write the store; from then on only by whoever also has the log's key, and not unseen by those who kept a checkpoint.
func (s *Server) journal(ctx context.Context) {
	defer close(s.grown)
	tick := time.NewTicker(growEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			// What was decided last belongs into the tree as well.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			s.growLog(last)
			return
		case <-tick.C:
			s.growLog(ctx)
		}
	}
}

func (s *Server) growLog(ctx context.Context) {
	for {
		n, err := s.cfg.Store.GrowLog(ctx, growBatch, s.grow)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("the log of decisions could not be signed", "err", err)
		}
		if err != nil || n < growBatch {
			return
		}
	}
}

func (s *Server) grow(b store.LogBatch) (store.LogGrowth, error) {
	out := store.LogGrowth{First: translog.Stored(b.Size)}
	hashes, tree, err := translog.Grow(b.Size, b.Leaves, func(indexes []int64) ([]translog.Hash, error) {
		raw, err := b.Read(indexes)
		hs := make([]translog.Hash, len(raw))
		for i := range raw {
			hs[i] = raw[i]
		}
		return hs, err
	})
	if err != nil {
		return out, err
	}
	for _, h := range hashes {
		out.Hashes = append(out.Hashes, h)
	}
	out.Checkpoint, err = translog.Sign(tree, s.cfg.LogSigner)
	return out, err
}

func (s *Server) logCheckpoint(c *call) error {
	cp, err := s.cfg.Store.LogCheckpoint(c.r.Context())
	if err != nil {
		return err
	}
	if cp == nil {
		return fault.New(fault.Unavailable, "no line of the log has been signed yet")
	}
	return c.json(doc(struct {
		Checkpoint string `json:"checkpoint"`
	}{string(cp)}))
}

func (s *Server) logLeaves(c *call) error {
	from, err := strconv.ParseInt(c.r.URL.Query().Get("from"), 10, 64)
	if err != nil || from < 0 {
		from = 0
	}
	leaves, err := s.cfg.Store.LogLeaves(c.r.Context(), from, limit(c))
	if err != nil {
		return err
	}
	return c.json(doc(struct {
		From   int64    `json:"from"`
		Leaves []string `json:"leaves"`
	}{from, orEmpty(leaves)}))
}
