package gce

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
)

// Kind is the kind of the sources of what an endorsement says.
const Kind = "gce-launch-endorsement"

// Elements that an accepted measurement brings.
const (
	MKeyFirmware = "gce.firmware" // 0: change number of the build; 1: svn; 2: SHA-384 of the image; 11: "gce-ovmf"
	MKeyVCPUs    = "gce.vcpus"    // 15: number of VMSAs at launch
	MKeyRAM      = "gce.ram"      // 15: GiB
	MKeySVSM     = "gce.svsm"     // 11: "gce-svsm", for the measurement of an SVSM image
)

// Form is how package endorse reads launch endorsements.
func Form() endorse.Form { return endorse.Form{Name: Kind, Recognises: recognises, Open: open} }

// recognises goes by the tag of field 1, with which no CoRIM begins.
func recognises(b []byte) bool { return len(b) > 1 && b[0] == 0x0a }

const minRSABits = 3072

func open(b []byte) (*endorse.Opened, error) {
	e, err := parseEndorsement(b)
	if err != nil {
		return nil, err
	}
	der, err := certificateOf(e.golden)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "the signer's certificate: %w", err)
	}
	return &endorse.Opened{
		// ca_bundle lies in the signed bytes but says nothing about the path: leaf directly under an anchored root.
		Chain:     []*x509.Certificate{cert},
		Verify:    func(k crypto.PublicKey) error { return e.verify(cert, k) },
		Manifests: func() ([]*corim.Manifest, error) { return e.manifests(cert) },
	}, nil
}

// verify checks the signature over field 1 as carried, and what the certificate is for.
func (e *launchEndorsement) verify(cert *x509.Certificate, k crypto.PublicKey) error {
	key, ok := k.(*rsa.PublicKey)
	switch {
	case !ok:
		return fault.New(fault.Unsupported, "signed with %T; endorsements are signed with RSA", k)
	case key.N.BitLen() < minRSABits:
		return fault.New(fault.Unsupported, "signed with RSA of %d bits, at least %d are wanted", key.N.BitLen(), minRSABits)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fault.New(fault.Signature, "the certificate of %q is not for signatures", cert.Subject)
	}
	sum := sha256.Sum256(e.golden)
	if err := rsa.VerifyPSS(key, crypto.SHA256, sum[:], e.signature, &rsa.PSSOptions{SaltLength: sha256.Size, Hash: crypto.SHA256}); err != nil {
		return fault.New(fault.Signature, "the signature of %q does not hold", cert.Subject)
	}
	return nil
}

// manifests interprets the signed bytes; nothing calls it before [launchEndorsement.verify].
func (e *launchEndorsement) manifests(cert *x509.Certificate) ([]*corim.Manifest, error) {
	g, err := parseGolden(e.golden)
	if err != nil {
		return nil, err
	}
	var out []*corim.Manifest
	if g.snp != nil {
		out = append(out, g.manifest(e.golden, cert.NotAfter, "snp", amdsnp.ID, g.snpTriples()))
	}
	if g.tdx != nil {
		out = append(out, g.manifest(e.golden, cert.NotAfter, "tdx", assaytdx.ID, g.tdxTriples()))
	}
	return out, nil
}

func (g *golden) manifest(raw []byte, notAfter time.Time, tee, profile string, t corim.Triples) *corim.Manifest {
	id := claim.Text(claim.TagNone, "gce/"+tee+"/"+hex.EncodeToString(g.digest))
	m := &corim.Manifest{ID: id, Profile: profile, Validity: &corim.Validity{NotBefore: &g.timestamp, NotAfter: notAfter}, CoMIDs: []corim.CoMID{{Raw: raw, Triples: t,
		TagIdentity: corim.TagIdentity{TagID: id, TagVersion: uint64(g.timestamp.Unix())},
		Entities:    []corim.Entity{{Name: "Google", Roles: []int64{0, 1}}}}}}
	for _, n := range g.unknown {
		m.Warnings = append(m.Warnings, fmt.Sprintf("field %d of VMGoldenMeasurement is not known here", n))
	}
	return m
}

// firmware is what an accepted measurement says about the image.
func (g *golden) firmware(svn uint32) claim.Element {
	name := "gce-ovmf"
	v := claim.Values{Name: &name, SVN: &claim.SVN{Value: uint64(svn)}, Digests: []claim.Digest{{Alg: claim.SHA384, Value: g.digest}}}
	if g.clSpec != 0 {
		v.Version = &claim.Version{Text: strconv.FormatUint(g.clSpec, 10)}
	}
	return claim.Element{Key: claim.Text(claim.TagNone, MKeyFirmware), Values: v}
}

// policyMask are the bits of POLICY that are pinned: DEBUG, the reserved bit 17 and bits 26 to 63. The others are
// permissions, and a guest may be stricter than what was endorsed.
const policyMask uint64 = 1<<19 | 1<<17 | ^uint64(1<<26-1)

func (g *golden) snpTriples() corim.Triples {
	s := g.snp
	le := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	pol := claim.Element{Key: claim.Uint(amdsnp.KeyPolicy), Values: claim.Values{Raw: &claim.Raw{Value: le(s.policy), Mask: le(policyMask)}}}
	var t corim.Triples
	for _, vlek := range []bool{false, true} {
		env := amdsnp.Class(vlek)
		// The policy is a condition of the series too, or it would name the firmware of a debug guest.
		series := corim.SeriesTriple{Environment: env, Common: []claim.Element{pol}}
		add := func(digest []byte, about claim.Element) {
			is := claim.Element{Key: claim.Uint(amdsnp.KeyMeasurement), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: digest}}}}
			t.Reference = append(t.Reference, corim.ValueTriple{Environment: env, Elements: []claim.Element{is, pol}})
			series.Items = append(series.Items, corim.SeriesItem{Condition: []claim.Element{is}, Addition: []claim.Element{g.firmware(s.svn), about}})
		}
		for _, m := range s.measurements {
			add(m.digest, number(MKeyVCPUs, m.vmsas))
		}
		if s.svsm != nil {
			name := "gce-svsm"
			add(s.svsm, claim.Element{Key: claim.Text(claim.TagNone, MKeySVSM), Values: claim.Values{Name: &name}})
		}
		t.Series = append(t.Series, series)
	}
	return t
}

func (g *golden) tdxTriples() corim.Triples {
	env := assaytdx.TD()
	series := corim.SeriesTriple{Environment: env}
	var t corim.Triples
	for _, m := range g.tdx.measurements {
		is := []claim.Element{{Key: claim.Text(claim.TagNone, assaytdx.MKeyMRTD), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: m.mrtd}}}}}
		add := []claim.Element{g.firmware(g.tdx.svn)}
		if m.ramGiB != 0 {
			add = append(add, number(MKeyRAM, m.ramGiB))
		}
		t.Reference = append(t.Reference, corim.ValueTriple{Environment: env, Elements: is})
		series.Items = append(series.Items, corim.SeriesItem{Condition: is, Addition: add})
	}
	t.Series = []corim.SeriesTriple{series}
	return t
}

func number(key string, n uint32) claim.Element {
	i := claim.Int{Mag: uint64(n)}
	return claim.Element{Key: claim.Text(claim.TagNone, key), Values: claim.Values{IntRange: &claim.IntRange{Value: &i}}}
}
