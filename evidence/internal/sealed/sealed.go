// Package sealed holds the only constructor of authenticated evidence. It lies below evidence/internal so that the
// compiler lets nothing but the drivers (the packages below evidence/) import it: claims do not exist before a driver
// has checked the signature over them.
package sealed

import (
	"time"

	"github.com/assay-tee/assay/claim"
)

// Verified is evidence that a driver has authenticated back to a hardware root. The zero value is not valid and is
// refused by every consumer.
type Verified struct {
	c  Content
	ok bool
}

// Content is what a driver knows once every check has passed.
type Content struct {
	TEE     string    // driver name: "snp", "tdx", …; also the default label in results
	Product string    // vendor's product line, "" when the TEE has none
	Time    time.Time // the clock that every window was tested against

	// ECTs are the claims in CoRIM's terms, cmtype evidence, authority = the attesting key and its path.
	ECTs []claim.ECT
	// Claims gives the same claims by name for policies and people, in a fixed order. It is called at most a few times,
	// may be called from several goroutines, and must not depend on anything mutable.
	Claims func() claim.Object

	// Statements gives what vendors have signed about this platform, as far as the driver has verified and evaluated it:
	// nil for TEEs without. The same rules as for Claims hold.
	Statements func() []Statement

	Root    Root
	Chain   []Link   // from the attesting key's certificate up to the root
	Window  Window   // intersection of everything that authentication rests on
	Binding Binding  // what the evidence was found to be bound to
	Unsafe  []string // named relaxations in force ("simulator-root", "unbound"); empty in safe operation
	Notes   []string // facts a reader must see and policy may act upon ("chip_id_masked")
	Parts   []Part   // attesters inside this evidence that are appraised apart (paravisor's vTPM, GPUs); often nil
}

// Root is the hardware root of trust that the chain ended at.
type Root struct {
	Name      string   // "ARK-Milan"
	SHA256    [32]byte // of the DER certificate or of the SubjectPublicKeyInfo
	BuiltIn   bool     // pinned in the binary; otherwise configured by the operator
	Simulated bool     // carries the simulator's mark
}

// Link is one certificate or key of the chain.
type Link struct {
	Role      string // "VCEK", "ASK", "ARK"
	Subject   string
	SHA256    [32]byte // of the DER certificate
	NotBefore time.Time
	NotAfter  time.Time
}

// Statement is a document of a vendor that a driver has verified, with what it says about this platform in CoRIM's terms,
// cmtype endorsements. It stands in the trail like any statement that was admitted.
type Statement struct {
	ID        string   // "Intel TCBInfo TDX 90c06f000000, evaluation 18"
	SHA256    [32]byte // of the signed text as carried
	Signer    string   // "Intel SGX TCB Signing"
	SignerKey [32]byte // SHA-256 of the SubjectPublicKeyInfo
	Authority claim.Authority
	Anchor    string // root that the signer's certificate ends at
	Scope     string // what the anchor lets the signer speak of
	Window    Window
	ECTs      []claim.ECT
}

// Window is a closed interval of time.
type Window struct{ NotBefore, NotAfter time.Time }

// Binding says what the evidence was bound to.
type Binding struct {
	Bound bool   // false only when the caller asked for unbound appraisal by its unsafe name
	Field string // evidence field compared ("REPORT_DATA")
	Value []byte // its value
	Key   []byte // SubjectPublicKeyInfo (DER) or JWK of the bound key, when one was named
}

// Part is a nested attester.
type Part struct {
	Label    string
	Verified *Verified
}

// New seals c. Only drivers call it, and only after every check.
func New(c Content) *Verified { return &Verified{c: c, ok: true} }

// Valid reports whether v was made by a driver.
func (v *Verified) Valid() bool { return v != nil && v.ok }

// TEE returns the driver's name.
func (v *Verified) TEE() string { return v.c.TEE }

// Product returns the vendor's product line.
func (v *Verified) Product() string { return v.c.Product }

// Time returns the clock of the authentication.
func (v *Verified) Time() time.Time { return v.c.Time }

// ECTs returns the claims in CoRIM's terms. Callers must not change them.
func (v *Verified) ECTs() []claim.ECT { return v.c.ECTs }

// Claims returns the claims by name.
func (v *Verified) Claims() claim.Object {
	if v.c.Claims == nil {
		return nil
	}
	return v.c.Claims()
}

// Statements returns what vendors have signed about this platform. Callers must not change it.
func (v *Verified) Statements() []Statement {
	if v.c.Statements == nil {
		return nil
	}
	return v.c.Statements()
}

// Root returns the hardware root.
func (v *Verified) Root() Root { return v.c.Root }

// Chain returns the certificates from leaf to root. Callers must not change them.
func (v *Verified) Chain() []Link { return v.c.Chain }

// Window returns the interval in which this authentication holds.
func (v *Verified) Window() Window { return v.c.Window }

// Binding returns what the evidence is bound to.
func (v *Verified) Binding() Binding { return v.c.Binding }

// Unsafe returns the relaxations in force.
func (v *Verified) Unsafe() []string { return v.c.Unsafe }

// Notes returns facts that a reader must see.
func (v *Verified) Notes() []string { return v.c.Notes }

// Parts returns the nested attesters.
func (v *Verified) Parts() []Part { return v.c.Parts }
