package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/corimjson"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/measure/statement"
)

func newCorimCmd(a *app) *cobra.Command {
	c := &cobra.Command{Use: "corim", Short: "Make, sign, check and show reference values (CoRIM)"}
	c.AddCommand(newCorimCreateCmd(a), newCorimSignCmd(a), newCorimVerifyCmd(a), newCorimShowCmd(a))
	return c
}

type corimCreateFlags struct {
	tee      string
	expect   []string
	id       string
	tagID    string
	version  uint64
	entity   string
	validFor time.Duration
	notAfter string
	out      string
	measured []string
	builds   []string
	href     string
}

func newCorimCreateCmd(a *app) *cobra.Command {
	var f corimCreateFlags
	c := &cobra.Command{
		Use:   "create [TEMPLATE...]",
		Short: "Make an unsigned CoRIM with reference values, from single values or from JSON templates",
		Long: `Makes an unsigned CoRIM that says which values an environment may have. A name that is given twice makes alternatives. Sign it with "assay corim sign" before anybody can rely on it.

With templates (docs/corim-json.md; the style is that of cocli) the first is the CoRIM and further ones are CoMIDs that
are added to it.`,
		Example: `  assay corim create --tee snp --expect measurement=7f51… --id firmware-1.4 --entity "Example Firmware" -o firmware.cbor
  assay corim sign firmware.cbor --key publisher.key --name "Example Firmware" -o firmware.corim`,
		RunE: runE(func(_ *cobra.Command, args []string) error {
			if len(f.measured) > 0 {
				return a.corimFromMeasure(f, args)
			}
			if len(args) > 0 {
				return a.corimFromTemplates(f, args)
			}
			return a.corimCreate(f)
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.tee, "tee", "snp", "`TEE` that the values are of: snp or tdx")
	fl.StringArrayVar(&f.expect, "expect", nil, "a reference value as `NAME=HEX`: measurement, host_data, id_key_digest, author_key_digest, family_id, image_id; for tdx mr_td (measurement), rtmr_0 to rtmr_3, mr_config_id, mr_owner, mr_owner_config (repeatable)")
	fl.StringArrayVar(&f.measured, "from-measure", nil, "values from a `FILE` that assay measure --format json has written (repeatable: one CoMID for all)")
	fl.StringArrayVar(&f.builds, "provenance", nil, "an attestation of how the measured files were built, from `FILE`: named in the CoRIM by its digest (repeatable)")
	fl.StringVar(&f.href, "provenance-href", "", "`URL` below which the attestations can be found")
	fl.StringVar(&f.id, "id", "", "corim `ID` (default: a random UUID)")
	fl.StringVar(&f.tagID, "tag-id", "", "`ID` of the CoMID in it, by which newer versions supersede it (default: the corim id)")
	fl.Uint64Var(&f.version, "tag-version", 0, "`VERSION` of the tag; a newer statement needs a greater one")
	fl.StringVar(&f.entity, "entity", "", "`NAME` of who makes the tag")
	fl.DurationVar(&f.validFor, "valid-for", 365*24*time.Hour, "`DURATION` of validity from now; 0 for no end")
	fl.StringVar(&f.notAfter, "not-after", "", "end of validity as RFC 3339 `TIME`")
	fl.StringVarP(&f.out, "output", "o", "", "write to `FILE`")
	return c
}

func (a *app) corimCreate(f corimCreateFlags) error {
	make, ok := map[string]func(corimCreateFlags, []endorse.Expectation) (*corim.Manifest, error){"snp": snpManifest, "tdx": tdxManifest}[f.tee]
	if !ok {
		return fault.New(fault.Unsupported, "reference values of %q cannot be made from single values (snp, tdx); use assay measure", f.tee)
	}
	_, expect, err := bindingAndExpectations(verifyFlags{expect: f.expect})
	if err != nil {
		return err
	}
	if len(expect) == 0 {
		return fault.New(fault.Usage, "a statement without values says nothing: --expect measurement=HEX")
	}
	m, err := make(f, inNamesOf(f.tee, expect))
	if err != nil {
		return err
	}
	return a.writeManifest(m, f)
}

// writeManifest gives m its validity and what it rests on, and writes it.
func (a *app) writeManifest(m *corim.Manifest, f corimCreateFlags) error {
	now := a.now().UTC().Truncate(time.Second)
	switch {
	case f.notAfter != "":
		t, err := a.clock(f.notAfter)
		if err != nil {
			return err
		}
		m.Validity = &corim.Validity{NotBefore: &now, NotAfter: t}
	case f.validFor > 0:
		m.Validity = &corim.Validity{NotBefore: &now, NotAfter: now.Add(f.validFor)}
	}
	if err := a.dependOn(m, f.builds, f.href); err != nil {
		return err
	}
	b, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		return err
	}
	return a.output(f.out, 0o644, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// corimFromMeasure makes one CoMID of all predictions. A profile speaks of one technology, so that a statement about
// several has none; measurements are compared by the base rules, which all of them share.
func (a *app) corimFromMeasure(f corimCreateFlags, args []string) error {
	if len(f.expect) > 0 || len(args) > 0 {
		return fault.New(fault.Usage, "--from-measure excludes --expect and templates")
	}
	base, err := newManifest(f)
	if err != nil {
		return err
	}
	for i, name := range f.measured {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		p, err := statement.Parse(b)
		if err != nil {
			return fault.Wrap(err, "%s", name)
		}
		m, err := p.Manifest(statement.Options{ID: "part"})
		if err != nil {
			return fault.Wrap(err, "%s", name)
		}
		if i == 0 {
			base.Profile = m.Profile
		} else if base.Profile != m.Profile {
			base.Profile = ""
		}
		t, x := &base.CoMIDs[0].Triples, &m.CoMIDs[0].Triples
		t.Reference, t.Series = append(t.Reference, x.Reference...), append(t.Series, x.Series...)
	}
	return a.writeManifest(base, f)
}

// corimFromTemplates encodes a CoRIM template and the CoMID templates that belong into it.
func (a *app) corimFromTemplates(f corimCreateFlags, files []string) error {
	if len(f.expect) > 0 {
		return fault.New(fault.Usage, "--expect and templates exclude each other: put the values into the template")
	}
	var docs [][]byte
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		docs = append(docs, b)
	}
	m, err := corimjson.Manifest(docs[0], docs[1:]...)
	if err != nil {
		return fault.Wrap(err, "%s", strings.Join(files, " "))
	}
	b, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		return err
	}
	return a.output(f.out, 0o644, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// snpManifest makes one reference triple per combination of alternatives and kind of signing key.
func snpManifest(f corimCreateFlags, expect []endorse.Expectation) (*corim.Manifest, error) {
	m, err := newManifest(f)
	if err != nil {
		return nil, err
	}
	tag := &m.CoMIDs[0]
	states, err := combinations(expect, amdsnpElement)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		for _, vlek := range []bool{false, true} {
			tag.Triples.Reference = append(tag.Triples.Reference, corim.ValueTriple{Environment: amdsnp.Class(vlek), Elements: s})
		}
	}
	m.Profile = amdsnp.ID
	return m, nil
}

// tdxManifest makes one reference triple per combination of alternatives, about the TD.
func tdxManifest(f corimCreateFlags, expect []endorse.Expectation) (*corim.Manifest, error) {
	m, err := newManifest(f)
	if err != nil {
		return nil, err
	}
	states, err := combinations(expect, tdxElement)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		m.CoMIDs[0].Triples.Reference = append(m.CoMIDs[0].Triples.Reference, corim.ValueTriple{Environment: assaytdx.TD(), Elements: s})
	}
	m.Profile = assaytdx.ID
	return m, nil
}

// combinations lists every state that the alternatives allow.
func combinations(expect []endorse.Expectation, element func(string, []byte) (claim.Element, error)) ([][]claim.Element, error) {
	states := [][]claim.Element{nil}
	for _, x := range expect {
		var next [][]claim.Element
		for _, v := range x.Values {
			e, err := element(x.Name, v)
			if err != nil {
				return nil, err
			}
			for _, s := range states {
				next = append(next, append(s[:len(s):len(s)], e))
			}
		}
		if states = next; len(states) > maxStates {
			return nil, fault.New(fault.Usage, "more than %d combinations of alternatives; make several statements", maxStates)
		}
	}
	return states, nil
}

// tdxElement is the element of the TDX profile for a claim's name (specs corim-profiles.md section 6).
func tdxElement(name string, v []byte) (claim.Element, error) {
	if len(v) != 48 {
		return claim.Element{}, fault.New(fault.Usage, "--expect %s has %d bytes, 48 are needed", name, len(v))
	}
	key := func(k string, vals claim.Values) (claim.Element, error) {
		return claim.Element{Key: claim.Text(claim.TagNone, k), Values: vals}, nil
	}
	sha := []claim.Digest{{Alg: claim.SHA384, Value: v}}
	switch name {
	case "mr_td":
		return key(assaytdx.MKeyMRTD, claim.Values{Digests: sha})
	case "mr_config_id":
		return key(assaytdx.MKeyMRConfigID, claim.Values{Raw: &claim.Raw{Value: v}})
	case "mr_owner":
		return key(assaytdx.MKeyMROwner, claim.Values{Raw: &claim.Raw{Value: v}})
	case "mr_owner_config":
		return key(assaytdx.MKeyMROwnerConfig, claim.Values{Raw: &claim.Raw{Value: v}})
	case "rtmr_0", "rtmr_1", "rtmr_2", "rtmr_3":
		return key(assaytdx.MKeyRTMR, claim.Values{Registers: []claim.Register{{ID: claim.Uint(uint64(name[5] - '0')), Digests: sha}}})
	}
	return claim.Element{}, fault.New(fault.Usage, "--expect %s: not a value that a statement about a TD is made from", name)
}

// newManifest is a manifest with one CoMID and nothing in it yet.
func newManifest(f corimCreateFlags) (*corim.Manifest, error) {
	id := claim.Text(claim.TagNone, f.id)
	if f.id == "" {
		u := make([]byte, 16)
		if _, err := rand.Read(u); err != nil {
			return nil, fault.New(fault.Internal, "randomness: %w", err)
		}
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80 // RFC 9562 section 5.4
		id = claim.Bytes(claim.TagNone, u)
	}
	tag := corim.CoMID{TagIdentity: corim.TagIdentity{TagID: id, TagVersion: f.version}}
	if f.tagID != "" {
		tag.TagID = claim.Text(claim.TagNone, f.tagID)
	}
	if f.entity != "" {
		tag.Entities = []corim.Entity{{Name: f.entity, Roles: []int64{0, 1}}}
	}
	return &corim.Manifest{ID: id, CoMIDs: []corim.CoMID{tag}}, nil
}

const maxStates = 4096

// amdsnpElement is the element of the AMD profile for a claim's name (specs corim-profiles.md section 2.2).
func amdsnpElement(name string, v []byte) (claim.Element, error) {
	digest := func(key uint64) (claim.Element, error) {
		return claim.Element{Key: claim.Uint(key), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: v}}}}, nil
	}
	raw := func(key uint64, size int) (claim.Element, error) {
		if len(v) != size {
			return claim.Element{}, fault.New(fault.Usage, "--expect %s has %d bytes, %d are needed", name, len(v), size)
		}
		return claim.Element{Key: claim.Uint(key), Values: claim.Values{Raw: &claim.Raw{Value: v}}}, nil
	}
	if strings.HasSuffix(name, "digest") || name == "measurement" {
		if len(v) != 48 {
			return claim.Element{}, fault.New(fault.Usage, "--expect %s has %d bytes, 48 are needed", name, len(v))
		}
	}
	switch name {
	case "measurement":
		return digest(amdsnp.KeyMeasurement)
	case "id_key_digest":
		return digest(amdsnp.KeyIDKeyDigest)
	case "author_key_digest":
		return digest(amdsnp.KeyAuthorKeyDigest)
	case "host_data":
		return raw(amdsnp.KeyHostData, 32)
	case "family_id":
		return raw(amdsnp.KeyFamilyID, 16)
	case "image_id":
		return raw(amdsnp.KeyImageID, 16)
	}
	return claim.Element{}, fault.New(fault.Usage, "--expect %s: not a value that a statement about SNP is made from", name)
}

func newCorimSignCmd(a *app) *cobra.Command {
	var keyFile, name, uri, out string
	var validFor time.Duration
	c := &cobra.Command{
		Use:     "sign FILE",
		Short:   "Sign a CoRIM (COSE_Sign1)",
		Example: `  assay corim sign firmware.cbor --key publisher.key --name "Example Firmware" -o firmware.corim`,
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			if keyFile == "" || name == "" {
				return fault.New(fault.Usage, "say who signs: --key FILE --name NAME")
			}
			b, err := a.read(args[0])
			if err != nil {
				return err
			}
			// What does not decode would be refused by everybody; better to hear it before it is signed.
			if _, err := corim.Decode(b, corim.Options{Profiles: profiles.All()}); err != nil {
				return fault.Wrap(err, "%s", args[0])
			}
			key, err := keys.Load(keyFile)
			if err != nil {
				return err
			}
			o := corim.SignOptions{SignerName: name, SignerURI: uri}
			if validFor > 0 {
				now := a.now().UTC().Truncate(time.Second)
				o.Validity = &corim.Validity{NotBefore: &now, NotAfter: now.Add(validFor)}
			}
			signed, err := corim.Sign(b, key.Signer, o)
			if err != nil {
				return err
			}
			return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(signed); return err })
		}),
	}
	fl := c.Flags()
	fl.StringVar(&keyFile, "key", "", "`FILE` with the private key (assay key generate)")
	fl.StringVar(&name, "name", "", "`NAME` of the signer, as readers will see it")
	fl.StringVar(&uri, "uri", "", "`URI` of the signer")
	fl.DurationVar(&validFor, "valid-for", 0, "`DURATION` that the signature holds, from now; 0 leaves it to the manifest")
	fl.StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

func newCorimVerifyCmd(a *app) *cobra.Command {
	var anchors []string
	var at, format string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Say whether a signed CoRIM would be admitted, and why not",
		Long: `Checks a signed CoRIM as a verifier would on admission: signature by an anchored key, its scope, every validity, the
profile and all content. Prints what it contributes.`,
		Example: "  assay corim verify firmware.corim --anchor publisher.key.pub",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			t, err := a.clock(at)
			if err != nil {
				return err
			}
			tr, err := a.loadAnchors(anchors, false)
			if err != nil {
				return err
			}
			if len(tr.signers) == 0 {
				return fault.New(fault.Usage, "name whom you believe: --anchor FILE with the signer's public key or certificate")
			}
			data, err := a.read(args[0])
			if err != nil {
				return err
			}
			if corim.Sniff(data) == corim.KindUnsigned {
				return fault.New(fault.Malformed, "%s is not signed, so nobody stands behind it; sign it first: assay corim sign %s --key FILE --name NAME -o OUT", args[0], args[0])
			}
			b, err := endorse.NewBuilder(endorse.Config{Time: t, Anchors: tr.signers, Profiles: profiles.All(), Forms: statementForms()})
			if err != nil {
				return err
			}
			r, err := b.Admit(data)
			if err != nil {
				return err
			}
			if format == "json" {
				return writeJSON(a.stdout, r)
			}
			return receiptText(a.stdout, r)
		}),
	}
	c.Flags().StringArrayVar(&anchors, "anchor", nil, "whom to believe: `FILE` with a key, certificate or anchor file (repeatable)")
	c.Flags().StringVar(&at, "at", "", "check as of this `TIME` (RFC 3339) instead of now")
	c.Flags().StringVar(&format, "format", "text", "`text` or json")
	return c
}

func receiptText(w io.Writer, r *endorse.Receipt) error {
	fmt.Fprintf(w, "ADMISSIBLE  %s, signed by %q\n", r.ID, r.Signer)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s "+format+"\n", append([]any{name}, args...)...)
	}
	if r.Profile != "" {
		line("profile", "%s", r.Profile)
	}
	line("key", "%s", r.SignerKey)
	line("anchor", "%s, may speak about: %s", r.Anchor, r.Scope)
	if !r.NotAfter.IsZero() {
		line("valid", "until %s", r.NotAfter.UTC().Format(time.RFC3339))
	}
	for _, t := range r.Tags {
		line("tag", "%s", t)
	}
	line("says", "%d relations", r.Relations)
	for _, x := range r.Warnings {
		line("warning", "%s", x)
	}
	_, err := fmt.Fprintf(w, "  %-10s %s\n", "sha256", r.SHA256)
	return err
}
