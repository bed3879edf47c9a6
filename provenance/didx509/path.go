package didx509

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

type attribute = pkix.AttributeTypeAndValue

// validate checks the supplied chain as it is (RFC 5280 section 6 without times): each certificate issued by the next,
// which may issue certificates of that depth and of those names. The last is the anchor. crypto/x509 can neither leave
// times aside nor be held to one chain, so that this is written out.
func validate(chain []*x509.Certificate) error {
	for i, c := range chain {
		if len(c.UnhandledCriticalExtensions) > 0 {
			return fault.New(fault.Signature, "certificate %d has the critical extension %s, which is not understood", i, c.UnhandledCriticalExtensions[0])
		}
		if err := oneOfEach(c); err != nil {
			return err
		}
		if err := knownSANs(c); err != nil {
			return err
		}
		if i == 0 {
			if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement) == 0 {
				return fault.New(fault.Signature, "the leaf's key may neither sign nor agree on keys")
			}
			continue
		}
		if !c.BasicConstraintsValid || !c.IsCA {
			return fault.New(fault.Signature, "certificate %d is no authority", i)
		}
		if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return fault.New(fault.Signature, "certificate %d may not sign certificates", i)
		}
		if c.MaxPathLen >= 0 && (c.MaxPathLen > 0 || c.MaxPathLenZero) && below(chain[1:i]) > c.MaxPathLen {
			return fault.New(fault.Signature, "certificate %d allows %d authorities below it", i, c.MaxPathLen)
		}
		for _, x := range chain[:i] {
			if err := constrain(c, x); err != nil {
				return err
			}
		}
	}
	for i, c := range chain[:len(chain)-1] {
		if !bytes.Equal(c.RawIssuer, chain[i+1].RawSubject) {
			return fault.New(fault.Signature, "certificate %d was not issued by the next one in the chain", i)
		}
		if err := c.CheckSignatureFrom(chain[i+1]); err != nil {
			return fault.New(fault.Signature, "certificate %d: %w", i, err)
		}
	}
	return nil
}

// below counts the authorities between, leaving out self-issued ones (RFC 5280 section 4.2.1.9).
func below(between []*x509.Certificate) (n int) {
	for _, c := range between {
		if !bytes.Equal(c.RawIssuer, c.RawSubject) {
			n++
		}
	}
	return n
}

func oneOfEach(c *x509.Certificate) error {
	for _, names := range [][]attribute{c.Subject.Names, c.Issuer.Names} {
		seen := map[string]bool{}
		for _, n := range names {
			if id := n.Type.String(); seen[id] {
				return fault.New(fault.Malformed, "a certificate's name has the attribute %s twice", id)
			} else {
				seen[id] = true
			}
		}
	}
	return nil
}

// knownSANs refuses kinds of names that no predicate can be held against: only email, dns, dn and uri are known.
func knownSANs(c *x509.Certificate) error {
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return fault.New(fault.Malformed, "a subject alternative name that cannot be read")
		}
		for _, n := range names {
			if n.Class != asn1.ClassContextSpecific || n.Tag != 1 && n.Tag != 2 && n.Tag != 4 && n.Tag != 6 {
				return fault.New(fault.Unsupported, "a subject alternative name of kind %d", n.Tag)
			}
		}
	}
	return nil
}

// constrain applies the name constraints of ca to a certificate below it.
func constrain(ca, c *x509.Certificate) error {
	check := func(kind, name string, permitted, excluded []string, within func(name, base string) bool) error {
		for _, e := range excluded {
			if within(name, e) {
				return fault.New(fault.Signature, "the %s name %q lies in a subtree that the authority excludes", kind, name)
			}
		}
		for _, p := range permitted {
			if within(name, p) {
				return nil
			}
		}
		if len(permitted) > 0 {
			return fault.New(fault.Signature, "the %s name %q lies in no subtree that the authority permits", kind, name)
		}
		return nil
	}
	for _, n := range c.DNSNames {
		if err := check("dns", n, ca.PermittedDNSDomains, ca.ExcludedDNSDomains, inDomain); err != nil {
			return err
		}
	}
	for _, n := range c.EmailAddresses {
		if err := check("email", n, ca.PermittedEmailAddresses, ca.ExcludedEmailAddresses, inMail); err != nil {
			return err
		}
	}
	for _, u := range c.URIs {
		if err := check("uri", u.Hostname(), ca.PermittedURIDomains, ca.ExcludedURIDomains, inHost); err != nil {
			return err
		}
	}
	return nil
}

// inDomain is RFC 5280 section 4.2.1.10: labels may be added on the left.
func inDomain(name, base string) bool {
	name, base = strings.ToLower(name), strings.ToLower(base)
	return base == "" || name == base || strings.HasSuffix(name, "."+strings.TrimPrefix(base, "."))
}

func inMail(name, base string) bool {
	i := strings.LastIndexByte(name, '@')
	switch {
	case strings.Contains(base, "@"):
		return strings.EqualFold(name, base)
	case strings.HasPrefix(base, "."):
		return strings.HasSuffix(strings.ToLower(name[i+1:]), strings.ToLower(base))
	}
	return strings.EqualFold(name[i+1:], base)
}

func inHost(host, base string) bool {
	if net.ParseIP(host) != nil || host == "" {
		return false
	}
	if strings.HasPrefix(base, ".") {
		return strings.HasSuffix(strings.ToLower(host), strings.ToLower(base))
	}
	return strings.EqualFold(host, base)
}
