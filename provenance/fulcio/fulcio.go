// Package fulcio reads the identity in a code-signing certificate of a Sigstore certificate authority: the subject
// alternative name and the extensions 1.3.6.1.4.1.57264.1.* (specs transparency.md section 10). It trusts nothing; the
// path of the certificate is checked elsewhere.
package fulcio

import (
	"crypto/x509"
	"encoding/asn1"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
)

// Certificate is the identity that a certificate states.
type Certificate struct {
	SAN              string `json:"san"`
	SANKind          string `json:"san_kind"` // "uri", "email", "dns", "other"
	Issuer           string `json:"issuer,omitempty"`
	BuildSignerURI   string `json:"build_signer_uri,omitempty"`
	BuildSignerSHA   string `json:"build_signer_digest,omitempty"`
	Runner           string `json:"runner_environment,omitempty"`
	SourceURI        string `json:"source_repository_uri,omitempty"`
	SourceSHA        string `json:"source_repository_digest,omitempty"`
	SourceRef        string `json:"source_repository_ref,omitempty"`
	SourceID         string `json:"source_repository_identifier,omitempty"`
	SourceOwnerURI   string `json:"source_repository_owner_uri,omitempty"`
	SourceOwnerID    string `json:"source_repository_owner_identifier,omitempty"`
	BuildConfigURI   string `json:"build_config_uri,omitempty"`
	BuildConfigSHA   string `json:"build_config_digest,omitempty"`
	Trigger          string `json:"build_trigger,omitempty"`
	RunURI           string `json:"run_invocation_uri,omitempty"`
	Visibility       string `json:"source_repository_visibility,omitempty"`
	WorkflowTrigger  string `json:"-"` // deprecated 2
	WorkflowSHA      string `json:"-"` // deprecated 3
	WorkflowName     string `json:"workflow_name,omitempty"`
	WorkflowRepo     string `json:"-"` // deprecated 5, "owner/name"
	WorkflowRef      string `json:"-"` // deprecated 6
	deprecatedIssuer string
}

var arc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}

// Read reads the identity of c. Errors are malformed: no or several names, extensions that do not decode, and
// deprecated and present values that differ.
func Read(c *x509.Certificate) (*Certificate, error) {
	out := &Certificate{}
	if err := out.san(c); err != nil {
		return nil, err
	}
	raw := map[int]*string{1: &out.deprecatedIssuer, 2: &out.WorkflowTrigger, 3: &out.WorkflowSHA, 4: &out.WorkflowName,
		5: &out.WorkflowRepo, 6: &out.WorkflowRef}
	utf := map[int]*string{8: &out.Issuer, 9: &out.BuildSignerURI, 10: &out.BuildSignerSHA, 11: &out.Runner, 12: &out.SourceURI,
		13: &out.SourceSHA, 14: &out.SourceRef, 15: &out.SourceID, 16: &out.SourceOwnerURI, 17: &out.SourceOwnerID,
		18: &out.BuildConfigURI, 19: &out.BuildConfigSHA, 20: &out.Trigger, 21: &out.RunURI, 22: &out.Visibility}
	seen := map[int]bool{}
	for _, e := range c.Extensions {
		n := len(arc)
		if len(e.Id) != n+1 || !e.Id[:n].Equal(arc) {
			continue
		}
		k := e.Id[n]
		if seen[k] {
			return nil, fault.New(fault.Malformed, "certificate: extension %s occurs twice", e.Id)
		}
		seen[k] = true
		if p := raw[k]; p != nil {
			if !utf8.Valid(e.Value) {
				return nil, fault.New(fault.Malformed, "certificate: extension %s is no text", e.Id)
			}
			*p = string(e.Value)
		}
		if p := utf[k]; p != nil {
			var v asn1.RawValue
			rest, err := asn1.Unmarshal(e.Value, &v)
			if err != nil || len(rest) > 0 || v.Tag != asn1.TagUTF8String || v.Class != asn1.ClassUniversal || !utf8.Valid(v.Bytes) {
				return nil, fault.New(fault.Malformed, "certificate: extension %s is no UTF8String", e.Id)
			}
			*p = string(v.Bytes)
		}
	}
	return out, out.agree()
}

func (c *Certificate) san(x *x509.Certificate) error {
	n := len(x.URIs) + len(x.EmailAddresses) + len(x.DNSNames) + len(x.IPAddresses)
	switch {
	case n > 1:
		return fault.New(fault.Malformed, "certificate: %d subject alternative names; exactly one is expected", n)
	case len(x.URIs) == 1:
		c.SAN, c.SANKind = x.URIs[0].String(), "uri"
	case len(x.EmailAddresses) == 1:
		c.SAN, c.SANKind = x.EmailAddresses[0], "email"
	case len(x.DNSNames) == 1:
		c.SAN, c.SANKind = x.DNSNames[0], "dns"
	default:
		name, err := otherName(x)
		if err != nil {
			return err
		}
		c.SAN, c.SANKind = name, "other"
	}
	return nil
}

// otherName reads the one othername of type 1.3.6.1.4.1.57264.1.7.
func otherName(x *x509.Certificate) (string, error) {
	for _, e := range x.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 || len(names) != 1 || names[0].Tag != 0 {
			break
		}
		var on struct {
			ID    asn1.ObjectIdentifier
			Value asn1.RawValue `asn1:"explicit,tag:0"`
		}
		if rest, err := asn1.UnmarshalWithParams(names[0].FullBytes, &on, "tag:0"); err != nil || len(rest) > 0 ||
			!on.ID.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}) || !utf8.Valid(on.Value.Bytes) {
			break
		}
		return string(on.Value.Bytes), nil
	}
	return "", fault.New(fault.Malformed, "certificate: no subject alternative name that can be read")
}

// agree holds deprecated values against present ones.
func (c *Certificate) agree() error {
	repo := ""
	if c.WorkflowRepo != "" {
		repo = "https://github.com/" + c.WorkflowRepo
	}
	for _, p := range []struct{ name, old, now string }{
		{"issuer", c.deprecatedIssuer, c.Issuer},
		{"trigger", c.WorkflowTrigger, c.Trigger},
		{"source digest", c.WorkflowSHA, c.SourceSHA},
		{"source repository", repo, c.SourceURI},
		{"source ref", c.WorkflowRef, c.SourceRef},
	} {
		if p.old != "" && p.now != "" && p.old != p.now {
			return fault.New(fault.Malformed, "certificate: two values for the %s: %q and %q", p.name, p.old, p.now)
		}
	}
	fill := func(now *string, old string) {
		if *now == "" {
			*now = old
		}
	}
	fill(&c.Issuer, c.deprecatedIssuer)
	fill(&c.Trigger, c.WorkflowTrigger)
	fill(&c.SourceSHA, c.WorkflowSHA)
	fill(&c.SourceURI, repo)
	fill(&c.SourceRef, c.WorkflowRef)
	return nil
}
