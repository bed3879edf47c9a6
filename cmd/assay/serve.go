package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
)

func newServeCmd(a *app) *cobra.Command {
	c := defaultServeConfig(a.getenv)
	var file string
	var printConfig bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run verifier and key broker for guests that speak the KBS protocol",
		Long: `Serves the KBS protocol (auth, attest, resource) to guests and an administration API to operators, over one SQLite file.
Everything it needs is made in the state directory at the first start, so that "assay serve" alone works. Stop it with
SIGTERM: releases under way are finished.`,
		Example: "  assay serve\n  assay serve --print-config > assay.toml\n  assay serve --config assay.toml",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cfg := defaultServeConfig(a.getenv)
			// Printed empty: a file made by one user must not send another user's server into his home.
			cfg.State = ""
			if file != "" {
				b, err := a.read(file)
				if err != nil {
					return err
				}
				if err := cfg.load(b); err != nil {
					return fault.Wrap(err, "%s", file)
				}
			}
			overlay(cmd, &cfg, c)
			if printConfig {
				b, err := cfg.print()
				if err == nil {
					_, err = a.stdout.Write(b)
				}
				return err
			}
			if cfg.State == "" {
				cfg.State = stateDir(a.getenv)
			}
			return a.serve(cmd, cfg)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&file, "config", "", "read the configuration from a TOML `FILE`; flags win over it")
	fl.BoolVar(&printConfig, "print-config", false, "print the configuration in force, with what each key means, and exit")
	fl.StringVar(&c.Listen, "listen", c.Listen, "`ADDRESS` to listen on")
	fl.StringVar(&c.State, "state", c.State, "`DIR` for the database and the keys")
	fl.StringVar(&c.DB, "db", "", "share a PostgreSQL database between servers: `URL` postgres://…; empty is SQLite in the state directory")
	fl.StringArrayVar(&c.Anchors, "anchor", nil, "whom to believe: `FILE` (repeatable)")
	fl.StringArrayVar(&c.Statements, "statement", nil, "a signed statement from `FILE` (repeatable)")
	fl.StringArrayVar(&c.Policies, "policy", nil, "Rego from `FILE`: package assay.extra adds to the built-in policy, package assay replaces it (repeatable)")
	fl.StringVar(&c.Params, "params", "", "settings of the built-in policy from a JSON `FILE`")
	fl.StringArrayVar(&c.Collateral, "collateral", nil, "vendor data from `PATH` (repeatable)")
	fl.BoolVar(&c.Offline, "offline", false, "never fetch vendor data")
	fl.BoolVar(&c.Explain, "explain", false, "tell guests why they were refused")
	fl.BoolVar(&c.InsecureSimulator, "insecure-simulator", false, "accept roots of the simulator; results are marked")
	return cmd
}

// overlay copies the flags that were given over the file's values.
func overlay(cmd *cobra.Command, dst *serveConfig, flags serveConfig) {
	for name, set := range map[string]func(){
		"listen": func() { dst.Listen = flags.Listen }, "state": func() { dst.State = flags.State },
		"db": func() { dst.DB = flags.DB }, "anchor": func() { dst.Anchors = flags.Anchors }, "statement": func() { dst.Statements = flags.Statements },
		"policy": func() { dst.Policies = flags.Policies }, "params": func() { dst.Params = flags.Params },
		"collateral": func() { dst.Collateral = flags.Collateral }, "offline": func() { dst.Offline = flags.Offline },
		"explain": func() { dst.Explain = flags.Explain }, "insecure-simulator": func() { dst.InsecureSimulator = flags.InsecureSimulator },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
}

func (a *app) serve(cmd *cobra.Command, c serveConfig) error {
	log := slog.New(slog.NewJSONHandler(a.stderr, nil))
	b, err := a.newBroker(cmd.Context(), c, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		b.store.Close()
		return fault.New(fault.Usage, "cannot listen: %w", err)
	}
	scheme := "http"
	if c.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			l.Close()
			b.store.Close()
			return fault.New(fault.Usage, "tls: %w", err)
		}
		l, scheme = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), "https"
	}
	if c.InsecureSimulator {
		log.Warn("insecure: simulated hardware is accepted; do not keep secrets here that matter")
	}
	log.Info("serving", "url", fmt.Sprintf("%s://%s", scheme, l.Addr()), "state", c.State, "version", version)
	return b.serve(cmd.Context(), l)
}
