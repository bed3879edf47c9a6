package vtpm

import (
	"crypto/x509"
	"encoding/asn1"
	"math/big"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// oidInstance is Google's extension that names an instance (tsm-tpm.md section 15).
var oidInstance = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 21}

// Instance is what Google's extension says of a production instance.
type Instance struct {
	Zone          string
	ProjectNumber uint64
	ProjectID     string
	InstanceID    uint64
	InstanceName  string
}

type instanceASN1 struct {
	Zone          string `asn1:"utf8"`
	ProjectNumber *big.Int
	ProjectID     string `asn1:"utf8"`
	InstanceID    *big.Int
	InstanceName  string        `asn1:"utf8"`
	Security      asn1.RawValue `asn1:"optional"`
}

// InstanceOf reads Google's extension of c; nil when c has none, or does not say that the instance is in production:
// without that the rest says nothing. Unknown members of the security properties are passed over.
func InstanceOf(c *x509.Certificate) (*Instance, error) {
	var raw []byte
	for _, x := range c.Extensions {
		if x.Id.Equal(oidInstance) {
			if raw != nil {
				return nil, fault.New(fault.Malformed, "the certificate names its instance twice")
			}
			raw = x.Value
		}
	}
	if raw == nil {
		return nil, nil
	}
	var a instanceASN1
	rest, err := asn1.Unmarshal(raw, &a)
	if err != nil || len(rest) != 0 {
		return nil, fault.New(fault.Malformed, "the instance in the certificate cannot be read: %v", err)
	}
	if !a.ProjectNumber.IsUint64() || !a.InstanceID.IsUint64() {
		return nil, fault.New(fault.Malformed, "the instance in the certificate has numbers beyond 64 bits")
	}
	if a.Security.Class != asn1.ClassContextSpecific || a.Security.Tag != 0 || !production(a.Security.Bytes) {
		return nil, nil
	}
	return &Instance{a.Zone, a.ProjectNumber.Uint64(), a.ProjectID, a.InstanceID.Uint64(), a.InstanceName}, nil
}

// production looks for [1] EXPLICIT BOOLEAN TRUE in the security properties.
func production(b []byte) bool {
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(b, &seq); err != nil || seq.Tag != asn1.TagSequence {
		return false
	}
	for rest := seq.Bytes; len(rest) > 0; {
		var v asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &v); err != nil {
			return false
		}
		if v.Class == asn1.ClassContextSpecific && v.Tag == 1 {
			var is bool
			left, err := asn1.Unmarshal(v.Bytes, &is)
			return err == nil && len(left) == 0 && is
		}
	}
	return false
}

func (i *Instance) claims() claim.Node {
	if i == nil {
		return claim.Null()
	}
	return claim.O(m("zone", claim.S(i.Zone)), m("project_number", claim.U(i.ProjectNumber)), m("project_id", claim.S(i.ProjectID)),
		m("instance_id", claim.U(i.InstanceID)), m("instance_name", claim.S(i.InstanceName)))
}
