package sigstore

import (
	"regexp"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/internal/seal"
)

// Identity is who must have signed. Expressions must match the whole value: without that, one for a repository would
// match every longer name as well (specs transparency.md section 9).
type Identity struct {
	Issuer, IssuerRegexp string
	SAN, SANRegexp       string
}

// IsZero reports whether nothing is demanded.
func (i Identity) IsZero() bool { return i == Identity{} }

// Check compares the certificate of a with i. Class policy when it differs or there is none, usage for expressions that
// do not compile and for an identity that names no issuer.
func (i Identity) Check(a *seal.Attestation) error {
	if (i.SAN == "" && i.SANRegexp == "") || (i.Issuer == "" && i.IssuerRegexp == "") {
		return fault.New(fault.Usage, "an identity is a name and the issuer who vouches for it; both are needed")
	}
	c := a.Signer().Certificate
	if c == nil {
		return fault.New(fault.Policy, "signed by a key, not by the expected identity")
	}
	for _, p := range []struct{ what, have, want, expr string }{
		{"issuer", c.Issuer, i.Issuer, i.IssuerRegexp}, {"identity", c.SAN, i.SAN, i.SANRegexp},
	} {
		if p.want != "" && p.have != p.want {
			return fault.New(fault.Policy, "signed by the %s %q, expected is %q", p.what, p.have, p.want)
		}
		if p.expr != "" {
			re, err := regexp.Compile(`^(?:` + p.expr + `)$`)
			if err != nil {
				return fault.New(fault.Usage, "%s expression: %w", p.what, err)
			}
			if !re.MatchString(p.have) {
				return fault.New(fault.Policy, "signed by the %s %q, which %q does not match whole", p.what, p.have, p.expr)
			}
		}
	}
	return nil
}
