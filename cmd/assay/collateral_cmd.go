package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/proxy"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/builtin"
	"github.com/assay-tee/assay/internal/fault"
)

func newCollateralCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "collateral",
		Short: "Fetch, move and serve vendor data: certificates, revocation lists, TCB documents",
		Long: `Vendor data is never trusted because of where it comes from: every verifier checks it again. ASSAY_KDS_URL and
ASSAY_PCS_URL name other services than AMD's and Intel's, such as "assay collateral serve" of your own.`,
	}
	c.AddCommand(newCollateralFetchCmd(a), newCollateralServeCmd(a))
	return c
}

func newCollateralFetchCmd(a *app) *cobra.Command {
	var f fetchFlags
	c := &cobra.Command{
		Use:   "fetch EVIDENCE...",
		Short: "Fetch what verifying this evidence needs, into a directory for --collateral",
		Long: `Authenticates the evidence and keeps every document that was asked of a vendor for it. Take the directory to a place
without a network and give it to "assay verify --offline --collateral DIR".`,
		Example: "  assay collateral fetch quote.bin report.bin -o bundle\n  assay verify quote.bin --offline --collateral bundle",
		Args:    cobra.MinimumNArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			if f.out == "" {
				return fault.New(fault.Usage, "say where the documents go: -o DIR")
			}
			return a.collateralFetch(cmd.Context(), f, args)
		}),
	}
	fl := c.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "`DIR` for the documents; it may exist")
	fl.StringVar(&f.as, "as", "", "force the `FORMAT` of the evidence instead of detecting it")
	fl.StringVar(&f.at, "at", "", "as of this `TIME` (RFC 3339) instead of now")
	fl.StringArrayVar(&f.paths, "collateral", nil, "vendor data that is at hand already: `PATH` (repeatable)")
	fl.StringArrayVar(&f.anchors, "anchor", nil, "hardware root from `FILE` in place of the built-in ones (repeatable)")
	fl.BoolVar(&f.insecure, "insecure-simulator", false, "accept roots of the simulator")
	return c
}

type fetchFlags struct {
	out, as, at    string
	paths, anchors []string
	insecure       bool
}

// keeper passes requests on and keeps the answers.
type keeper struct {
	evidence.Collateral
	dir   *collateral.Dir
	now   func() time.Time
	mu    sync.Mutex
	names []string
}

// Get implements evidence.Collateral.
func (k *keeper) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	r, err := k.Collateral.Get(ctx, req)
	if err != nil {
		return r, err
	}
	if err := k.dir.Put(req, r, k.now()); err != nil {
		return r, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names = append(k.names, req.Service+" "+req.Path)
	return r, nil
}

func (a *app) collateralFetch(ctx context.Context, f fetchFlags, args []string) error {
	at, err := a.clock(f.at)
	if err != nil {
		return err
	}
	tr, err := a.loadAnchors(f.anchors, f.insecure)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	dir, err := collateral.OpenDir(f.out)
	if err != nil {
		return err
	}
	defer dir.Close()
	origin, err := a.collateral(f.paths, false)
	if err != nil {
		return err
	}
	table, err := builtin.New()
	if err != nil {
		return err
	}
	evs, err := a.readEvidence(args, f.as)
	if err != nil {
		return err
	}
	k := &keeper{Collateral: origin, dir: dir, now: a.now}
	var failed []error
	for i, ev := range evs {
		row, err := table.For(ev)
		if err == nil {
			// Whose evidence this is does not matter for what verifying it needs.
			_, err = row.Driver.Authenticate(ctx, ev, evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: tr.hardware, Collateral: k})
		}
		if err != nil {
			failed = append(failed, fault.Wrap(err, "%s", args[min(i, len(args)-1)]))
		}
	}
	for _, n := range k.names {
		fmt.Fprintln(a.stdout, n)
	}
	fmt.Fprintf(a.stderr, "%d documents in %s\n", len(k.names), f.out)
	return errors.Join(failed...)
}

func newCollateralServeCmd(a *app) *cobra.Command {
	var listen, dir string
	var paths []string
	var offline bool
	c := &cobra.Command{
		Use:   "serve",
		Short: "A caching proxy with the faces of AMD's KDS and Intel's PCS",
		Long: `Guests and verifiers of a closed network need this one address. It asks the vendors once per document, refreshes what is
used before it expires, and stays away from a vendor that refuses. With --offline it serves what it was given, and never
opens a connection.`,
		Example: "  assay collateral serve --dir /var/cache/assay --listen 0.0.0.0:8081\n  ASSAY_KDS_URL=http://proxy:8081 ASSAY_PCS_URL=http://proxy:8081 assay verify report.bin",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			return a.collateralServe(cmd.Context(), listen, dir, paths, offline)
		}),
	}
	fl := c.Flags()
	fl.StringVar(&listen, "listen", "127.0.0.1:8081", "`ADDRESS` to listen on")
	fl.StringVar(&dir, "dir", "", "keep documents in `DIR` across restarts")
	fl.StringArrayVar(&paths, "collateral", nil, "vendor data that is at hand already: `PATH` (repeatable)")
	fl.BoolVar(&offline, "offline", false, "serve only what is at hand")
	return c
}

func (a *app) collateralServe(ctx context.Context, listen, dir string, paths []string, offline bool) error {
	origin, err := a.collateral(paths, offline)
	if err != nil {
		return err
	}
	cfg := proxy.Config{Origin: origin}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fault.New(fault.Usage, "%w", err)
		}
		d, err := collateral.OpenDir(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		cfg.Store = d
	}
	p, err := proxy.New(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fault.New(fault.Usage, "cannot listen: %w", err)
	}
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	log := slog.New(slog.NewJSONHandler(a.stderr, nil))
	log.Info("serving vendor data", "url", "http://"+l.Addr().String(), "offline", offline)
	go p.Run(ctx, time.Minute)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = srv.Shutdown(stop)
	}
	n := p.Counters()
	log.Info("stopped", "hits", n.Hits.Load(), "misses", n.Misses.Load(), "fetched", n.Fetched.Load(), "failed", n.Failed.Load())
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}
