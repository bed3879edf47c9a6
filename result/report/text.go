package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/policy"
)

// TextOptions say how much [Report.Text] shows and how.
type TextOptions struct {
	Style   tty.Style
	Explain bool // every claim with what vouches for it, not only those that matter most
}

// Text writes r for people. It shows nothing that the JSON form does not have.
func (r *Report) Text(w io.Writer, o TextOptions) error {
	p := &printer{w: w, s: o.Style}
	p.verdict(r)
	for _, f := range r.Failures {
		p.failure(f)
	}
	for _, e := range r.Evidence {
		p.evidence(e, o.Explain)
		p.trail(e.Label, r.Trail, o.Explain)
	}
	p.reasons(r)
	return p.err
}

type printer struct {
	w   io.Writer
	s   tty.Style
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) verdict(r *Report) {
	v := strings.ToUpper(r.Verdict)
	switch {
	case len(r.Failures) > 0:
		p.line("%s  at %s", p.s.Red(p.s.Bold("REFUSED")), r.Time.UTC().Format(time.RFC3339))
	case r.Verdict == "affirming":
		p.line("%s  at %s", p.s.Green(p.s.Bold(v)), r.Time.UTC().Format(time.RFC3339))
	case r.Verdict == "contraindicated":
		p.line("%s  authentic, and not acceptable, at %s", p.s.Red(p.s.Bold(v)), r.Time.UTC().Format(time.RFC3339))
	default:
		p.line("%s  authentic, not affirming, at %s", p.s.Yellow(p.s.Bold(v)), r.Time.UTC().Format(time.RFC3339))
	}
	for _, u := range r.Unsafe {
		p.line("%s", p.s.Yellow("! unsafe: "+u))
	}
}

func (p *printer) failure(f Failure) {
	p.line("")
	where := ""
	if f.Input != "" {
		where = " in " + f.Input
	}
	p.line("%s%s: %s", p.s.Red(f.Class), where, f.What)
	p.line("  %s", p.s.Dim(f.Why))
}

func (p *printer) evidence(e Evidence, explain bool) {
	p.line("")
	head := p.s.Bold(e.Label)
	if e.Product != "" {
		head += "  " + e.Product
	}
	if e.Status != "" {
		head += "  " + p.tier(e.Status)
	}
	p.line("%s", head)
	p.field("root", fmt.Sprintf("%s, %s, sha256 %s", e.Root.Name, e.Root.Source, short(e.Root.SHA256.Text())))
	switch {
	case explain:
		p.chain(e.Chain)
	case len(e.Chain) > 0:
		l := e.Chain[0]
		p.field("key", fmt.Sprintf("%s, valid %s to %s", l.Role, day(l.NotBefore), day(l.NotAfter)))
	}
	if e.Binding.Bound {
		p.field("bound", fmt.Sprintf("%s is as expected, %s", e.Binding.Field, short(e.Binding.Value.Text())))
	} else {
		p.field("bound", p.s.Yellow("no: nothing shows that this evidence is fresh or whose it is"))
	}
	for _, n := range e.Notes {
		p.field("note", n)
	}
	for _, name := range []string{"measurement", "mr_td", "mr_enclave"} {
		// Azure's vTPM repeats its CPU's measurement as text in Trustee's spelling; the CPU's own entry shows it in hex.
		if v, ok := e.Claims.Get(name); ok && v.Kind == claim.NodeHex {
			p.field(name, v.Text())
		}
	}
}

// chain is the path from the root down to the key that signed the evidence.
func (p *printer) chain(links []Link) {
	for i, l := range slices.Backward(links) {
		what := l.Role
		if l.Subject != "" {
			what += " " + l.Subject
		}
		p.line("  %s%s%s", strings.Repeat("   ", len(links)-1-i), "└─ "+what, p.s.Dim(fmt.Sprintf(", valid %s to %s, sha256 %s", day(l.NotBefore), day(l.NotAfter), short(l.SHA256.Text()))))
	}
}

func (p *printer) field(name, value string) { p.line("  %-12s %s", name, value) }

func (p *printer) trail(label string, all []appraise.Entry, explain bool) {
	open := 0
	for _, t := range all {
		if t.Attester != label {
			continue
		}
		switch {
		case t.Accepted:
			p.line("  %s %s", p.s.Green("✓"), p.s.Bold(t.Claim)+p.value(t, explain))
			p.vouchers(t, explain)
		case t.Nearest != nil:
			p.line("  %s %s", p.s.Red("✗"), p.s.Bold(t.Claim)+p.value(t, explain))
			p.line("      %s", t.Nearest.Why)
			if explain {
				p.nearest(t.Nearest)
			}
		case len(t.Registers) > 0:
			p.line("  %s %s", p.s.Yellow("~"), p.s.Bold(t.Claim)+p.value(t, explain))
			p.line("      only the registers %s are vouched for", strings.Join(t.Registers, ", "))
			p.vouchers(t, explain)
		case explain:
			p.line("  %s %s", p.s.Dim("·"), t.Claim+p.value(t, true))
		default:
			open++
		}
	}
	if open > 0 {
		p.line("  %s", p.s.Dim(fmt.Sprintf("· %d further claims, authentic, that no statement speaks of (--explain lists them)", open)))
	}
}

// vouchers are the branches below an accepted claim; with explain each has its signer, anchor and validity as leaves.
func (p *printer) vouchers(t appraise.Entry, explain bool) {
	if explain && len(t.Registers) > 0 {
		p.line("      %s", p.s.Dim("for the registers "+strings.Join(t.Registers, ", ")))
	}
	for _, v := range t.Vouchers {
		if !explain || v.Source == nil {
			p.line("      %s", voucher(v))
		} else {
			p.line("      ├─ %s by %q", v.Relation, v.Signer)
			p.source(v.Source)
		}
		if v.Source != nil {
			for _, pr := range v.Provenance {
				p.provenance(pr, explain)
			}
		}
	}
	if explain && t.Root != "" {
		p.line("      └─ authenticated under %s", t.Root)
	}
}

// nearest is the statement that came nearest, with both values whole.
func (p *printer) nearest(n *appraise.Nearest) {
	leaf := func(name, value string) { p.line("      │  %s %s", p.s.Dim(fmt.Sprintf("%-10s", name)), value) }
	p.line("      ├─ %s differs", n.What)
	leaf("evidence", n.Evidence)
	leaf("statement", n.Statement)
	if n.Source != nil {
		p.line("      └─ nearest statement, by %q", n.Signer)
		p.source(n.Source)
	}
}

// source says what a statement is, who signed it, and whom that rests on.
func (p *printer) source(s *endorse.Source) {
	leaf := func(name, format string, args ...any) {
		p.line("      │  %s %s", p.s.Dim(fmt.Sprintf("%-10s", name)), fmt.Sprintf(format, args...))
	}
	if s.ID != "" {
		leaf("statement", "%s (%s)", s.ID, s.Kind)
	}
	if s.TagID != "" {
		leaf("tag", "%s version %d", s.TagID, s.TagVersion)
	}
	if s.SHA256 != "" {
		leaf("sha256", "%s", s.SHA256)
	}
	if s.SignerKey != "" {
		leaf("signed by", "key %s", s.SignerKey)
	}
	if s.Anchor != "" {
		leaf("anchor", "%q", s.Anchor)
	}
	if s.Scope != "" {
		leaf("scope", "%s", s.Scope)
	}
	if !s.NotBefore.IsZero() || !s.NotAfter.IsZero() {
		leaf("valid", "%s to %s", day(s.NotBefore), day(s.NotAfter))
	}
	for _, r := range s.Relaxations {
		leaf("relaxed", "%s", r)
	}
}

// provenance is the path from the claim to the commit; with explain, where it is recorded too.
func (p *printer) provenance(l endorse.ProvenanceLink, explain bool) {
	what := l.Artefact
	if what != "" {
		what += " "
	}
	p.line("      %sbuilt by %s from %s at %s", what, l.Builder, l.Source, l.Commit)
	if !explain {
		return
	}
	if l.Ref != "" || l.Workflow != "" {
		p.line("        %s", p.s.Dim(strings.TrimSpace(fmt.Sprintf("for %s by %s", l.Ref, l.Workflow))))
	}
	if l.Run != "" {
		p.line("        %s", p.s.Dim("run "+l.Run))
	}
	if l.Signer != "" {
		p.line("        %s", p.s.Dim(fmt.Sprintf("signed by %s, SLSA build level %d", l.Signer, l.Level)))
	}
	if l.LogIndex != "" {
		p.line("        %s", p.s.Dim(fmt.Sprintf("logged in %s at %s", l.Log, l.LogIndex)))
	}
	if !l.Time.IsZero() {
		p.line("        %s", p.s.Dim("seen "+l.Time.UTC().Format(time.RFC3339)))
	}
}

func (p *printer) value(t appraise.Entry, full bool) string {
	v := t.Value
	if !full {
		v = short(v)
	}
	out := " = " + v
	if full && t.Field != "" {
		out += p.s.Dim("  [" + t.Field + "]")
	}
	return out
}

func voucher(v appraise.Voucher) string {
	if v.Source == nil {
		return v.Relation
	}
	out := fmt.Sprintf("%s by %q", v.Relation, v.Signer)
	if v.ID != "" {
		out += ", statement " + v.ID
	}
	if v.TagID != "" && v.TagID != v.ID {
		out += fmt.Sprintf(", tag %s version %d", v.TagID, v.TagVersion)
	}
	if v.Anchor != "" {
		out += fmt.Sprintf(", anchor %q", v.Anchor)
	}
	if !v.NotAfter.IsZero() {
		out += ", until " + day(v.NotAfter)
	}
	return out
}

func (p *printer) reasons(r *Report) {
	if len(r.Reasons) == 0 {
		return
	}
	p.line("")
	head := "Why not affirming"
	if r.Verdict == "affirming" {
		head = "Remarks"
	}
	p.line("%s", p.s.Bold(head))
	told := map[policy.Reason]bool{} // one finding may lower several members of the vector
	for _, x := range r.Reasons {
		if told[x] {
			continue
		}
		told[x] = true
		who := ""
		if x.Attester != "" && len(r.Evidence) > 1 {
			who = x.Attester + ": "
		}
		p.line("  %s %s%s", p.s.Yellow(x.Code), who, x.What)
		if x.Why != "" {
			p.line("      %s", x.Why)
		}
		if x.Next != "" {
			p.line("      %s %s", p.s.Cyan("→"), x.Next)
		}
	}
}

func (p *printer) tier(s string) string {
	switch s {
	case "affirming":
		return p.s.Green(s)
	case "contraindicated":
		return p.s.Red(s)
	}
	return p.s.Yellow(s)
}

func short(hex string) string {
	if len(hex) <= 20 {
		return hex
	}
	return hex[:16] + "…"
}

func day(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02")
}
