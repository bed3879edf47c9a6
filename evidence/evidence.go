// Package evidence is the contract of stage 1: bytes of unknown trust go in, authenticated claims come out, and
// nothing else does. Each TEE has a driver in a package below this one.
package evidence

import (
	"context"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/fault"
)

// Evidence is what an Attester sent: bytes, untrusted. Nothing in it decides anything until a driver has
// authenticated it; even TEE and Format only choose which driver tries.
type Evidence struct {
	TEE    string // driver name, "" to detect
	Format string // form within the driver ("report", "kbs-json", …), "" to detect
	Data   []byte
	// Aux is what the platform delivers beside the evidence: configfs-tsm auxblob, the GHCB certificate table.
	Aux []byte
	// Endorsements are certificates that came with the evidence or from --cert, DER or PEM. They are hints: each counts
	// only if it chains to an anchor, and none can become an anchor.
	Endorsements [][]byte
	// EventLog is a boot or runtime log that claims to explain measurement registers.
	EventLog []byte
}

// Verified is authenticated evidence. It cannot be made outside the drivers.
type Verified = sealed.Verified

// The parts of a [Verified].
type (
	Root   = sealed.Root
	Link   = sealed.Link
	Window = sealed.Window
	Bound  = sealed.Binding
	Part   = sealed.Part

	VendorStatement = sealed.Statement
)

// Driver authenticates evidence of one TEE.
//
// Authenticate checks everything that can be checked without a policy: structure, signature, chain to an anchor,
// validity at Env.Time, revocation as far as lists are at hand, consistency of signed fields with certificates, and
// the binding. It reads the clock, the binding, collateral and anchors only from env. Its errors have one of the
// classes malformed, unsupported, signature, revoked, stale, binding, unavailable. A driver is safe for concurrent use.
type Driver interface {
	Authenticate(ctx context.Context, ev Evidence, env Env) (*Verified, error)
}

// Inspector is an optional ability of a driver: it decodes evidence for display, without any check of authenticity.
// Inspection cannot be appraised.
type Inspector interface {
	Inspect(ev Evidence) (*Inspection, error)
}

// Inspection is decoded, unauthenticated evidence.
type Inspection struct {
	TEE    string
	Format string
	Claims claim.Object
}

// Env is everything from outside that authentication may depend on. It has no zero value that works: a missing clock,
// binding or anchor set is an error, never a skipped check.
type Env struct {
	Time       time.Time  // the clock; zero is refused
	Binding    Binding    // what the evidence must be bound to; zero is refused
	Anchors    *Anchors   // hardware roots; nil is refused
	Collateral Collateral // vendor data; nil means that nothing beyond Evidence and what is built in is available

	// Session and ChallengeState belong to the answer to a [Challenge]; drivers without one ignore them.
	Session        []byte
	ChallengeState []byte
}

// Check refuses an Env that would leave a check out.
func (e Env) Check() error {
	switch {
	case e.Time.IsZero():
		return fault.New(fault.Internal, "evidence.Env without a clock")
	case e.Binding.kind == bindingNone:
		return fault.New(fault.Internal, "evidence.Env without a binding; say evidence.UnboundUnsafe if none is meant")
	case e.Anchors == nil:
		return fault.New(fault.Internal, "evidence.Env without anchors")
	}
	return nil
}

// Collateral gives drivers vendor data. Whatever it returns is untrusted until the driver has checked its signature.
type Collateral interface {
	// Given returns blobs that the operator handed over (--cert, --collateral): certificates, lists, signed documents,
	// in any of the vendor's forms. A driver picks what fits its evidence and ignores the rest.
	Given() [][]byte
	// Get answers one request of the vendor's service, from a bundle, a cache or the network. An answer that is not to
	// be had is class unavailable. A driver calls it only after the cheap checks have passed, and builds the request
	// from checked fields only.
	Get(ctx context.Context, req Request) (Response, error)
}

// Request names a document of a vendor's service.
type Request struct {
	Service string // "amd-kds", "intel-pcs", …
	Path    string // path and query as the service defines them: "/vcek/v1/Milan/crl"
}

// Response is a document and, where the service sends it apart, the PEM chain of its issuer.
type Response struct {
	Body        []byte
	IssuerChain []byte
}

// Challenger is an optional ability of a driver whose TEE answers a request that the Verifier makes (IBM Secure
// Execution). What decides over the answer stays with the Verifier, or travels sealed.
type Challenger interface {
	Challenge(ctx context.Context, req ChallengeRequest) (*Challenge, error)
}

// ChallengeRequest is what a challenge is made from. Time, Anchors and Collateral are those of [Env].
type ChallengeRequest struct {
	Time       time.Time
	Session    []byte // id of the session that the challenge is for; the answer counts in no other
	Anchors    *Anchors
	Collateral Collateral
	Lifetime   time.Duration // how long the challenge may be answered
}

// Challenge is a request to an Attester.
type Challenge struct {
	Wire  []byte // what the Attester gets
	State []byte // what the Verifier must keep secret and hand back in Env.ChallengeState; nil when Wire carries it sealed
}

// SecretWrapper is an optional ability of a driver whose TEE takes secrets from a request to its firmware, past the
// memory of the guest (IBM Secure Execution).
type SecretWrapper interface {
	// WrapSecret makes a request that delivers the secret to the one running guest that v is the evidence of, and to no
	// other. Evidence of another TEE, or of no single guest, is class unsupported.
	WrapSecret(ctx context.Context, v *Verified, req SecretRequest) ([]byte, error)
	// MaxSecret is the longest secret that fits, in bytes.
	MaxSecret() int
}

// SecretRequest says what to wrap. Time, Anchors and Collateral are those of [Env].
type SecretRequest struct {
	Time       time.Time
	Anchors    *Anchors
	Collateral Collateral
	Name       string // under which the firmware keeps the secret
	Secret     []byte
}
