package corim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
)

func (p *printer) comid(depth int, c *CoMID) {
	p.line(depth, "CoMID %s version %d", quote(idText(c.TagID)), c.TagVersion)
	in := depth + 1
	if c.Language != "" {
		p.field(in, "language", "%s", quote(c.Language))
	}
	p.entities(in, c.Entities, map[int64]string{0: "tag-creator", 1: "creator", 2: "maintainer"})
	for _, l := range c.Linked {
		rel := "supplements"
		if l.Rel == RelReplaces {
			rel = "replaces"
		}
		p.field(in, rel, "%s", quote(idText(l.TagID)))
	}
	p.extensions(in, c.Ext)
	t := &c.Triples
	p.valueTriples(in, "reference values", t.Reference)
	p.valueTriples(in, "endorsed values", t.Endorsed)
	p.keyTriples(in, "identity keys", t.Identity)
	p.keyTriples(in, "attestation keys", t.AttestKey)
	p.domains(in, "trusts", t.Dependency)
	p.domains(in, "contains", t.Membership)
	for _, s := range t.CoSWID {
		p.line(in, "software of %s", p.environment(s.Environment))
		for _, id := range s.TagIDs {
			p.line(in+1, "CoSWID %s", quote(idText(id)))
		}
	}
	for _, s := range t.Series {
		p.line(in, "first that matches, of %s%s", p.environment(s.Environment), p.authority(s.AuthorizedBy))
		p.elements(in+1, "with", s.Environment, s.Common)
		for _, i := range s.Items {
			p.elements(in+1, "if", s.Environment, i.Condition)
			p.elements(in+2, "then", s.Environment, i.Addition)
		}
	}
	for _, ce := range t.Conditional {
		p.valueTriples(in, "if", ce.Conditions)
		p.valueTriples(in, "then", ce.Endorsements)
	}
	for _, u := range t.Unknown {
		name := u.Name
		if name == "" {
			name = "not known here, contributes nothing"
		}
		p.line(in, "triples %d (%s): %s", u.Key, name, cborx.Diag(u.Raw, p.short))
	}
}

func (p *printer) environment(e claim.Environment) string {
	if e.IsZero() {
		return ""
	}
	if p.short == 0 || len(e.Instance.Content()) <= 2*p.short {
		return e.String()
	}
	short := e
	short.Instance = claim.ID{}
	return strings.TrimPrefix(short.String()+", instance "+p.id(e.Instance), ", ")
}

func (p *printer) valueTriples(depth int, title string, ts []ValueTriple) {
	for _, t := range ts {
		p.line(depth, "%s of %s", title, p.environment(t.Environment))
		p.elements(depth+1, "", t.Environment, t.Elements)
	}
}

func (p *printer) keyTriples(depth int, title string, ts []KeyTriple) {
	for _, t := range ts {
		mkey := ""
		if !t.MKey.IsZero() {
			mkey = ", mkey " + t.MKey.String()
		}
		p.line(depth, "%s of %s%s%s", title, p.environment(t.Environment), mkey, p.authority(t.AuthorizedBy))
		for _, k := range t.Keys {
			p.line(depth+1, "%s", p.id(k))
		}
	}
}

func (p *printer) domains(depth int, verb string, ts []DomainTriple) {
	for _, t := range ts {
		p.line(depth, "%s %s", p.environment(t.Domain), verb)
		for _, m := range t.Members {
			p.line(depth+1, "%s", p.environment(m))
		}
	}
}

func (p *printer) authority(a claim.Authority) string {
	if len(a) == 0 {
		return ""
	}
	var s []string
	for _, k := range a {
		s = append(s, p.id(k))
	}
	return ", vouched for by " + strings.Join(s, " and ")
}

// keyForms names the forms of keys and certificates.
var keyForms = map[uint64]string{claim.TagPKIXBase64Key: "PEM key", claim.TagPKIXBase64Cert: "PEM certificate", claim.TagPKIXBase64Path: "PEM path",
	claim.TagKeyThumbprint: "key", claim.TagCOSEKey: "COSE_Key", claim.TagCertThumbprint: "certificate", claim.TagPathThumbprint: "path",
	claim.TagPKIXASN1DERCert: "DER certificate", claim.TagUEID: "UEID"}

func (p *printer) id(id claim.ID) string {
	name := keyForms[id.Tag]
	switch {
	case id.Kind == claim.KindEncoded:
		return strings.TrimSpace(name + " " + cborx.Diag(id.Content(), p.short))
	case id.Kind == claim.KindText && name != "":
		s := id.TextContent()
		if p.short > 0 && len(s) > 60 {
			s = s[:strings.LastIndexFunc(s[:60], func(rune) bool { return true })] + "…"
		}
		return name + " " + quote(s)
	case id.Kind == claim.KindBytes && id.Tag != claim.TagOID && id.Tag != claim.TagUUID:
		if name == "" {
			name = "tag " + strconv.FormatUint(id.Tag, 10)
		}
		return name + " " + cborx.ShortHex(id.Content(), p.short)
	}
	return id.String()
}

func (p *printer) elements(depth int, word string, env claim.Environment, es []claim.Element) {
	for _, e := range es {
		head := p.elementName(env, e.Key)
		if word != "" {
			head = word + " " + head
		}
		p.line(depth, "%-28s %s%s", head, p.values(e), p.authority(e.AuthorizedBy))
	}
}

func (p *printer) elementName(env claim.Environment, mkey claim.ID) string {
	if mkey.IsZero() {
		return "(anonymous)"
	}
	// A text mkey is its own name, and is quoted because a stranger chose it.
	if p.profile != nil && p.profile.ElementName != nil && mkey.Kind != claim.KindText {
		if n := p.profile.ElementName(env, mkey); n != "" {
			return n + " (" + mkey.String() + ")"
		}
	}
	return mkey.String()
}

func (p *printer) digest(d claim.Digest) string {
	if d.Value == nil {
		return ""
	}
	alg := d.AlgString()
	if d.AlgName != "" {
		alg = quote(alg)
	}
	return alg + ":" + cborx.ShortHex(d.Value, p.short)
}

func (p *printer) digests(ds []claim.Digest) string {
	var s []string
	for _, d := range ds {
		s = append(s, p.digest(d))
	}
	return strings.Join(s, " ")
}

// values writes the code points that are there, by name.
func (p *printer) values(e claim.Element) string {
	v := e.Values
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	hex := func(name string, b []byte) {
		if b != nil {
			add("%s %s", name, cborx.ShortHex(b, p.short))
		}
	}
	if p.profile != nil && p.profile.Describe != nil {
		if s := p.profile.Describe(e.Key, v); s != "" {
			return s
		}
	}
	if v.Version != nil {
		scheme := v.Version.Scheme
		if _, known := versionSchemeByName(scheme); !known && scheme != "" {
			scheme = quote(scheme)
		}
		add("%s", strings.TrimSpace("version "+quote(v.Version.Text)+" "+scheme))
	}
	if v.SVN != nil {
		op := "="
		if v.SVN.Min {
			op = "≥"
		}
		add("svn %s %d", op, v.SVN.Value)
	}
	if len(v.Digests) > 0 {
		add("%s", p.digests(v.Digests))
	}
	for f := range claim.NumFlags {
		if set, known := v.Flags.Get(f); known {
			add("%v=%t", f, set)
		}
	}
	if v.Raw != nil {
		hex("raw", v.Raw.Value)
		hex("mask", v.Raw.Mask)
	}
	hex("mac", v.MAC)
	hex("ip", v.IP)
	if v.Serial != nil {
		add("serial %s", quote(*v.Serial))
	}
	hex("ueid", v.UEID)
	hex("uuid", v.UUID)
	if v.Name != nil {
		add("name %s", quote(*v.Name))
	}
	for _, k := range v.CryptoKeys {
		add("key %s", p.id(k))
	}
	for _, r := range v.Registers {
		add("register %v %s", r.ID, p.digests(r.Digests))
	}
	for _, x := range []struct {
		name string
		enc  func() []byte
		has  bool
	}{
		{"integer", func() []byte { return appendIntRange(*v.IntRange) }, v.IntRange != nil},
		{"number", func() []byte { return appendNumberChoice(*v.Number) }, v.Number != nil},
	} {
		if x.has {
			add("%s %s", x.name, rangeText(cborx.Diag(x.enc(), p.short)))
		}
	}
	if v.Bool != nil {
		add("%t", *v.Bool)
	}
	if v.Text != nil {
		if v.Text.Set != nil {
			add("one of %q", v.Text.Set)
		} else {
			add("%s", quote(v.Text.Value))
		}
	}
	if v.Bytes != nil {
		hex("bytes", v.Bytes.Value)
		for _, b := range v.Bytes.Set {
			hex("or", b)
		}
	}
	for _, x := range v.Ext {
		add("%s (%d) %s", codePointName(p.profile, x.Key), x.Key, cborx.Diag(x.CBOR, p.short))
	}
	return strings.Join(out, ", ")
}

// rangeText makes "564([0, 1])" read "0 to 1"; a null end is open.
func rangeText(diag string) string {
	in, ok := strings.CutPrefix(diag, "564([")
	if !ok {
		in, ok = strings.CutPrefix(diag, "565([")
	}
	lo, hi, two := strings.Cut(strings.TrimSuffix(in, "])"), ", ")
	switch {
	case !ok || !two:
		return diag
	case lo == "null":
		return "at most " + hi
	case hi == "null":
		return "at least " + lo
	}
	return lo + " to " + hi
}
