package endorse

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// maxAnchorFile bounds a trust anchor file.
const maxAnchorFile = 4 << 20 // bytes

// ParseAnchors reads trust anchors as docs/anchors.md describes them. The file is either TOML or JSON, which say name,
// keys or certificates and scope of each anchor; or bare PEM (or DER) public keys and certificates, which become one
// anchor named after the file whose scope is [AnyEnvironmentScope]. Errors have class usage or malformed.
func ParseAnchors(name string, b []byte) ([]*Anchor, error) {
	if len(b) > maxAnchorFile {
		return nil, fault.New(fault.Malformed, "%s: a trust anchor file has at most %d bytes", name, maxAnchorFile)
	}
	trimmed := bytes.TrimSpace(b)
	var anchors []*Anchor
	var err error
	switch {
	case len(trimmed) == 0:
		return nil, fault.New(fault.Malformed, "%s is empty", name)
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN")) || trimmed[0] == 0x30:
		anchors, err = bareAnchor(name, b)
	default:
		anchors, err = anchorFile(trimmed)
	}
	if err != nil {
		return nil, fault.Wrap(err, "%s", name)
	}
	for _, a := range anchors {
		if err := a.check(); err != nil {
			return nil, fault.Wrap(err, "%s", name)
		}
	}
	return anchors, nil
}

func bareAnchor(name string, b []byte) ([]*Anchor, error) {
	base := filepath.Base(name)
	a := &Anchor{Name: strings.TrimSuffix(base, filepath.Ext(base)), Scope: AnyEnvironmentScope()}
	return []*Anchor{a}, a.addKeys(b)
}

// addKeys takes public keys and certificates, PEM or DER, into a.
func (a *Anchor) addKeys(b []byte) error {
	if t := bytes.TrimSpace(b); !bytes.HasPrefix(t, []byte("-----BEGIN")) {
		return a.addDER("", b)
	}
	n := 0
	for rest := b; ; n++ {
		var p *pem.Block
		if p, rest = pem.Decode(rest); p == nil {
			if len(bytes.TrimSpace(rest)) > 0 || n == 0 {
				return fault.New(fault.Malformed, "there is something in it that is not PEM")
			}
			return nil
		}
		if err := a.addDER(p.Type, p.Bytes); err != nil {
			return err
		}
	}
}

func (a *Anchor) addDER(block string, der []byte) error {
	switch {
	case strings.Contains(block, "PRIVATE KEY"):
		return fault.New(fault.Usage, "this is a private key; a trust anchor is a public key or a certificate")
	case block != "" && block != "PUBLIC KEY" && block != "CERTIFICATE" && block != "TRUSTED CERTIFICATE":
		return fault.New(fault.Malformed, "PEM block %q is neither a public key nor a certificate", block)
	}
	if block != "PUBLIC KEY" {
		c, err := x509.ParseCertificate(der)
		if err == nil {
			a.Certificates = append(a.Certificates, c)
			return nil
		}
		if block != "" {
			return fault.New(fault.Malformed, "certificate: %w", err)
		}
	}
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fault.New(fault.Malformed, "neither a public key nor a certificate: %w", err)
	}
	a.Keys = append(a.Keys, crypto.PublicKey(k))
	return nil
}

// fileAnchor is the form of docs/anchors.md.
type fileAnchor struct {
	Name             string     `toml:"name" json:"name"`
	Keys             []string   `toml:"keys" json:"keys"`
	Certificates     []string   `toml:"certificates" json:"certificates"`
	LeafNames        []string   `toml:"leaf-names" json:"leaf-names"`
	EKU              []string   `toml:"eku" json:"eku"`
	CRLs             []string   `toml:"crls" json:"crls"`
	RequireCRL       bool       `toml:"require-crl" json:"require-crl"`
	NotBefore        *time.Time `toml:"not-before" json:"not-before"`
	NotAfter         *time.Time `toml:"not-after" json:"not-after"`
	Scope            []fileRule `toml:"scope" json:"scope"`
	Relax            []string   `toml:"relax" json:"relax"`
	TruncatedDigests bool       `toml:"truncated-digests" json:"truncated-digests"`
	MayReplace       bool       `toml:"may-replace" json:"may-replace"`
	Revoked          bool       `toml:"revoked" json:"revoked"`
}

type fileRule struct {
	Statements     []string          `toml:"statements" json:"statements"`
	AnyStatement   bool              `toml:"any-statement" json:"any-statement"`
	Environments   []fileEnvironment `toml:"environments" json:"environments"`
	AnyEnvironment bool              `toml:"any-environment" json:"any-environment"`
	Elements       []string          `toml:"elements" json:"elements"`
	AnyElement     bool              `toml:"any-element" json:"any-element"`
}

type fileEnvironment struct {
	ClassID  string  `toml:"class-id" json:"class-id"`
	Vendor   string  `toml:"vendor" json:"vendor"`
	Model    string  `toml:"model" json:"model"`
	Layer    *uint64 `toml:"layer" json:"layer"`
	Index    *uint64 `toml:"index" json:"index"`
	Instance string  `toml:"instance" json:"instance"`
	Group    string  `toml:"group" json:"group"`
}

func anchorFile(b []byte) ([]*Anchor, error) {
	var f struct {
		Anchor []fileAnchor `toml:"anchor" json:"anchor"`
	}
	var err error
	if b[0] == '{' {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err = d.Decode(&f); err == nil && d.More() {
			err = errors.New("something follows the JSON object")
		}
	} else {
		d := toml.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&f)
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			err = errors.New(strict.String())
		}
	}
	if err != nil {
		return nil, fault.New(fault.Malformed, "not a trust anchor file (TOML or JSON with a list \"anchor\", or PEM): %w", err)
	}
	if len(f.Anchor) == 0 {
		return nil, fault.New(fault.Malformed, "it lists no anchor")
	}
	out := make([]*Anchor, len(f.Anchor))
	for i := range f.Anchor {
		if out[i], err = f.Anchor[i].anchor(); err != nil {
			return nil, fault.Wrap(err, "anchor %q", f.Anchor[i].Name)
		}
	}
	return out, nil
}

func (f *fileAnchor) anchor() (*Anchor, error) {
	a := &Anchor{Name: f.Name, LeafNames: f.LeafNames, RequireCRL: f.RequireCRL, TruncatedDigests: f.TruncatedDigests,
		MayReplace: f.MayReplace, Revoked: f.Revoked}
	for _, k := range append(f.Keys, f.Certificates...) {
		if err := a.addKeys([]byte(k)); err != nil {
			return nil, err
		}
	}
	for _, c := range f.CRLs {
		p, rest := pem.Decode([]byte(c))
		if p == nil || p.Type != "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fault.New(fault.Malformed, "a revocation list is one PEM block X509 CRL")
		}
		a.CRLs = append(a.CRLs, p.Bytes)
	}
	for _, s := range f.EKU {
		oid, err := parseOID(s)
		if err != nil {
			return nil, err
		}
		a.EKU = append(a.EKU, oid)
	}
	for _, r := range f.Relax {
		a.Relax = append(a.Relax, corim.Relaxation(r))
	}
	if f.NotBefore != nil {
		a.NotBefore = *f.NotBefore
	}
	if f.NotAfter != nil {
		a.NotAfter = *f.NotAfter
	}
	for i := range f.Scope {
		r, err := f.Scope[i].rule()
		if err != nil {
			return nil, fault.Wrap(err, "scope rule %d", i+1)
		}
		a.Scope = append(a.Scope, r)
	}
	return a, nil
}

func (f *fileRule) rule() (Rule, error) {
	r := Rule{AnyEnvironment: f.AnyEnvironment, AnyElement: f.AnyElement}
	if f.AnyStatement {
		r.Kinds = TripleKinds()
	}
	for _, s := range f.Statements {
		r.Kinds = append(r.Kinds, TripleKind(s))
	}
	for _, e := range f.Environments {
		env, err := e.environment()
		if err != nil {
			return r, err
		}
		r.Environments = append(r.Environments, env)
	}
	for _, s := range f.Elements {
		id, err := parseMKey(s)
		if err != nil {
			return r, err
		}
		r.Elements = append(r.Elements, id)
	}
	if !r.AnyElement && len(r.Elements) == 0 {
		return r, fault.New(fault.Usage, "it names no element; say any-element = true if all are meant")
	}
	return r, nil
}

func (f *fileEnvironment) environment() (env claim.Environment, err error) {
	for _, p := range []struct {
		text string
		into *claim.ID
	}{{f.ClassID, &env.Class.ID}, {f.Instance, &env.Instance}, {f.Group, &env.Group}} {
		if p.text == "" {
			continue
		}
		if *p.into, err = ParseID(p.text); err != nil {
			return env, err
		}
	}
	if f.Vendor != "" {
		env.Class.Vendor = claim.Some(f.Vendor)
	}
	if f.Model != "" {
		env.Class.Model = claim.Some(f.Model)
	}
	if f.Layer != nil {
		env.Class.Layer = claim.Some(*f.Layer)
	}
	if f.Index != nil {
		env.Class.Index = claim.Some(*f.Index)
	}
	return env, nil
}

// ParseID reads a class-id, instance or group: "oid:1.2.3" or bare dotted decimal, "uuid:…", "ueid:HEX", "bytes:HEX"
// (tag 560), or "TAG:HEX" for a byte string under another tag.
func ParseID(s string) (claim.ID, error) {
	bad := func() (claim.ID, error) {
		return claim.ID{}, fault.New(fault.Malformed, "%q is no identifier; write oid:1.2.3, uuid:…, ueid:HEX, bytes:HEX or TAG:HEX", s)
	}
	kind, rest, found := strings.Cut(s, ":")
	if !found {
		kind, rest = "oid", s
	}
	if kind == "oid" {
		id, ok := corim.OID(rest)
		if !ok {
			return bad()
		}
		return id, nil
	}
	tags := map[string]uint64{"uuid": claim.TagUUID, "ueid": claim.TagUEID, "bytes": claim.TagBytes}
	tag, known := tags[kind]
	if !known {
		var err error
		if tag, err = strconv.ParseUint(kind, 10, 32); err != nil || tag == 0 {
			return bad()
		}
	}
	if kind == "uuid" {
		rest = strings.ReplaceAll(rest, "-", "")
	}
	b, err := hex.DecodeString(rest)
	if err != nil || len(b) == 0 || tag == claim.TagUUID && len(b) != 16 {
		return bad()
	}
	return claim.Bytes(tag, b), nil
}

// parseMKey reads the key of an element: a number, "anonymous", an OID or UUID with its prefix, or any other text.
func parseMKey(s string) (claim.ID, error) {
	if s == "anonymous" {
		return claim.ID{}, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return claim.Uint(u), nil
	}
	if strings.HasPrefix(s, "oid:") || strings.HasPrefix(s, "uuid:") {
		return ParseID(s)
	}
	if s == "" {
		return claim.ID{}, fault.New(fault.Malformed, `the name of an element is empty; the anonymous one is called "anonymous"`)
	}
	return claim.Text(claim.TagNone, strings.TrimPrefix(s, "text:")), nil
}

func parseOID(s string) (asn1.ObjectIdentifier, error) {
	var out asn1.ObjectIdentifier
	for _, arc := range strings.Split(s, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil || n < 0 {
			return nil, fault.New(fault.Malformed, "%q is no OID", s)
		}
		out = append(out, n)
	}
	if len(out) < 2 {
		return nil, fault.New(fault.Malformed, "%q is no OID", s)
	}
	return out, nil
}
