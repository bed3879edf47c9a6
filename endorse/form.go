package endorse

import (
	"crypto"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// Form is a kind of signed statement that is not a CoRIM, such as a vendor's own: how it is told apart, opened and
// turned into manifests. Everything else (anchors, paths, scopes, validity, versions) is what it is for a CoRIM.
type Form struct {
	Name string // the Kind of its sources
	// Recognises tells it by its first bytes; it decides nothing but who reads the statement.
	Recognises func(data []byte) bool
	// Open reads no more than is needed to check the signature. Errors have class malformed or unsupported.
	Open func(data []byte) (*Opened, error)
}

// Opened is a statement of another form whose signature has not been checked.
type Opened struct {
	// Chain is the signer's certificate and those between it and the root.
	Chain []*x509.Certificate
	// Verify checks the signature with the key of Chain[0], and what the form demands of that certificate.
	Verify func(key crypto.PublicKey) error
	// Manifests interprets the signed bytes; it is called only after the signature and the path to an anchor hold. Each
	// manifest is about one profile; they are admitted together or not at all. CoMID.Raw must hold the bytes that the tag
	// was made from.
	Manifests func() ([]*corim.Manifest, error)
}

func formOf(forms []Form, data []byte) *Form {
	if i := slices.IndexFunc(forms, func(f Form) bool { return f.Recognises(data) }); i >= 0 {
		return &forms[i]
	}
	return nil
}

func (b *Builder) admitForm(f *Form, data []byte, sha string, at time.Time) (*Receipt, error) {
	o, err := f.Open(data)
	if err != nil {
		return nil, fault.Wrap(err, "%s", f.Name)
	}
	if len(o.Chain) == 0 {
		return nil, fault.New(fault.Malformed, "%s without a signer's certificate", f.Name)
	}
	if err := o.Verify(o.Chain[0].PublicKey); err != nil {
		return nil, fault.Wrap(err, "%s", f.Name)
	}
	var first error
	for _, a := range b.cfg.Anchors {
		if len(a.Certificates) == 0 {
			continue
		}
		sg, err := a.path(o.Chain, at)
		if err == nil {
			var r *Receipt
			if r, err = b.admitFormAs(f, o, sg, sha, data, at); err == nil {
				return r, nil
			}
		}
		if first == nil || fault.Is(first, fault.Signature) {
			first = err
		}
	}
	if first == nil {
		first = fault.New(fault.Signature, "the certificate of %q leads to no trust anchor; give the issuer's root as one if you trust it", o.Chain[0].Subject)
	}
	return nil, fault.Wrap(first, "%s", f.Name)
}

func (b *Builder) admitFormAs(f *Form, o *Opened, sg *signer, sha string, data []byte, at time.Time) (*Receipt, error) {
	a := sg.anchor
	if a.Revoked {
		return nil, fault.New(fault.Revoked, "the trust anchor %q is marked as revoked", a.Name)
	}
	if err := sg.window.check(at); err != nil {
		return nil, err
	}
	manifests, err := o.Manifests()
	if err != nil {
		return nil, err
	}
	if len(manifests) == 0 {
		return nil, fault.New(fault.Malformed, "it says nothing")
	}
	src := Source{Kind: f.Name, Signer: sg.name, SignerKey: sg.keyID, Authority: sg.authority, Anchor: a.Name, Scope: sg.scope, SHA256: sha}
	said := make([]*prepared, len(manifests))
	for i, m := range manifests {
		if m.Profile != "" && b.cfg.Profiles[m.Profile] == nil {
			return nil, fault.New(fault.Unsupported, "the profile %s is not known here", m.Profile)
		}
		if said[i], err = b.prepare(m, src, sg, a, sg.window, at); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var whole corim.Manifest
	var all prepared
	for i, m := range manifests {
		p := said[i]
		b.linkBuilds(m, p)
		whole.ID, whole.CoMIDs = m.ID, append(whole.CoMIDs, m.CoMIDs...)
		all.parts, all.srcs = append(all.parts, p.parts...), append(all.srcs, p.srcs...)
		if r := all.receipt; r == nil {
			all.receipt = p.receipt
		} else {
			r.Tags, r.Warnings, r.Relations = append(r.Tags, p.receipt.Tags...), union(r.Warnings, p.receipt.Warnings), r.Relations+p.receipt.Relations
			r.Provenance = append(r.Provenance, p.receipt.Provenance...)
			r.Profile = strings.Join([]string{r.Profile, p.receipt.Profile}, ", ")
		}
	}
	return all.receipt, b.enter(&whole, all.parts, all.srcs, all.receipt, a, data)
}
