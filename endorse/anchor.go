package endorse

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// Anchor is somebody who may vouch, and for what. An anchor is trusted because an operator configured it; nothing in a
// statement can make or widen one.
type Anchor struct {
	Name string // for people, and the identity of the issuer across keys
	// Keys sign statements directly.
	Keys []crypto.PublicKey
	// Certificates sign statements directly with their key, within their validity, and are roots for x5chain.
	Certificates []*x509.Certificate
	// LeafNames constrain who may sign under the certificates: the signer's subject common name, or a DNS, mail or URI
	// name of it, must be one of them. Empty: any leaf.
	LeafNames []string
	// EKU constrains the purpose of the signer's certificate: it must have one of these. Empty: any.
	EKU []asn1.ObjectIdentifier
	// CRLs are revocation lists (DER) for the chain. With RequireCRL, a certificate without a current list counts as
	// undecided.
	CRLs       [][]byte
	RequireCRL bool

	NotBefore, NotAfter time.Time // window of this trust; zero ends are open
	Scope               Scope
	Relax               []corim.Relaxation // departures from the strict codec that are tolerated from this signer
	TruncatedDigests    bool               // digests cut below 32 bytes (Named Information 2 to 6) are accepted
	MayReplace          bool               // may replace tags of other signers
	Revoked             bool               // refuses everything signed by it, whatever else holds
}

func (a *Anchor) check() error {
	bad := func(why string) error { return fault.New(fault.Usage, "trust anchor %q: %s", a.Name, why) }
	switch {
	case a.Name == "":
		return fault.New(fault.Usage, "a trust anchor without a name")
	case len(a.Keys)+len(a.Certificates) == 0:
		return bad("has neither a key nor a certificate")
	case len(a.Scope) == 0:
		return bad("has no scope, so it could vouch for nothing; say what it may speak about")
	case !a.NotAfter.IsZero() && a.NotAfter.Before(a.NotBefore):
		return bad("ends before it begins")
	}
	for _, r := range a.Scope {
		if why := r.check(); why != "" {
			return bad("a rule of its scope " + why)
		}
	}
	for _, r := range a.Relax {
		if !slices.Contains(corim.Relaxations(), r) {
			return bad("unknown relaxation " + string(r))
		}
	}
	for _, k := range a.Keys {
		if _, err := x509.MarshalPKIXPublicKey(k); err != nil {
			return fault.New(fault.Unsupported, "trust anchor %q: %w", a.Name, err)
		}
	}
	return nil
}
