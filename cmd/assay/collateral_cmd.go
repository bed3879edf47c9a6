package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/bundle"
	"github.com/assay-tee/assay/collateral/proxy"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/builtin"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
)

func newCollateralCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "collateral",
		Short: "Fetch, move and serve vendor data: certificates, revocation lists, TCB documents",
		Long: `Vendor data is never trusted because of where it comes from: every verifier checks it again. ASSAY_KDS_URL and
ASSAY_PCS_URL name other services than AMD's and Intel's, such as "assay collateral serve" of your own.`,
	}
	c.AddCommand(newCollateralFetchCmd(a), newCollateralExportCmd(a), newCollateralImportCmd(a), newCollateralServeCmd(a))
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
	f.add(c, "`DIR` for the documents; it may exist")
	return c
}

func (f *fetchFlags) add(c *cobra.Command, out string) {
	fl := c.Flags()
	fl.StringVarP(&f.out, "output", "o", "", out)
	fl.StringVar(&f.as, "as", "", "force the `FORMAT` of the evidence instead of detecting it")
	fl.StringVar(&f.at, "at", "", "as of this `TIME` (RFC 3339) instead of now")
	fl.StringArrayVar(&f.paths, "collateral", nil, "vendor data that is at hand already: `PATH` (repeatable)")
	fl.StringArrayVar(&f.anchors, "anchor", nil, "hardware root from `FILE` in place of the built-in ones (repeatable)")
	fl.BoolVar(&f.insecure, "insecure-simulator", false, "accept roots of the simulator")
}

type fetchFlags struct {
	out, as, at    string
	paths, anchors []string
	insecure       bool
}

// keeper passes requests on and keeps the answers.
type keeper struct {
	evidence.Collateral
	now     func() time.Time
	mu      sync.Mutex
	entries []bundle.Entry
}

// Get implements evidence.Collateral.
func (k *keeper) Get(ctx context.Context, req evidence.Request) (evidence.Response, error) {
	r, err := k.Collateral.Get(ctx, req)
	if err != nil {
		return r, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	req = collateral.Canonical(req)
	if !slices.ContainsFunc(k.entries, func(e bundle.Entry) bool { return e.Request == req }) {
		k.entries = append(k.entries, bundle.Entry{Request: req, Response: r, Had: k.now().UTC().Truncate(time.Second)})
	}
	return r, nil
}

// gather authenticates evidence and returns every document that was asked of a vendor for it. Whose evidence it is does
// not matter for what verifying it needs.
func (a *app) gather(ctx context.Context, f fetchFlags, args []string) ([]bundle.Entry, error) {
	at, err := a.clock(f.at)
	if err != nil {
		return nil, err
	}
	tr, err := a.loadAnchors(f.anchors, f.insecure)
	if err != nil {
		return nil, err
	}
	origin, err := a.collateral(f.paths, false)
	if err != nil {
		return nil, err
	}
	table, err := builtin.New()
	if err != nil {
		return nil, err
	}
	evs, err := a.readEvidence(args, f.as)
	if err != nil {
		return nil, err
	}
	k := &keeper{Collateral: origin, now: a.now}
	var failed []error
	for i, ev := range evs {
		row, err := table.For(ev)
		if err == nil {
			_, err = row.Driver.Authenticate(ctx, ev, evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: tr.hardware, Collateral: k})
		}
		if err != nil {
			failed = append(failed, fault.Wrap(err, "%s", args[min(i, len(args)-1)]))
		}
	}
	return k.entries, errors.Join(failed...)
}

func (a *app) collateralFetch(ctx context.Context, f fetchFlags, args []string) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	dir, err := collateral.OpenDir(f.out)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := a.gather(ctx, f, args)
	for _, e := range entries {
		if perr := dir.Put(e.Request, e.Response, e.Had); perr != nil {
			return perr
		}
		fmt.Fprintf(a.stdout, "%s %s\n", e.Request.Service, e.Request.Path)
	}
	fmt.Fprintf(a.stderr, "%d documents in %s\n", len(entries), f.out)
	if err == nil && len(entries) == 0 {
		fmt.Fprintln(a.stderr, nothingFetched)
	}
	return err
}

// nothingFetched says what an empty answer means to who wanted to carry documents away.
const nothingFetched = "no vendor had to be asked: what the evidence carries and --collateral names is enough; take those files along"

func newCollateralExportCmd(a *app) *cobra.Command {
	var f fetchFlags
	var keyFile string
	c := &cobra.Command{
		Use:   "export EVIDENCE...",
		Short: "Fetch what verifying this evidence needs, into one signed file for a site without a network",
		Long: `As "collateral fetch", into one file signed with your key, so that the other side sees that nothing was left out or
exchanged on the way. "assay collateral import" opens it there and checks every document again.`,
		Example: "  assay collateral export quote.bin --key courier.key -o site.bundle",
		Args:    cobra.MinimumNArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			if f.out == "" || keyFile == "" {
				return fault.New(fault.Usage, "name the file and the key that signs it: -o FILE --key FILE")
			}
			key, err := keys.Load(keyFile)
			if err != nil {
				return err
			}
			entries, err := a.gather(cmd.Context(), f, args)
			if err != nil {
				return err
			}
			if len(entries) == 0 {
				return fault.New(fault.Usage, "no bundle was written: %s", nothingFetched)
			}
			b, err := bundle.Seal(entries, key, a.now())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "%d documents in %s\n", len(entries), f.out)
			return a.output(f.out, 0o644, func(w io.Writer) error { _, err := w.Write(b); return err })
		}),
	}
	f.add(c, "`FILE` for the bundle")
	c.Flags().StringVar(&keyFile, "key", "", "private key in `FILE` that signs the bundle")
	return c
}

func newCollateralImportCmd(a *app) *cobra.Command {
	var out, at string
	var pubs, anchors []string
	var insecure bool
	c := &cobra.Command{
		Use:   "import BUNDLE",
		Short: "Open a signed bundle, check every document in it, and put them into a directory",
		Long: `Nothing is imported when a document does not hold, or would take the place of a newer one: that would be the way to bring
a revoked key or an old TCB level back.`,
		Example: "  assay collateral import site.bundle --key courier.key.pub -o bundle\n  assay verify quote.bin --offline --collateral bundle",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			if out == "" || len(pubs) == 0 {
				return fault.New(fault.Usage, "name the directory and whose signature counts: -o DIR --key FILE")
			}
			t, err := a.clock(at)
			if err != nil {
				return err
			}
			return a.collateralImport(args[0], out, pubs, anchors, insecure, t)
		}),
	}
	fl := c.Flags()
	fl.StringVarP(&out, "output", "o", "", "`DIR` for the documents; it may exist")
	fl.StringArrayVar(&pubs, "key", nil, "public key in `FILE` of who signed the bundle (repeatable)")
	fl.StringVar(&at, "at", "", "as of this `TIME` (RFC 3339) instead of now")
	fl.StringArrayVar(&anchors, "anchor", nil, "hardware root from `FILE` in place of the built-in ones (repeatable)")
	fl.BoolVar(&insecure, "insecure-simulator", false, "accept roots of the simulator")
	return c
}

func (a *app) collateralImport(name, out string, pubs, anchors []string, insecure bool, at time.Time) error {
	raw, err := a.read(name)
	if err != nil {
		return err
	}
	var trusted []keys.Public
	for _, p := range pubs {
		b, err := a.read(p)
		if err != nil {
			return err
		}
		ks, err := keys.ParsePublic(b)
		if err != nil {
			return fault.Wrap(err, "--key %s", p)
		}
		trusted = append(trusted, ks...)
	}
	tr, err := a.loadAnchors(anchors, insecure)
	if err != nil {
		return err
	}
	b, err := bundle.Open(raw, trusted)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	dir, err := collateral.OpenDir(out)
	if err != nil {
		return err
	}
	defer dir.Close()
	list, err := b.Import(dir, tr.hardware, at)
	if err != nil {
		return err
	}
	for _, r := range list {
		state := "form checked; its signature is, with the evidence"
		if r.Verified {
			state = "verified"
		}
		if r.Expired {
			state += ", expired on " + r.Until.UTC().Format(time.RFC3339)
		} else if !r.Until.IsZero() {
			state += ", until " + r.Until.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(a.stdout, "%s %s: %s\n", r.Request.Service, r.Request.Path, state)
	}
	return nil
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
