package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/release/seal"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/store"
	"github.com/assay-tee/assay/store/postgres"
	"github.com/assay-tee/assay/store/sqlite"
)

type passportConfig struct {
	Keys     []string `toml:"keys"`
	Roots    []string `toml:"roots"`
	Issuer   string   `toml:"issuer"`
	Audience string   `toml:"audience"`
}

type providerConfig struct {
	Issuer   string   `toml:"issuer"`
	Audience string   `toml:"audience"`
	Keys     []string `toml:"keys"`
	Role     string   `toml:"role"`
}

type aclConfig struct {
	Role             string `toml:"role"`
	AllowedEndpoints string `toml:"allowed_endpoints"`
}

func openStore(ctx context.Context, c serveConfig) (store.Store, error) {
	if c.DB != "" {
		return postgres.Open(ctx, postgres.Config{URL: c.DB})
	}
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(c.State, "assay.db")})
}

// loadSealer makes a new identity only where it is this server's own: one that servers share is made once, by hand.
func loadSealer(c serveConfig) (*seal.Sealer, error) {
	if c.SealKey != "" {
		return seal.Load(c.SealKey)
	}
	return seal.LoadOrCreate(filepath.Join(c.State, "seal.age"))
}

// trust fills in who may administer and whose results count.
func (a *app) trust(c serveConfig, cfg *server.Config) error {
	for _, v := range c.ProtocolVersions {
		cfg.Versions = append(cfg.Versions, rcar.Version(v))
	}
	cfg.Authorization.Mode = server.AuthorizationMode(c.AuthorizationMode)
	for _, p := range c.Providers {
		keys, err := a.publicKeys(p.Keys)
		if err != nil {
			return err
		}
		cfg.Authorization.Providers = append(cfg.Authorization.Providers, server.Provider{Issuer: p.Issuer, Audience: p.Audience, Keys: keys, Role: p.Role})
	}
	for _, l := range c.ACLs {
		cfg.Authorization.ACLs = append(cfg.Authorization.ACLs, server.ACL{Role: l.Role, AllowedEndpoints: l.AllowedEndpoints})
	}
	if len(c.Passport.Keys)+len(c.Passport.Roots) == 0 {
		return nil
	}
	affirming, err := rego.CompileResource(rego.AffirmingResource)
	if err != nil {
		return err
	}
	p := &server.Passport{Issuer: c.Passport.Issuer, Audience: c.Passport.Audience, AllowInsecure: c.InsecureSimulator, Policy: affirming}
	if p.Keys, err = a.publicKeys(c.Passport.Keys); err != nil {
		return err
	}
	for _, name := range c.Passport.Roots {
		err := a.pemBlocks(name, func(b *pem.Block) error {
			cert, err := x509.ParseCertificate(b.Bytes)
			p.Roots = append(p.Roots, cert)
			return err
		})
		if err != nil {
			return err
		}
	}
	cfg.Passport = p
	return nil
}

func (a *app) publicKeys(files []string) (out []crypto.PublicKey, err error) {
	for _, name := range files {
		err := a.pemBlocks(name, func(b *pem.Block) error {
			k, err := x509.ParsePKIXPublicKey(b.Bytes)
			out = append(out, k)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *app) pemBlocks(name string, take func(*pem.Block) error) error {
	rest, err := a.read(name)
	if err != nil {
		return err
	}
	n := 0
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if err := take(b); err != nil {
			return fault.New(fault.Malformed, "%s: %w", name, err)
		}
		n++
	}
	if n == 0 {
		return fault.New(fault.Malformed, "%s holds no PEM block", name)
	}
	return nil
}
