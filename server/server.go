package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
)

// Server serves.
type Server struct {
	cfg       Config
	http      *http.Server
	broker    *release.Broker
	cache     *appraisals
	bodies    *budget
	pending   *pending
	authz     *authz
	live      *live
	passports *passports
	metrics   *metrics
	stop      context.CancelFunc
	grown     chan struct{}
	swept     chan struct{}
	once      sync.Once
	routes    []route
}

// maxHeader is what the existing server accepts; a verbose token in a header can be long.
const maxHeader = 128 << 10

// New checks cfg. The server does not listen before [Server.Serve].
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	auth, err := newAuthz(cfg)
	if err != nil {
		return nil, err
	}
	passports, err := newPassports(cfg.Passport)
	if err != nil {
		return nil, err
	}
	broker, err := release.New(release.Config{
		Ledger: cfg.Store, Log: cfg.Store, Now: cfg.Clock, Window: cfg.ResendWindow, Reached: cfg.Reached,
		Secrets: vault{store: cfg.Store, sealer: cfg.Sealer}, Clones: clones{&cfg},
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, broker: broker, metrics: newMetrics(cfg.Version), authz: auth, passports: passports, cache: newAppraisals(cfg.Limits.Appraisals), bodies: newBudget(cfg.Limits.BodyBytes),
		pending: newPending(cfg.Limits.UnfinishedPerAddress), swept: make(chan struct{}), grown: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	if s.live, err = newLive(ctx, &s.cfg); err != nil {
		cancel()
		return nil, err
	}
	s.routes = s.table()
	s.http = &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
	}
	s.stop = cancel
	go s.sweep(ctx)
	if cfg.LogSigner != nil {
		go s.journal(ctx)
	} else {
		close(s.grown)
	}
	return s, nil
}

// Serve answers on l until [Server.Shutdown]. It closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(newListener(l, s.cfg.Limits))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fault.As(fault.Internal, err)
}

// Shutdown stops listening and waits for the requests under way, so that a release that has begun is finished.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	s.once.Do(s.stop)
	<-s.swept
	<-s.live.done
	<-s.grown
	return fault.As(fault.Unavailable, err)
}

const (
	sweepEvery = 2 * time.Second
	sweepBatch = 500
)

// sweep removes what has expired, a bounded number at a time and found by indexes.
func (s *Server) sweep(ctx context.Context) {
	defer close(s.swept)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	window := max(s.cfg.ResendWindow, time.Minute)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.cfg.Clock()
		if _, err := s.cfg.Store.SweepSessions(ctx, now, sweepBatch); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("sessions could not be swept", "err", err)
		}
		// A reservation whose session is over can be completed by nobody.
		if err := s.cfg.Store.Sweep(ctx, now.Add(-s.cfg.SessionLife-time.Minute), now.Add(-window), sweepBatch); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("the ledger could not be swept", "err", err)
		}
	}
}
