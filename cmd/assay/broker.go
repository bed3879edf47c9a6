package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/builtin"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/result"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/store"
)

// broker is a running verifier and key broker: the server and what has to be closed after it.
type broker struct {
	server     *server.Server
	store      store.Store
	adminToken string
	set        atomic.Pointer[endorse.Set]
}

// newBroker wires stages 1 to 6 and the store from a configuration. Log lines go to log.
func (a *app) newBroker(ctx context.Context, c serveConfig, log *slog.Logger) (*broker, error) {
	if err := makeState(c.State); err != nil {
		return nil, err
	}
	parts, err := a.parts(c)
	if err != nil {
		return nil, err
	}
	b := new(broker)
	if err := b.admit(a, c, parts.signers); err != nil {
		return nil, err
	}
	parts.Statements = b.set.Load
	if parts.Load, err = a.loader(c, parts.signers); err != nil {
		return nil, err
	}
	if b.store, err = openStore(ctx, c); err != nil {
		return nil, err
	}
	cfg := server.Config{Version: version, Store: b.store, Parts: parts.Parts, Clock: a.now, Log: log, Explain: c.Explain, Secure: c.TLS.Cert != "",
		AcceptHostChosenBindingUnsafe: c.SVSMHostBinding, MachineIdentity: append(registry.Identity{}, c.MachineIdentity...)}
	if c.MachineLive != "" {
		if cfg.MachineLive, err = time.ParseDuration(c.MachineLive); err != nil || cfg.MachineLive <= 0 {
			b.store.Close()
			return nil, fault.New(fault.Usage, "machine_live %q is not a duration such as 5m", c.MachineLive)
		}
	}
	if cfg.Sealer, err = loadSealer(c); err == nil {
		err = a.trust(c, &cfg)
	}
	if err == nil {
		cfg.LogSigner, err = logSigner(c.State)
	}
	if err == nil {
		if cfg.Admins, err = c.admins(); err == nil {
			b.adminToken, err = adminToken(filepath.Join(c.State, "admin.token"))
		}
	}
	if err == nil {
		cfg.Admins = append(cfg.Admins, server.Admin{Name: "admin.token", TokenSHA256: sha256.Sum256([]byte(b.adminToken)), Roles: []server.Role{server.RoleAdmin}})
		b.server, err = server.New(cfg)
	}
	if err != nil {
		b.store.Close()
		return nil, err
	}
	return b, nil
}

// serve answers on l until ctx ends, then finishes the requests under way.
func (b *broker) serve(ctx context.Context, l net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- b.server.Serve(l) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		err = b.server.Shutdown(stop)
		cancel()
		<-done
	}
	if cerr := b.store.Close(); err == nil {
		err = cerr
	}
	return err
}

// admit reads the statements of the configuration into the set that appraisals use.
func (b *broker) admit(a *app, c serveConfig, signers []*endorse.Anchor) error {
	builder, err := endorse.NewBuilder(endorse.Config{Time: a.now().UTC(), Anchors: signers, Profiles: profiles.All(), Forms: statementForms()})
	if err != nil {
		return err
	}
	builds, err := a.provenance(c.Provenance, c.ProvenanceExpect, a.now().UTC())
	if err != nil {
		return err
	}
	for _, v := range builds {
		if err := builder.AddProvenance(v); err != nil {
			return err
		}
	}
	for _, name := range c.Statements {
		data, err := a.read(name)
		if err != nil {
			return err
		}
		if _, err := builder.Admit(data); err != nil {
			return fault.Wrap(err, "statement %s", name)
		}
	}
	b.set.Store(builder.Set())
	return nil
}

// serverParts are stages 1 to 5 as the configuration names them.
type serverParts struct {
	server.Parts
	signers []*endorse.Anchor
}

func (a *app) parts(c serveConfig) (*serverParts, error) {
	tr, err := a.loadAnchors(c.Anchors, c.InsecureSimulator, c.AttestationKeys...)
	if err != nil {
		return nil, err
	}
	p := &serverParts{signers: tr.signers}
	p.Anchors = tr.hardware
	if p.Collateral, err = a.collateral(c.Collateral, c.Offline); err != nil {
		return nil, err
	}
	if p.Policy, err = a.loadPolicy(c.Policies, c.Params, c.InsecureSimulator); err != nil {
		return nil, err
	}
	table, err := builtin.New()
	if err != nil {
		return nil, err
	}
	p.Drivers = map[string]evidence.Driver{}
	for _, r := range table.Rows() {
		p.Drivers[r.Name] = r.Driver
	}
	// What decides over the answer to a challenge travels sealed under this key, so that any process that has it can
	// verify the answer.
	key, err := stateKey(filepath.Join(c.State, "challenge.key"))
	if err != nil {
		return nil, err
	}
	se, err := secex.New(secex.Config{SealKeys: [][]byte{key}})
	if err != nil {
		return nil, err
	}
	p.Drivers[secex.Name] = se
	return p, a.issuer(c, p)
}

// issuer sets how tokens are signed, and where their key is published.
func (a *app) issuer(c serveConfig, p *serverParts) error {
	name := c.TokenKey
	if name == "" {
		name = filepath.Join(c.State, "token.key")
	}
	key, err := keys.Load(name)
	if errors.Is(err, fs.ErrNotExist) && c.TokenKey == "" {
		if key, err = keys.Generate(keys.ES256); err == nil {
			err = key.Write(name)
		}
	}
	if err != nil {
		return err
	}
	profile, err := result.ParseProfile(c.TokenDialect)
	if err != nil {
		return err
	}
	is, err := result.NewIssuer(result.IssuerConfig{Key: key, Profile: profile, Build: "assay " + version})
	if err != nil {
		return err
	}
	jwks, err := json.Marshal(keys.JWKS(key.Public))
	if err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	p.JWKS = func() []byte { return jwks }
	p.Issue = func(_ context.Context, ap *appraise.Appraisal, d *policy.Decision, in server.TokenInput) (string, error) {
		t, err := is.Issue(ap, d, result.Options{Time: in.Now, Confirm: true, RuntimeData: in.RuntimeClaims(), InitData: in.InitData})
		return string(t), err
	}
	return nil
}

// adminToken reads the bearer token of the local administrator, or makes one that only the owner of the file can read.
func adminToken(name string) (string, error) {
	raw, err := stateKey(name)
	return hex.EncodeToString(raw), err
}

// stateKey reads 32 random bytes, in hex, from a file of the state directory, or makes it: readable by its owner only.
func stateKey(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err == nil {
		if k, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil && len(k) == 32 {
			return k, nil
		}
		return nil, fault.New(fault.Usage, "%s does not hold 32 bytes in hex; remove it to have a new one made", name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	k := make([]byte, 32)
	if _, err := rand.Read(k); err != nil {
		return nil, fault.New(fault.Internal, "randomness: %w", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	_, err = f.WriteString(hex.EncodeToString(k) + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return k, nil
}
