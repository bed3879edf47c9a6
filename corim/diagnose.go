package corim

import (
	"crypto/x509"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

// DiagnoseOptions say how [Diagnose] reads and writes.
type DiagnoseOptions struct {
	Options
	// Full writes byte strings whole; otherwise all but their first eight bytes are left out.
	Full bool
}

// Diagnose writes what a CoRIM, signed or not, or a CoMID without its tag says, in lines for people: code points by
// name, dates decoded, hex shortened, text quoted. It checks no signature and says so; nothing that it shows is admitted
// by being shown. Errors are as of [Decode] and [ParseSigned].
func Diagnose(w io.Writer, b []byte, o DiagnoseOptions) error {
	o.ForDisplay = true
	p := &printer{w: w, o: o, short: 8}
	if o.Full {
		p.short = 0
	}
	switch kind := Sniff(b); kind {
	case KindSigned:
		s, err := ParseSigned(b, o.Options)
		if err != nil {
			return err
		}
		p.signed(s)
		m, err := s.UnverifiedManifest()
		if s.Detached() && err != nil {
			p.line(0, "the manifest is not carried in this file")
			return p.err
		}
		if err != nil {
			return err
		}
		p.manifest(m)
	case KindUnsigned:
		m, err := Decode(b, o.Options)
		if err != nil {
			return err
		}
		p.line(0, "UNSIGNED CoRIM, for which nobody vouches")
		p.manifest(m)
	default:
		c, err := DecodeCoMID(b, o.Options)
		if err != nil {
			return fault.Wrap(err, "neither a CoRIM (tag 501) nor a COSE_Sign1 (tag 18), and as a CoMID without its tag")
		}
		p.profile = o.Profile
		p.comid(0, c)
	}
	return p.err
}

// Kind is what a file looks like from its first bytes.
type Kind uint8

// The kinds of files.
const (
	KindUnknown  Kind = iota
	KindUnsigned      // tag 501, with or without legacy prefix
	KindSigned        // COSE_Sign1, with or without legacy prefix
)

// Sniff looks at the first bytes only.
func Sniff(b []byte) Kind {
	for _, legacy := range []string{"\xd9\x01\xf4", "\xd9\x01\xf6"} {
		if strings.HasPrefix(string(b[:min(len(b), 3)]), legacy) {
			b = b[3:]
		}
	}
	switch {
	case len(b) >= 2 && b[0] == 0xd2 && b[1] == 0x84:
		return KindSigned
	case len(b) >= 3 && b[0] == 0xd9 && b[1] == 0x01 && b[2] == 0xf5:
		return KindUnsigned
	}
	return KindUnknown
}

type printer struct {
	w       io.Writer
	o       DiagnoseOptions
	short   int
	profile *Profile
	err     error
}

func (p *printer) line(depth int, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, strings.Repeat("  ", depth)+format+"\n", args...)
	}
}

// field writes a named value in two columns.
func (p *printer) field(depth int, name, format string, args ...any) {
	p.line(depth, "%-12s "+format, append([]any{name}, args...)...)
}

func quote(s string) string { return strconv.QuoteToGraphic(s) }

func (p *printer) signed(s *Signed) {
	alg := cosex.AlgName(s.Alg)
	if alg == "" {
		alg = "algorithm " + strconv.FormatInt(s.Alg, 10)
	}
	p.line(0, "SIGNED CoRIM, %s; the signature is not checked here", alg)
	p.field(1, "signer", "%s", quote(s.SignerName()))
	if s.Meta != nil && s.Meta.SignerURI != "" {
		p.field(1, "uri", "%s", quote(s.Meta.SignerURI))
	}
	if s.CWT != nil && s.CWT.Subject != "" {
		p.field(1, "subject", "%s", quote(s.CWT.Subject))
	}
	p.validity(1, "signature", s.Validity())
	if s.KeyID != nil {
		p.field(1, "key id", "%s", cborx.ShortHex(s.KeyID, 0))
	}
	if s.HashAlg != 0 {
		p.field(1, "envelope", "hash of the manifest under COSE algorithm %d, at %s", s.HashAlg, quote(s.PayloadLocation))
	}
	for i, der := range s.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			p.field(1, "certificate", "%d: cannot be read", i)
			continue
		}
		p.field(1, "certificate", "%d: %s, issued by %s, %s to %s", i, quote(c.Subject.String()), quote(c.Issuer.String()), date(c.NotBefore), date(c.NotAfter))
	}
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (p *printer) validity(depth int, name string, v *Validity) {
	switch {
	case v == nil:
		return
	case v.NotBefore == nil:
		p.field(depth, name, "valid until %s", date(v.NotAfter))
	case v.NotAfter.IsZero():
		p.field(depth, name, "valid from %s", date(*v.NotBefore))
	default:
		p.field(depth, name, "valid from %s until %s", date(*v.NotBefore), date(v.NotAfter))
	}
}

func (p *printer) manifest(m *Manifest) {
	p.profile = p.o.Profiles[m.Profile]
	p.line(0, "CoRIM %s", quote(idText(m.ID)))
	switch {
	case m.Profile == "":
	case p.profile == nil:
		p.field(1, "profile", "%s, not known here", quote(m.Profile))
	default:
		p.field(1, "profile", "%s (%s)", m.Profile, p.profile.Name)
	}
	p.validity(1, "manifest", m.Validity)
	p.entities(1, m.Entities, map[int64]string{1: "manifest-creator", 2: "manifest-signer"})
	for _, l := range m.DependentRIMs {
		for _, h := range l.HRefs {
			p.field(1, "depends on", "%s", quote(h))
		}
		for _, d := range l.Thumbprints {
			p.field(1, "", "%s", p.digest(d))
		}
	}
	p.extensions(1, m.Ext)
	for i := range m.CoMIDs {
		p.comid(1, &m.CoMIDs[i])
	}
	for _, c := range m.CoSWIDs {
		p.line(1, "CoSWID %s version %d: %s %s", quote(idText(c.TagID)), c.TagVersion, quote(c.SoftwareName), quote(c.SoftwareVersion))
		for _, f := range append(append([]CoSWIDFile(nil), c.Payload...), c.Evidence...) {
			p.line(2, "file %s %s", quote(f.Path), p.digest(f.Digest))
		}
	}
	for _, c := range m.CoTSs {
		for _, s := range c.Stores {
			p.line(1, "trust anchor store: %d anchors, %d CA certificates, purposes %q", len(s.Anchors), len(s.CAs), s.Purposes)
			for _, e := range s.Environments {
				p.line(2, "for %s%s%s", p.environment(e.Environment), quote(e.NamedStore), cborx.Diag(orNull(e.SWID), p.short))
			}
		}
	}
	for _, c := range m.CoTLs {
		p.line(1, "tag list %s version %d", quote(idText(c.TagID)), c.TagVersion)
		p.validity(2, "list", &c.Validity)
		for _, t := range c.Tags {
			p.line(2, "activates %s version %d", quote(idText(t.TagID)), t.TagVersion)
		}
	}
	for _, x := range m.Relaxations {
		p.field(1, "relaxation", "%s was needed to read this", x)
	}
	for _, x := range m.Warnings {
		p.field(1, "warning", "%s", x)
	}
}

func orNull(b []byte) []byte {
	if b == nil {
		return []byte{0xf6}
	}
	return b
}

func (p *printer) entities(depth int, es []Entity, names map[int64]string) {
	for _, e := range es {
		var roles []string
		for _, r := range e.Roles {
			n := names[r]
			if n == "" {
				n = "role " + strconv.FormatInt(r, 10)
			}
			roles = append(roles, n)
		}
		uri := ""
		if e.RegID != "" {
			uri = quote(e.RegID) + ", "
		}
		p.field(depth, "entity", "%s, %s%s", quote(e.Name), uri, strings.Join(roles, ", "))
	}
}

func (p *printer) extensions(depth int, ext []claim.Extension) {
	for _, x := range ext {
		p.field(depth, "key "+strconv.FormatInt(x.Key, 10), "%s (not known here)", cborx.Diag(x.CBOR, p.short))
	}
}
