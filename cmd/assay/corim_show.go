package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/corimjson"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
)

func newCorimShowCmd(a *app) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Show what a CoRIM says, without checking who says it",
		Long: `Prints a signed or unsigned CoRIM for people, or as the JSON template that gives the same document. Nothing is checked but
the form: whether anybody may be believed is what "assay corim verify" says.`,
		Args: cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			b, err := a.read(args[0])
			if err != nil {
				return err
			}
			return a.corimShow(b, format)
		}),
	}
	c.Flags().StringVar(&format, "format", "text", "`text` or json")
	return c
}

func (a *app) corimShow(b []byte, format string) error {
	opts := corim.Options{Profiles: profiles.All(), ForDisplay: true, Relax: corim.Relaxations()}
	var signed *corim.Signed
	var m *corim.Manifest
	var err error
	if endorse.IsSigned(b) {
		if signed, err = corim.ParseSigned(b, opts); err == nil {
			m, err = signed.UnverifiedManifest()
		}
	} else {
		m, err = corim.Decode(b, opts)
	}
	if err != nil {
		return err
	}
	switch format {
	case "json":
		out, err := corimjson.FromManifest(m)
		if err == nil {
			_, err = a.stdout.Write(append(out, '\n'))
		}
		return err
	case "text":
		p := &corimPrinter{w: a.stdout, s: tty.For(a.stdout, a.getenv), profile: opts.Profiles[m.Profile]}
		p.envelope(signed)
		p.manifest(m)
		return p.err
	}
	return fault.New(fault.Usage, "--format %q: text or json", format)
}

// corimPrinter writes a manifest for people: names of code points, hex as it is, dates in UTC.
type corimPrinter struct {
	w       io.Writer
	s       tty.Style
	profile *corim.Profile
	err     error
}

func (p *corimPrinter) line(depth int, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%*s%s\n", 2*depth, "", fmt.Sprintf(format, args...))
	}
}

func (p *corimPrinter) envelope(s *corim.Signed) {
	if s == nil {
		p.line(0, "%s", p.s.Yellow("unsigned: nobody answers for this"))
		return
	}
	p.line(0, "%s", p.s.Yellow(fmt.Sprintf("signed in the name of %q, not checked here (assay corim verify)", s.SignerName())))
	p.line(1, "algorithm  %s", coseAlg(s.Alg))
	if v := s.Validity(); v != nil {
		p.line(1, "signature  %s", validity(v))
	}
	if len(s.Chain) > 0 {
		p.line(1, "x5chain    %d certificates", len(s.Chain))
	}
}

func validity(v *corim.Validity) string {
	from := ""
	if v.NotBefore != nil {
		from = "from " + v.NotBefore.UTC().Format(time.RFC3339) + " "
	}
	return from + "until " + v.NotAfter.UTC().Format(time.RFC3339)
}

func (p *corimPrinter) manifest(m *corim.Manifest) {
	p.line(0, "%s %s", p.s.Bold("CoRIM"), idText(m.ID))
	if m.Profile != "" {
		name := ""
		if p.profile != nil {
			name = "  (" + p.profile.Name + ")"
		}
		p.line(1, "profile    %s%s", m.Profile, name)
	}
	if m.Validity != nil {
		p.line(1, "valid      %s", validity(m.Validity))
	}
	p.entities(1, m.Entities)
	for _, d := range m.DependentRIMs {
		p.line(1, "depends on %v %v", d.HRefs, d.Thumbprints)
	}
	for _, w := range m.Warnings {
		p.line(1, "%s", p.s.Yellow("warning: "+w))
	}
	for _, r := range m.Relaxations {
		p.line(1, "%s", p.s.Yellow("read with the relaxation "+r))
	}
	for i := range m.CoMIDs {
		p.comid(&m.CoMIDs[i])
	}
	for _, t := range m.CoSWIDs {
		p.line(1, "%s %s  %s %s, %d files", p.s.Bold("CoSWID"), idText(t.TagID), t.SoftwareName, t.SoftwareVersion, len(t.Payload))
	}
	for _, t := range m.CoTLs {
		p.line(1, "%s %s version %d, %s: activates %d tags", p.s.Bold("CoTL"), idText(t.TagID), t.TagVersion, validity(&t.Validity), len(t.Tags))
	}
	if n := len(m.CoTSs); n > 0 {
		p.line(1, "%s %d trust anchor stores", p.s.Bold("CoTS"), n)
	}
}

func (p *corimPrinter) entities(depth int, list []corim.Entity) {
	for _, e := range list {
		p.line(depth, "entity     %q, roles %v", e.Name, e.Roles)
	}
}

func (p *corimPrinter) comid(c *corim.CoMID) {
	p.line(1, "%s %s version %d", p.s.Bold("CoMID"), idText(c.TagID), c.TagVersion)
	p.entities(2, c.Entities)
	for _, l := range c.Linked {
		p.line(2, "%s %s", map[int64]string{0: "supplements", 1: "replaces"}[l.Rel], idText(l.TagID))
	}
	t := &c.Triples
	p.values("reference values", t.Reference)
	p.values("endorsed values", t.Endorsed)
	p.keys("identity keys", t.Identity)
	p.keys("attestation keys", t.AttestKey)
	for _, d := range t.Membership {
		p.domain("members of", d)
	}
	for _, d := range t.Dependency {
		p.domain("trustees of", d)
	}
	for _, x := range t.Conditional {
		p.line(2, "%s", p.s.Cyan("conditional endorsement"))
		p.line(3, "if")
		p.triples(4, x.Conditions)
		p.line(3, "then")
		p.triples(4, x.Endorsements)
	}
	for _, x := range t.Series {
		p.line(2, "%s of %s", p.s.Cyan("conditional endorsement series"), x.Environment)
		p.elements(3, x.Environment, x.Common)
		for i, it := range x.Items {
			p.line(3, "%d. if", i+1)
			p.elements(4, x.Environment, it.Condition)
			p.line(3, "   then")
			p.elements(4, x.Environment, it.Addition)
		}
	}
	for _, u := range t.Unknown {
		p.line(2, "%s", p.s.Yellow(fmt.Sprintf("triples of unknown kind %d, %d bytes", u.Key, len(u.Raw))))
	}
}

func (p *corimPrinter) values(what string, list []corim.ValueTriple) {
	if len(list) > 0 {
		p.line(2, "%s", p.s.Cyan(what))
		p.triples(3, list)
	}
}

func (p *corimPrinter) triples(depth int, list []corim.ValueTriple) {
	for _, v := range list {
		p.line(depth, "%s", v.Environment)
		p.elements(depth+1, v.Environment, v.Elements)
	}
}

func (p *corimPrinter) elements(depth int, env claim.Environment, list []claim.Element) {
	for _, e := range list {
		name := "–"
		if !e.Key.IsZero() {
			name = e.Key.String()
		}
		if p.profile != nil && p.profile.ElementName != nil {
			if n := p.profile.ElementName(env, e.Key); n != "" {
				name = n
			}
		}
		p.line(depth, "%-20s %s", name, compare.Render(&e.Values))
	}
}

func (p *corimPrinter) keys(what string, list []corim.KeyTriple) {
	for _, k := range list {
		p.line(2, "%s of %s", p.s.Cyan(what), k.Environment)
		for _, id := range k.Keys {
			p.line(3, "%s", id)
		}
	}
}

func (p *corimPrinter) domain(what string, d corim.DomainTriple) {
	p.line(2, "%s %s", p.s.Cyan(what), d.Domain)
	for _, m := range d.Members {
		p.line(3, "%s", m)
	}
}

// idText renders a corim id or tag-id: text as it is, sixteen bytes as a UUID.
func idText(id claim.ID) string {
	if id.Kind == claim.KindText {
		return id.TextContent()
	}
	if t := corim.UUIDText(id); t != "" {
		return t
	}
	return id.String()
}

// coseAlg names a COSE algorithm (IANA COSE Algorithms).
func coseAlg(id int64) string {
	names := map[int64]string{-7: "ES256", -8: "EdDSA", -9: "ESP256", -19: "Ed25519", -35: "ES384", -36: "ES512", -37: "PS256", -38: "PS384", -39: "PS512",
		-48: "ML-DSA-44", -49: "ML-DSA-65", -50: "ML-DSA-87", -51: "ESP384", -52: "ESP512"}
	if n, ok := names[id]; ok {
		return n
	}
	return fmt.Sprintf("COSE %d", id)
}
