// Package server is Assay's HTTP side: the KBS protocol for guests, a native API, and administration of what they rest
// on. Every route stands in one table (routes.go). The server wires the stages together but holds no rule of its own
// about who may have what: that is for policies, tickets and roles.
package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/registry"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/release/seal"
	"github.com/assay-tee/assay/store"
)

// Config configures a [Server].
type Config struct {
	// Store keeps sessions, secrets, tickets, policies, statements and the log.
	Store store.Store
	// Sealer opens and seals secrets at rest.
	Sealer *seal.Sealer
	// Parts are stages 1 to 5.
	Parts Parts
	// Clock is the time that everything is judged by; nil is time.Now.
	Clock func() time.Time
	// Log takes one line per request and event; nil discards them.
	Log *slog.Logger
	// LogSigner signs the heads of the log of decisions; nil: the log is not tamper-evident.
	LogSigner note.Signer
	// Limits bound what strangers can make the server do; the zero value is the default of each.
	Limits Limits
	// SessionLife is how long a handshake may take and its cookie lives; 0 means 5 minutes.
	SessionLife time.Duration
	// ResendWindow is how long the identical reply to a one-shot release may be fetched again by the session and key that
	// got it; 0 means one minute, negative never.
	ResendWindow time.Duration
	// Admins are the bearer tokens that may administer. With none, administration is closed.
	Admins []Admin
	// Authorization configures administrators' JWTs, and the modes for all and nobody.
	Authorization Authorization
	// Explain adds our fault class and reason code to the error bodies of the KBS protocol. Without it a guest learns only
	// what the protocol says; the reason is in the log.
	Explain bool
	// Passport accepts results of other verifiers as bearer tokens; nil: none are.
	Passport *Passport
	// Versions are the protocol versions that are served; nil means all of them. The response form of 0.1.x rests on
	// RSA PKCS #1 v1.5, which is why they can be switched off.
	Versions []rcar.Version
	// AllowRSA15Unsafe lets clients of protocol 0.2.0 and later ask for RSA1_5. Those of 0.1.x know nothing else.
	AllowRSA15Unsafe bool
	// Version of the program, for /metrics.
	Version string
	// Secure marks cookies Secure; set when the server is reached over TLS.
	Secure bool
	// AcceptHostChosenBindingUnsafe releases to SVSM guests whose build lets the host choose what REPORT_DATA commits to
	// (specs svsm.md section 4.3), as today's builds do. Each such appraisal says so in the log.
	AcceptHostChosenBindingUnsafe bool
	// MachineIdentity lists the claims that name a machine in the registry; nil means [registry.DefaultIdentity], empty that
	// there is no registry.
	MachineIdentity registry.Identity
	// MachineLive is how long a machine counts as running after its last appraisal; 0 means [registry.DefaultLive].
	MachineLive time.Duration
	// Reached is called at each point between the reservation of a ticket and the delivery of its secret; tests end the
	// process there. nil otherwise.
	Reached func(release.Point)
	// Appraise serves POST /v1/appraise: evidence in, the JSON of `assay verify --format json` out. nil: no such route.
	Appraise func(ctx context.Context, body []byte) (json.RawMessage, error)
}

// Parts are stages 1 to 5, as cmd/assay wires them.
type Parts struct {
	// Drivers authenticate evidence, by the TEE string of the KBS protocol in its hyphenated form. What is not here is an
	// unknown TEE.
	Drivers map[string]evidence.Driver
	// Anchors are the hardware roots.
	Anchors *evidence.Anchors
	// Collateral gives vendor data; nil when there is none beyond what guests send.
	Collateral evidence.Collateral
	// Statements returns the admitted statements of now. It is called for each appraisal and release, so it must be cheap,
	// and it returns the same set as long as nothing changed.
	Statements func() *endorse.Set
	// Policy decides about machines and releases.
	Policy policy.Policy
	// Issue signs the token that answers attest.
	Issue func(ctx context.Context, a *appraise.Appraisal, d *policy.Decision, in TokenInput) (string, error)
	// Load makes what appraisals and releases rest on out of what administrators stored, on top of the configuration. It is
	// called at the start and after each change, and also to try a change before it is stored: an error refuses it. nil:
	// nothing can be stored, and Policy and Statements stay as they are.
	Load func(ctx context.Context, docs Documents) (Live, error)
	// JWKS returns the keys of tokens as a JWK set, for /.well-known/jwks.json.
	JWKS func() []byte
}

// TokenInput is what a token repeats of the handshake: everything in it was verified, or is bound by the evidence.
type TokenInput struct {
	TEE        string
	Class      string // "cpu"; the submodule's name in Trustee's dialect is <class><n>
	Nonce      string
	Key        json.RawMessage // canonical JWK of the attested key
	Additional string          // additional_evidence as transmitted
	InitData   json.RawMessage // init_data_claims of a document that hardware binds; nil when there is none
	Now        time.Time
}

// RuntimeClaims are the runtime_data_claims of Trustee's tokens: what the binding digest was computed over.
func (in TokenInput) RuntimeClaims() json.RawMessage {
	out := jcs.AppendString([]byte(`{"additional-evidence":`), in.Additional)
	out = jcs.AppendString(append(out, `,"nonce":`...), in.Nonce)
	return append(append(append(out, `,"tee-pubkey":`...), in.Key...), '}')
}

// Admin is somebody who may administer.
type Admin struct {
	Name        string   // for the audit line
	TokenSHA256 [32]byte // digest of the bearer token; the token itself is not kept
	Roles       []Role
}

// Limits bound what strangers can cause.
type Limits struct {
	// BodyBytes is what all request bodies under way may hold together; 0 means 64 MiB. One address gets at most a
	// quarter.
	BodyBytes int64
	// UnfinishedPerAddress is how many handshakes one address may have begun and not finished; 0 means 2048.
	UnfinishedPerAddress int
	// Connections is how many connections are served at a time, ConnectionsPerAddress how many of one address; 0 means
	// 4096 and 1024.
	Connections           int
	ConnectionsPerAddress int
	// Appraisals is how many appraisals are kept in memory between attest and fetch; 0 means 2048. One that is not there
	// any more is made again from the stored evidence.
	Appraisals int
}

func (l *Limits) fill() {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	if l.BodyBytes <= 0 {
		l.BodyBytes = 64 << 20
	}
	def(&l.UnfinishedPerAddress, 2048)
	def(&l.Connections, 4096)
	def(&l.ConnectionsPerAddress, 1024)
	def(&l.Appraisals, 2048)
}

func (c *Config) check() error {
	missing := func(what string) error { return fault.New(fault.Internal, "server.Config without %s", what) }
	switch {
	case c.Store == nil:
		return missing("a store")
	case c.Sealer == nil:
		return missing("a sealer")
	case len(c.Parts.Drivers) == 0:
		return missing("drivers")
	case c.Parts.Anchors == nil:
		return missing("anchors")
	case c.Parts.Statements == nil:
		return missing("statements")
	case c.Parts.Policy == nil:
		return missing("a policy")
	case c.Parts.Issue == nil || c.Parts.JWKS == nil:
		return missing("an issuer of tokens")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Versions == nil {
		c.Versions = []rcar.Version{rcar.V040, rcar.V020, rcar.V011, rcar.V010}
	}
	for _, v := range c.Versions {
		if !v.Known() {
			return fault.New(fault.Usage, "protocol version %q is not known", v)
		}
	}
	if c.SessionLife == 0 {
		c.SessionLife = 5 * time.Minute
	}
	if c.SessionLife < 0 || c.SessionLife > time.Hour {
		return fault.New(fault.Usage, "a session lives up to an hour, not %s", c.SessionLife)
	}
	if c.MachineIdentity == nil {
		c.MachineIdentity = registry.DefaultIdentity()
	}
	if c.MachineLive == 0 {
		c.MachineLive = registry.DefaultLive
	}
	if c.MachineLive < 0 {
		return fault.New(fault.Usage, "machines count as running for some time after they were seen, not %s", c.MachineLive)
	}
	if err := c.MachineIdentity.Check(); err != nil {
		return err
	}
	c.Limits.fill()
	return nil
}
