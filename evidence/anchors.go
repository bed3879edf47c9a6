package evidence

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// SimulatorOrganization is the X.509 organization that every root made by package simulator carries. Anchors with it
// are refused unless the operator has asked for them by their unsafe name.
const SimulatorOrganization = "Assay Simulator (not hardware)"

// AnchorsConfig lists the hardware roots that the operator configured beside those pinned in the binary.
type AnchorsConfig struct {
	// Roots are certificates of hardware roots: AMD ARKs, Intel's root, vendor CAs.
	Roots []*x509.Certificate
	// Keys are bare public keys for TEEs whose roots are keys (Arm CCA CPAKs, TPM AKs).
	Keys []AnchorKey
	// OnlyThese switches the pinned roots off: nothing but Roots and Keys is an anchor.
	OnlyThese bool
	// AllowSimulatorUnsafe admits roots that carry the simulator's mark. Results say so.
	AllowSimulatorUnsafe bool
}

// AnchorKey is a public key that is trusted as such.
type AnchorKey struct {
	TEE  string // driver that may use it
	Name string
	ID   []byte // what the evidence names the key by (CCA instance id, AK name); nil when any
	Key  crypto.PublicKey
}

// Anchors is an immutable set of hardware roots. Its ID keys caches, so that nothing verified under one set is ever
// taken for verified under another.
type Anchors struct {
	cfg AnchorsConfig
	id  [32]byte
}

// NewAnchors checks cfg.
func NewAnchors(cfg AnchorsConfig) (*Anchors, error) {
	cfg.Roots, cfg.Keys = slices.Clone(cfg.Roots), slices.Clone(cfg.Keys)
	if cfg.OnlyThese && len(cfg.Roots)+len(cfg.Keys) == 0 {
		return nil, fault.New(fault.Usage, "an empty set of hardware roots would refuse everything; configure at least one")
	}
	h := sha256.New()
	h.Write([]byte{b2i(cfg.OnlyThese), b2i(cfg.AllowSimulatorUnsafe)})
	for _, c := range cfg.Roots {
		if IsSimulated(c) && !cfg.AllowSimulatorUnsafe {
			return nil, fault.New(fault.Usage, "root %q belongs to the simulator, not to hardware; it is only accepted with --insecure-simulator", c.Subject)
		}
		s := sha256.Sum256(c.Raw)
		h.Write(s[:])
	}
	for _, k := range cfg.Keys {
		der, err := x509.MarshalPKIXPublicKey(k.Key)
		if err != nil {
			return nil, fault.New(fault.Unsupported, "anchor key %q: %w", k.Name, err)
		}
		s := sha256.Sum256(append([]byte(k.TEE+"\x00"+string(k.ID)+"\x00"), der...))
		h.Write(s[:])
	}
	a := &Anchors{cfg: cfg}
	h.Sum(a.id[:0])
	return a, nil
}

// BuiltinAnchors is the set of roots pinned in the binary and nothing else.
func BuiltinAnchors() *Anchors {
	a, err := NewAnchors(AnchorsConfig{})
	if err != nil {
		panic("unreachable: " + err.Error())
	}
	return a
}

// ID is a digest over the whole set.
func (a *Anchors) ID() [32]byte { return a.id }

// UseBuiltin reports whether the roots pinned in the drivers count.
func (a *Anchors) UseBuiltin() bool { return !a.cfg.OnlyThese }

// Roots returns the configured certificates. Callers must not change them.
func (a *Anchors) Roots() []*x509.Certificate { return a.cfg.Roots }

// Keys returns the configured keys of one TEE.
func (a *Anchors) Keys(tee string) []AnchorKey {
	var out []AnchorKey
	for _, k := range a.cfg.Keys {
		if k.TEE == tee {
			out = append(out, k)
		}
	}
	return out
}

// IsSimulated reports whether c carries the simulator's mark.
func IsSimulated(c *x509.Certificate) bool {
	return slices.Contains(c.Subject.Organization, SimulatorOrganization)
}

func b2i(b bool) byte {
	if b {
		return 1
	}
	return 0
}
