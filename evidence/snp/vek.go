package snp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// vek is a decoded VCEK or VLEK certificate. Nothing in it is trusted before its chain has been verified.
type vek struct {
	cert *x509.Certificate
	sha  [32]byte // SHA-256 of the DER certificate
	key  *ecdsa.PublicKey
	kind SigningKey // by the issuer's name
	line *Line      // by the issuer's name; nil when it names no known product line
	ext  vekExtensions
	bad  error // why ext could not be decoded; counts only once the chain holds
}

// vekExtensions are the extensions below 1.3.6.1.4.1.3704.1 (AMD 57230; evidence-snp.md section 10).
type vekExtensions struct {
	structVersion uint8
	productName   string
	spl           [10]uint8 // by the last arc of .3.<arc>
	has           [10]bool
	hwID          []byte // raw extension value; nil when absent
	cspID         string // "" when absent
}

// Names in certificates (evidence-snp.md section 9).
const (
	cnVCEK       = "SEV-VCEK"
	cnVLEK       = "SEV-VLEK"
	prefixARK    = "ARK-"
	prefixASVK   = "SEV-VLEK-"
	prefixASK    = "SEV-"
	maxCertBytes = 16 << 10
)

// newVEK decodes c, which must have an EC P-384 key.
func newVEK(c *x509.Certificate) (*vek, error) {
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P384() {
		if strings.HasPrefix(c.Subject.CommonName, cnVCEK) || strings.HasPrefix(c.Subject.CommonName, cnVLEK) {
			return nil, fault.New(fault.Signature, "certificate %q has no P-384 key; AMD's have", c.Subject.CommonName)
		}
		return nil, fault.New(fault.Unsupported, "certificate %q has no P-384 key, so it cannot be a VCEK or VLEK", c.Subject.CommonName)
	}
	v := &vek{cert: c, sha: sha256.Sum256(c.Raw), key: key, kind: SignedByNone}
	if name, ok := strings.CutPrefix(c.Issuer.CommonName, prefixASVK); ok {
		v.kind, v.line = SignedByVLEK, lineByName(name)
	} else if name, ok := strings.CutPrefix(c.Issuer.CommonName, prefixASK); ok {
		v.kind, v.line = SignedByVCEK, lineByName(name)
	}
	v.ext, v.bad = decodeExtensions(c)
	return v, nil
}

// oidArc is the content of 1.3.6.1.4.1.3704.1.
var oidArc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}

// decodeExtensions reads AMD's extensions. Unknown ones are ignored unless critical; that no OID occurs twice has been
// checked by the X.509 parser, and is checked again because nothing else stands in the way of a second hwID.
func decodeExtensions(c *x509.Certificate) (e vekExtensions, err error) {
	if len(c.UnhandledCriticalExtensions) > 0 {
		return e, fault.New(fault.Unsupported, "the VEK certificate has the critical extension %s, which is not known", c.UnhandledCriticalExtensions[0])
	}
	var seenVersion, seenName bool
	for _, x := range c.Extensions {
		if len(x.Id) <= len(oidArc) || !x.Id[:len(oidArc)].Equal(oidArc) {
			continue
		}
		arc := x.Id[len(oidArc):]
		switch {
		case len(arc) == 1 && arc[0] == 1:
			err = once(&seenVersion, "structVersion")
			if err == nil {
				e.structVersion, err = derUint8(x.Value)
			}
		case len(arc) == 1 && arc[0] == 2:
			err = once(&seenName, "productName")
			if err == nil {
				e.productName, err = derIA5(x.Value)
			}
		case len(arc) == 2 && arc[0] == 3 && arc[1] >= 1 && arc[1] <= 9:
			err = once(&e.has[arc[1]], "SPL")
			if err == nil {
				e.spl[arc[1]], err = derUint8(x.Value)
			}
		case len(arc) == 1 && arc[0] == 4:
			if e.hwID != nil {
				err = once(new(true), "hwID")
			} else {
				e.hwID, err = hwID(x.Value)
			}
		case len(arc) == 1 && arc[0] == 5:
			if e.cspID != "" {
				err = once(new(true), "cspID")
			} else if e.cspID, err = derIA5(x.Value); err == nil && e.cspID == "" {
				err = fault.New(fault.Malformed, "empty cspID")
			}
		}
		if err != nil {
			return e, fault.Wrap(err, "extension %s of the VEK certificate", x.Id)
		}
	}
	if !seenVersion || !seenName {
		return e, fault.New(fault.Malformed, "the VEK certificate lacks structVersion or productName")
	}
	return e, nil
}

// hwID takes the raw octets of AMD's certificates, or an OCTET STRING around them, as corim-profiles.md section 2.3
// allows and other makers of test certificates write. Only the length tells them apart: an id may begin with any byte.
func hwID(b []byte) ([]byte, error) {
	switch n := len(b); {
	case n == 64 || n == 8:
		return b, nil
	case (n == 66 || n == 10) && b[0] == 4 && int(b[1]) == n-2:
		return b[2:], nil
	}
	return nil, fault.New(fault.Malformed, "hwID has %d bytes; 64 or 8 are defined", len(b))
}

func once(seen *bool, what string) error {
	if *seen {
		return fault.New(fault.Malformed, "%s occurs twice", what)
	}
	*seen = true
	return nil
}

// derUint8 decodes a DER INTEGER of 0 to 255.
func derUint8(b []byte) (uint8, error) {
	switch {
	case len(b) == 3 && b[0] == 2 && b[1] == 1 && b[2] < 0x80:
		return b[2], nil
	case len(b) == 4 && b[0] == 2 && b[1] == 2 && b[2] == 0 && b[3] >= 0x80:
		return b[3], nil
	}
	return 0, fault.New(fault.Malformed, "%x is not an INTEGER of 0 to 255", b)
}

// derIA5 decodes a DER IA5String of less than 128 characters.
func derIA5(b []byte) (string, error) {
	if len(b) < 2 || b[0] != 0x16 || b[1] >= 0x80 || int(b[1]) != len(b)-2 {
		return "", fault.New(fault.Malformed, "%x is not a short IA5String", b)
	}
	for _, c := range b[2:] {
		if c >= 0x80 {
			return "", fault.New(fault.Malformed, "%x is not an IA5String", b)
		}
	}
	return string(b[2:]), nil
}

// fits reports whether v is for a key of that kind on one of those lines.
func (v *vek) fits(r *Report, candidates []*Line) bool {
	if v.kind != r.KeyInfo.SigningKey() || v.line == nil {
		return false
	}
	for _, l := range candidates {
		if v.line == l {
			return true
		}
	}
	return false
}

// matches compares v with the report that it is to have signed (checklist step 9): product, chip or provider, and
// every TCB component. Its errors are of class binding.
func (v *vek) matches(r *Report) error {
	e, l := &v.ext, v.line
	if name, _, _ := strings.Cut(e.productName, "-"); name != l.Name {
		return fault.New(fault.Binding, "the VEK certificate is for product %q, the report comes from %s", e.productName, l.Name)
	}
	if err := v.matchesIdentity(r); err != nil {
		return err
	}
	for _, c := range l.tcb {
		switch {
		case !e.has[c.oid]:
			return fault.New(fault.Binding, "the VEK certificate has no %s, which REPORTED_TCB of %s needs", c.kds, l.Name)
		case e.spl[c.oid] != r.ReportedTCB[c.at]:
			return fault.New(fault.Binding, "the VEK certificate was made for %s %d, REPORTED_TCB has %d", c.kds, e.spl[c.oid], r.ReportedTCB[c.at])
		}
	}
	for arc, has := range e.has {
		if has && e.spl[arc] != 0 && !l.usesSPL(arc) {
			return fault.New(fault.Binding, "the VEK certificate has SPL %d in the extension .3.%d, which %s does not define", e.spl[arc], arc, l.Name)
		}
	}
	return nil
}

func (v *vek) matchesIdentity(r *Report) error {
	e, l := &v.ext, v.line
	if v.kind == SignedByVLEK {
		switch {
		case e.cspID == "":
			return fault.New(fault.Binding, "the VLEK certificate names no provider (cspID)")
		case e.hwID != nil:
			return fault.New(fault.Binding, "the VLEK certificate has a hwID, which only a VCEK may have")
		}
		return nil
	}
	switch {
	case e.cspID != "":
		return fault.New(fault.Binding, "the VCEK certificate has a cspID, which only a VLEK may have")
	case len(e.hwID) != l.hwidSize:
		return fault.New(fault.Binding, "the VCEK certificate has a hwID of %d bytes, %s has %d", len(e.hwID), l.Name, l.hwidSize)
	case r.chipIDMasked():
		return nil
	}
	var want [64]byte
	copy(want[:], e.hwID)
	if want != r.ChipID {
		return fault.New(fault.Binding, "the VCEK certificate belongs to chip %x, the report to chip %x", e.hwID, r.ChipID[:l.hwidSize])
	}
	return nil
}

// chipIDMasked reports whether the host has set MASK_CHIP_ID, so that CHIP_ID cannot be compared.
func (r *Report) chipIDMasked() bool { return r.ChipID == [64]byte{} }

func (l *Line) usesSPL(arc int) bool {
	for _, c := range l.tcb {
		if c.oid == arc {
			return true
		}
	}
	return false
}
